;; The smallest guest that answers: one page of memory, `echo` of up to 32 KiB.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $op_len i32) (param $len i32) (result i32)
    (call $request (i32.const 0) (i32.const 32768))
    (call $response (i32.const 32768) (local.get $len))
    (i32.const 1)))
