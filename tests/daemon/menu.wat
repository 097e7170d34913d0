;; A guest with a menu, chosen by the first letter of the operation:
;;   echo    answers the payload
;;   fail    answers the payload as its error
;;   log     writes the payload to the console log
;;   trap    traps, two functions deep
;;   quit    exits with the decimal number in the payload
;;   spin    loops for ever
;;   grow    grows its memory until that is refused, then traps
;;   number  answers how many calls this instance has had, this one included
;;   answer  answers as many bytes as the decimal number in the payload says
;;   mute    answers nothing: no response and no error, and reports failure
;;   busy/MS/REST                       computes for so long, then does REST
;;   wait/MS/REST                       sleeps for so long, then does REST
;;   host/BINDING/NAMESPACE/OPERATION   makes that host call with the payload; its answer or error becomes the guest's.
;;                                      OPERATION is all of the rest, so that chains over several modules can be written
;; Anything else is the error `no such operation`.
;;
;; Memory: operation at 64 Ki, payload at 256 Ki, answers at 6 Mi, small things below 64 Ki.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "wapc" "__host_call" (func $host (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 161)
  (data (i32.const 1024) "no such operation")
  (global $calls (mut i32) (i32.const 0))
  (global $op (mut i32) (i32.const 65536))
  (global $op_end (mut i32) (i32.const 0))
  (global $payload_len (mut i32) (i32.const 0))

  (func $inner_trap unreachable)
  (func $outer_trap (call $inner_trap))

  ;; Finds the next slash of the operation, moves past it, and returns its place; without one, the operation's end.
  (func $slash (result i32)
    (local $at i32)
    (local.set $at (global.get $op))
    (block $found
      (loop $next
        (br_if $found (i32.ge_u (local.get $at) (global.get $op_end)))
        (br_if $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 47)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (global.set $op (i32.add (local.get $at) (i32.const 1)))
    (local.get $at))

  (func $decimal (param $from i32) (param $to i32) (result i32)
    (local $value i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $to)))
        (local.set $value
          (i32.add (i32.mul (local.get $value) (i32.const 10))
                   (i32.sub (i32.load8_u (local.get $from)) (i32.const 48))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $next)))
    (local.get $value))

  (func $payload_number (result i32)
    (call $decimal (i32.const 262144) (i32.add (i32.const 262144) (global.get $payload_len))))

  ;; The number of milliseconds between two slashes, in nanoseconds.
  (func $time (result i64)
    (local $from i32)
    (drop (call $slash))
    (local.set $from (global.get $op))
    (i64.mul (i64.extend_i32_u (call $decimal (local.get $from) (call $slash))) (i64.const 1000000)))

  (func $now (result i64)
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0)))
    (i64.load (i32.const 0)))

  (func $busy (param $time i64)
    (local $until i64)
    (local.set $until (i64.add (call $now) (local.get $time)))
    (loop $again (br_if $again (i64.lt_s (call $now) (local.get $until)))))

  (func $wait (param $time i64)
    (memory.fill (i32.const 64) (i32.const 0) (i32.const 48))
    (i32.store (i32.const 80) (i32.const 1)) ;; the monotonic clock
    (i64.store (i32.const 88) (local.get $time))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))))

  (func $host_path (result i32)
    (local $binding i32) (local $binding_len i32) (local $namespace i32) (local $namespace_len i32)
    (drop (call $slash))
    (local.set $binding (global.get $op))
    (local.set $binding_len (i32.sub (call $slash) (local.get $binding)))
    (local.set $namespace (global.get $op))
    (local.set $namespace_len (i32.sub (call $slash) (local.get $namespace)))
    (if (call $host
          (local.get $binding) (local.get $binding_len)
          (local.get $namespace) (local.get $namespace_len)
          (global.get $op) (i32.sub (global.get $op_end) (global.get $op))
          (i32.const 262144) (global.get $payload_len))
      (then
        (call $host_response (i32.const 6291456))
        (call $response (i32.const 6291456) (call $host_response_len))
        (return (i32.const 1))))
    (call $host_error (i32.const 6291456))
    (call $error (i32.const 6291456) (call $host_error_len))
    (i32.const 0))

  ;; Answers a number as decimal text, written backwards from 2048.
  (func $answer_number (param $value i32)
    (local $at i32)
    (local.set $at (i32.const 2048))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
      (br_if $next (local.get $value)))
    (call $response (local.get $at) (i32.sub (i32.const 2048) (local.get $at))))

  (func $letter (param $letter i32) (result i32)
    (i32.and (i32.lt_u (global.get $op) (global.get $op_end))
             (i32.eq (i32.load8_u (global.get $op)) (local.get $letter))))

  (func $menu (result i32)
    (if (call $letter (i32.const 101)) ;; echo
      (then (call $response (i32.const 262144) (global.get $payload_len)) (return (i32.const 1))))
    (if (call $letter (i32.const 102)) ;; fail
      (then (call $error (i32.const 262144) (global.get $payload_len)) (return (i32.const 0))))
    (if (call $letter (i32.const 108)) ;; log
      (then
        (call $log (i32.const 262144) (global.get $payload_len))
        (call $response (i32.const 0) (i32.const 0))
        (return (i32.const 1))))
    (if (call $letter (i32.const 116)) (then (call $outer_trap))) ;; trap
    (if (call $letter (i32.const 113)) (then (call $proc_exit (call $payload_number)))) ;; quit
    (if (call $letter (i32.const 115)) (then (loop $for_ever (br $for_ever)))) ;; spin
    (if (call $letter (i32.const 103)) ;; grow
      (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (unreachable)))
    (if (call $letter (i32.const 110)) ;; number
      (then (call $answer_number (global.get $calls)) (return (i32.const 1))))
    (if (call $letter (i32.const 97)) ;; answer
      (then (call $response (i32.const 0) (call $payload_number)) (return (i32.const 1))))
    (if (call $letter (i32.const 109)) (then (return (i32.const 0)))) ;; mute
    (if (call $letter (i32.const 98)) (then (call $busy (call $time)) (return (call $menu)))) ;; busy
    (if (call $letter (i32.const 119)) (then (call $wait (call $time)) (return (call $menu)))) ;; wait
    (if (call $letter (i32.const 104)) (then (return (call $host_path)))) ;; host
    (call $error (i32.const 1024) (i32.const 17))
    (i32.const 0))

  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.set $op (i32.const 65536))
    (global.set $op_end (i32.add (i32.const 65536) (local.get $op_len)))
    (global.set $payload_len (local.get $payload_len))
    (call $request (i32.const 65536) (i32.const 262144))
    (call $menu)))
