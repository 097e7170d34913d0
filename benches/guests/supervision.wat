;; echo: answers with the payload. host: makes one host call before. trap: traps. spin: computes for ever.
;; The comment PADDING stands for code and data that make it as large as real guests are.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 0) "log")
  (data (i32.const 8) "debug")
  (func $letter (param $letter i32) (result i32) (i32.eq (i32.load8_u (i32.const 64)) (local.get $letter)))
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 64) (i32.const 32768))
    (if (call $letter (i32.const 116)) (then (unreachable)))
    (if (call $letter (i32.const 115)) (then (loop $for_ever (br $for_ever))))
    (if (call $letter (i32.const 104))
      (then
        (drop (call $host_call
          (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 0)
          (i32.const 8) (i32.const 5) (i32.const 32768) (local.get $len)))))
    (call $response (i32.const 32768) (local.get $len))
    (i32.const 1))
  (;PADDING;)
)
