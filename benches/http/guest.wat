;; By the first letter of the operation:
;;   echo    answers with the payload
;;   get     asks the binding `kv` for the key `k`, fetches the answer, and answers with the payload
;;   set     sends the payload to `set` of the binding `kv`, and answers with it
;;   work    loops as often as the first 32 bits of the payload say, little endian
;;   loop    loops for ever
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "kv")
  (data (i32.const 8) "get")
  (data (i32.const 16) "set")
  (data (i32.const 24) "\81\a3key\a1k")
  (global $sum (mut i64) (i64.const 1))

  (func $ask (param $operation i32) (param $payload i32) (param $len i32) (result i32)
    (if (call $host_call
          (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0) (local.get $operation) (i32.const 3)
          (local.get $payload) (local.get $len))
      (then
        (call $host_response (i32.const 131072))
        (return (i32.const 1))))
    (call $host_error (i32.const 131072))
    (call $error (i32.const 131072) (call $host_error_len))
    (i32.const 0))

  (func (export "__guest_call") (param $operation i32) (param $len i32) (result i32)
    (local $letter i32) (local $left i32)
    (call $request (i32.const 64) (i32.const 65536))
    (local.set $letter (i32.load8_u (i32.const 64)))
    (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $letter) (i32.const 115))
      (then
        (if (i32.eqz (call $ask (i32.const 16) (i32.const 65536) (local.get $len)))
          (then (return (i32.const 0))))))
    (if (i32.eq (local.get $letter) (i32.const 103))
      (then (if (i32.eqz (call $ask (i32.const 8) (i32.const 24) (i32.const 7))) (then (return (i32.const 0))))))
    (if (i32.eq (local.get $letter) (i32.const 119))
      (then
        (local.set $left (i32.load (i32.const 65536)))
        (loop $next
          (global.set $sum
            (i64.add (i64.mul (global.get $sum) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $next (i32.gt_s (local.get $left) (i32.const 0))))))
    (call $response (i32.const 65536) (local.get $len))
    (i32.const 1)))
