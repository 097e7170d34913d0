;; A guest that tells which build it is, so that a caller knows whose answer it got. Operations, of at most 8 letters:
;;   build    answers the number of its build
;;   both     counts, and answers `BUILD COUNT`
;;   work     computes for about a millisecond, then does `both`
;;   count    counts, and answers the count
;;   peek     answers the count as it is
;;   export   answers the count as it is
;;   import   takes the payload as the count
;;   probe    answers `well`, or `ill` in a build that is
;;   echo     answers the payload
;;   trap, spin, fail
;;   set, get, incr   pass the payload to the binding `store`
;; Anything else is the error `no such operation`. The number of the build stands in the data section, which comes last:
;; a file that is cut before it is a valid module, and answers zeros.
;;
;; NUMBER, START, EACH_CALL, PROBE, EXPORT, IMPORT and MORE are filled in.
;;
;; Memory: operation at 64 Ki, payload at 128 Ki, answers of the host at 192 Ki, small things below 64 Ki.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  ;;IMPORTS;;
  (memory (export "memory") 8)
  (global $count (mut i32) (i32.const 0))
  (global $name (mut i64) (i64.const 0))
  (global $payload_len (mut i32) (i32.const 0))

  (func $decimal (result i32)
    (local $at i32) (local $value i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (global.get $payload_len)))
        (local.set $value
          (i32.add (i32.mul (local.get $value) (i32.const 10))
                   (i32.sub (i32.load8_u offset=131072 (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $value))

  ;; Writes the count as decimal text that ends at 2048; returns where it begins.
  (func $write_count (result i32)
    (local $at i32) (local $value i32)
    (local.set $at (i32.const 2048))
    (local.set $value (global.get $count))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
      (br_if $next (local.get $value)))
    (local.get $at))

  (func $answer_from (param $at i32) (result i32)
    (call $response (local.get $at) (i32.sub (i32.const 2048) (local.get $at)))
    (i32.const 1))

  (func $both (result i32)
    (local $at i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (local.set $at (i32.sub (call $write_count) (i32.const 1)))
    (i32.store8 (local.get $at) (i32.const 32))
    (local.set $at (i32.sub (local.get $at) (i32.const 8)))
    (i64.store (local.get $at) (i64.load (i32.const 1024)))
    (call $answer_from (local.get $at)))

  (func $work
    (local $n i32)
    (local.set $n (i32.const 1000000))
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func $pass (param $operation i32) (param $len i32) (result i32)
    (if (call $host (i32.const 1040) (i32.const 5) (i32.const 0) (i32.const 0)
          (local.get $operation) (local.get $len) (i32.const 131072) (global.get $payload_len))
      (then
        (call $host_response (i32.const 196608))
        (call $response (i32.const 196608) (call $host_response_len))
        (return (i32.const 1))))
    (call $host_error (i32.const 196608))
    (call $error (i32.const 196608) (call $host_error_len))
    (i32.const 0))

  (func $refuse (param $at i32) (param $len i32) (result i32)
    (call $error (local.get $at) (local.get $len))
    (i32.const 0))

  (func $menu (result i32)
    (if (i64.eq (global.get $name) (i64.const @build@))
      (then (call $response (i32.const 1024) (i32.const 8)) (return (i32.const 1))))
    (if (i64.eq (global.get $name) (i64.const @both@)) (then (return (call $both))))
    (if (i64.eq (global.get $name) (i64.const @work@)) (then (call $work) (return (call $both))))
    (if (i64.eq (global.get $name) (i64.const @count@))
      (then
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (return (call $answer_from (call $write_count)))))
    (if (i64.eq (global.get $name) (i64.const @peek@)) (then (return (call $answer_from (call $write_count)))))
    (if (i64.eq (global.get $name) (i64.const @export@))
      (then ;;EXPORT;;
        (return (call $answer_from (call $write_count)))))
    (if (i64.eq (global.get $name) (i64.const @import@))
      (then ;;IMPORT;;
        (global.set $count (call $decimal))
        (call $response (i32.const 0) (i32.const 0))
        (return (i32.const 1))))
    (if (i64.eq (global.get $name) (i64.const @probe@))
      (then (call $response (i32.const ;;PROBE;;) (i32.const 4)) (return (i32.const 1))))
    (if (i64.eq (global.get $name) (i64.const @echo@))
      (then (call $response (i32.const 131072) (global.get $payload_len)) (return (i32.const 1))))
    (if (i64.eq (global.get $name) (i64.const @trap@)) (then unreachable))
    (if (i64.eq (global.get $name) (i64.const @spin@)) (then (loop $for_ever (br $for_ever))))
    (if (i64.eq (global.get $name) (i64.const @fail@))
      (then (return (call $refuse (i32.const 131072) (global.get $payload_len)))))
    (if (i64.eq (global.get $name) (i64.const @set@)) (then (return (call $pass (i32.const 1048) (i32.const 3)))))
    (if (i64.eq (global.get $name) (i64.const @get@)) (then (return (call $pass (i32.const 1056) (i32.const 3)))))
    (if (i64.eq (global.get $name) (i64.const @incr@)) (then (return (call $pass (i32.const 1064) (i32.const 9)))))
    (call $refuse (i32.const 1080) (i32.const 17)))

  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    ;;EACH_CALL;;
    (i64.store (i32.const 65536) (i64.const 0))
    (call $request (i32.const 65536) (i32.const 131072))
    (global.set $payload_len (local.get $payload_len))
    ;; Where the operation is longer than a word, none is found.
    (global.set $name (select (i64.load (i32.const 65536)) (i64.const 0) (i32.le_u (local.get $op_len) (i32.const 8))))
    (call $menu))
  ;;START;;
  ;;MORE;;
  (data (i32.const 1024) ";;NUMBER;;")
  (data (i32.const 1040) "store")
  (data (i32.const 1048) "set")
  (data (i32.const 1056) "get")
  (data (i32.const 1064) "increment")
  (data (i32.const 1080) "no such operation")
  (data (i32.const 1104) "well")
  (data (i32.const 1112) "ill ")
)
