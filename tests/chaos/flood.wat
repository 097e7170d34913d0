;; A guest that floods: whatever it is called with, it writes 300 lines to the console log and as many through the binding
;; `log`, and answers the payload.
;;
;; Memory: small things below 64 Ki, operation at 64 Ki, payload at 256 Ki.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "wapc" "__host_call" (func $host (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 1024) "a line of a guest that writes far more of them than anyone will ever read")
  (data (i32.const 2048) "loginfo")
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $left i32)
    (local.set $left (i32.const 300))
    (call $request (i32.const 65536) (i32.const 262144))
    (loop $next
      (call $log (i32.const 1024) (i32.const 73))
      (drop (call $host (i32.const 2048) (i32.const 3) (i32.const 2048) (i32.const 0) (i32.const 2051) (i32.const 4)
                        (i32.const 1024) (i32.const 73)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (call $response (i32.const 262144) (local.get $payload_len))
    (i32.const 1)))
