;; A guest that notes in the binding `store` how often it was started and stopped. Operations, of at most 8 letters:
;;   open     counts `opened`, then does what its payload says; from its success on the guest is ready
;;   close    counts `closed`, then does what its payload says
;;            g  an error unless the key `gate` is there    t  traps unless it is    s  spins unless it is
;;            f  an error                                    anything else, or nothing: it is well
;;   ready    answers `yes` or `no`
;;   build    answers its build, one letter
;;   export   answers `state`
;;   import   an error unless the guest is ready
;;   wait     as open with `s`, without counting
;;   trap     traps
;;   incr     passes the payload to the binding
;; BUILD and OPEN, which is done first in `open`, are filled in.
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
  (memory (export "memory") 8)
  (global $ready (mut i32) (i32.const 0))
  (global $name (mut i64) (i64.const 0))
  (global $mode (mut i32) (i32.const 0))
  (global $payload_len (mut i32) (i32.const 0))

  (func $ask (param $operation i32) (param $len i32) (param $at i32) (param $payload_len i32) (result i32)
    (call $host (i32.const 1040) (i32.const 5) (i32.const 0) (i32.const 0)
      (local.get $operation) (local.get $len) (local.get $at) (local.get $payload_len)))

  (func $refuse_as_host (result i32)
    (call $host_error (i32.const 196608))
    (call $error (i32.const 196608) (call $host_error_len))
    (i32.const 0))

  (func $answer (param $at i32) (param $len i32) (result i32)
    (call $response (local.get $at) (local.get $len))
    (i32.const 1))

  (func $refuse (param $at i32) (param $len i32) (result i32)
    (call $error (local.get $at) (local.get $len))
    (i32.const 0))

  (func $gate (result i32) (call $ask (i32.const 1056) (i32.const 3) (i32.const 1200) (i32.const 14)))

  ;; Counts under the key whose increment is the payload there, then does what the mode says.
  (func $hook (param $at i32) (result i32)
    (if (i32.eqz (call $ask (i32.const 1064) (i32.const 9) (local.get $at) (i32.const 16)))
      (then (return (call $refuse_as_host))))
    (if (i32.eq (global.get $mode) (i32.const 102)) (then (return (call $refuse (i32.const 1104) (i32.const 10)))))
    (if (i32.eq (global.get $mode) (i32.const 103))
      (then (if (i32.eqz (call $gate)) (then (return (call $refuse (i32.const 1120) (i32.const 16)))))))
    (if (i32.eq (global.get $mode) (i32.const 116)) (then (if (i32.eqz (call $gate)) (then (unreachable)))))
    (if (i32.eq (global.get $mode) (i32.const 115))
      (then (if (i32.eqz (call $gate)) (then (loop $for_ever (br $for_ever))))))
    (call $answer (i32.const 0) (i32.const 0)))

  (func $menu (result i32)
    (if (i64.eq (global.get $name) (i64.const @open@))
      (then
        ;;OPEN;;
        (if (i32.eqz (call $hook (i32.const 1216))) (then (return (i32.const 0))))
        (global.set $ready (i32.const 1))
        (return (i32.const 1))))
    (if (i64.eq (global.get $name) (i64.const @close@)) (then (return (call $hook (i32.const 1232)))))
    (if (i64.eq (global.get $name) (i64.const @ready@))
      (then
        (if (global.get $ready) (then (return (call $answer (i32.const 1136) (i32.const 3)))))
        (return (call $answer (i32.const 1144) (i32.const 2)))))
    (if (i64.eq (global.get $name) (i64.const @build@)) (then (return (call $answer (i32.const 1152) (i32.const 1)))))
    (if (i64.eq (global.get $name) (i64.const @export@)) (then (return (call $answer (i32.const 1160) (i32.const 5)))))
    (if (i64.eq (global.get $name) (i64.const @import@))
      (then
        (if (global.get $ready) (then (return (call $answer (i32.const 0) (i32.const 0)))))
        (return (call $refuse (i32.const 1144) (i32.const 2)))))
    (if (i64.eq (global.get $name) (i64.const @wait@))
      (then
        (loop $again (br_if $again (i32.eqz (call $gate))))
        (return (call $answer (i32.const 0) (i32.const 0)))))
    (if (i64.eq (global.get $name) (i64.const @trap@)) (then (unreachable)))
    (if (i64.eq (global.get $name) (i64.const @incr@))
      (then
        (if (i32.eqz (call $ask (i32.const 1064) (i32.const 9) (i32.const 131072) (global.get $payload_len)))
          (then (return (call $refuse_as_host))))
        (call $host_response (i32.const 196608))
        (return (call $answer (i32.const 196608) (call $host_response_len)))))
    (call $refuse (i32.const 1080) (i32.const 17)))

  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (i64.store (i32.const 65536) (i64.const 0))
    (i32.store (i32.const 131072) (i32.const 0))
    (call $request (i32.const 65536) (i32.const 131072))
    (global.set $payload_len (local.get $payload_len))
    (global.set $mode (i32.load8_u (i32.const 131072)))
    (global.set $name (select (i64.load (i32.const 65536)) (i64.const 0) (i32.le_u (local.get $op_len) (i32.const 8))))
    (call $menu))

  (data (i32.const 1040) "store")
  (data (i32.const 1056) "get")
  (data (i32.const 1064) "increment")
  (data (i32.const 1080) "no such operation")
  (data (i32.const 1104) "on purpose")
  (data (i32.const 1120) "the gate is shut")
  (data (i32.const 1136) "yes")
  (data (i32.const 1144) "no")
  (data (i32.const 1152) ";;BUILD;;")
  (data (i32.const 1160) "state")
  (data (i32.const 1200) "{\"key\":\"gate\"}")
  (data (i32.const 1216) "{\"key\":\"opened\"}")
  (data (i32.const 1232) "{\"key\":\"closed\"}")
)
