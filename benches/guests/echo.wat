;; The guest of the benchmarks: operation `echo` (4 bytes) answers with its payload, `host_echo` (9 bytes) passes the
;; payload through one host call first. It tells them apart by length, so that its own work is next to nothing.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  ;; Names in the first page, payload and response from the second on: room for 1 MiB.
  (memory (export "memory") 17)
  (data (i32.const 1024) "bindingnamespaceoperation")
  (func (export "__guest_call") (param $op_len i32) (param $len i32) (result i32)
    (call $request (i32.const 0) (i32.const 65536))
    (if (i32.eq (local.get $op_len) (i32.const 4))
      (then
        (call $response (i32.const 65536) (local.get $len))
        (return (i32.const 1))))
    (if (i32.eqz
          (call $host_call
            (i32.const 1024) (i32.const 7) (i32.const 1031) (i32.const 9) (i32.const 1040) (i32.const 9)
            (i32.const 65536) (local.get $len)))
      (then (return (i32.const 0))))
    (local.set $len (call $host_response_len))
    (call $host_response (i32.const 65536))
    (call $response (i32.const 65536) (local.get $len))
    (i32.const 1)))
