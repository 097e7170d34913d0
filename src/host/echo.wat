(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 0) (local.get $op))
    (call $response (local.get $op) (local.get $len))
    (i32.const 1)))
