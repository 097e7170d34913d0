;; echo: answers with the payload. host_echo: passes it through a host call first.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "test")
  (data (i32.const 8) "echo")
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 64) (i32.const 65536))
    (if (i32.eq (local.get $op) (i32.const 4))
      (then
        (call $response (i32.const 65536) (local.get $len))
        (return (i32.const 1))))
    (if (i32.eqz (call $host_call
          (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 0)
          (i32.const 8) (i32.const 4) (i32.const 65536) (local.get $len)))
      (then (return (i32.const 0))))
    (call $host_response (i32.const 131072))
    (call $response (i32.const 131072) (call $host_len))
    (i32.const 1)))
