;; A guest with a menu, chosen by the first byte of the operation:
;; echo, log, host (call), spin, trap.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "wapc" "__host_call" (func $host (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 131072) "binding")
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (local $choice i32)
    (call $request (i32.const 0) (i32.const 1024))
    (local.set $choice (i32.load8_u (i32.const 0)))
    (if (i32.eq (local.get $choice) (i32.const 101)) ;; e
      (then (call $response (i32.const 1024) (local.get $len)) (return (i32.const 1))))
    (if (i32.eq (local.get $choice) (i32.const 108)) ;; l
      (then
        (call $log (i32.const 1024) (local.get $len))
        (call $response (i32.const 0) (i32.const 0))
        (return (i32.const 1))))
    (if (i32.eq (local.get $choice) (i32.const 104)) ;; h
      (then
        (drop (call $host (i32.const 131072) (i32.const 7) (i32.const 131072) (i32.const 7)
                          (i32.const 131072) (i32.const 7) (i32.const 131072) (i32.const 7)))
        (call $host_error (i32.const 1024))
        (call $error (i32.const 1024) (call $host_error_len))
        (return (i32.const 0))))
    (if (i32.eq (local.get $choice) (i32.const 115)) ;; s
      (then (loop $for_ever (br $for_ever))))
    (unreachable)))
