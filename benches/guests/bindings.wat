;; echo: answers with the payload. calls: makes as many host calls as its payload says, fetches each response as guests do, and
;; answers with the last. The payload begins with six numbers of 32 bits, little endian: host calls; lengths of binding,
;; namespace, operation and payload; the place in that payload at which three letters count the host calls, or -1. What
;; the lengths are of follows in this order.
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

  ;; Sixteen letters stand for the digits, the lowest first.
  (func $count (param $at i32) (param $number i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.const 3)))
    (loop $digit
      (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.and (local.get $number) (i32.const 15))))
      (local.set $number (i32.shr_u (local.get $number) (i32.const 4)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digit (i32.lt_u (local.get $at) (local.get $end)))))

  (func (export "__guest_call") (param $operation i32) (param $len i32) (result i32)
    (local $number i32) (local $calls i32) (local $place i32)
    (local $binding i32) (local $namespace i32) (local $name i32) (local $payload i32)
    (call $request (i32.const 64) (i32.const 65536))
    ;; By its first letter.
    (if (i32.eq (i32.load8_u (i32.const 64)) (i32.const 101))
      (then
        (call $response (i32.const 65536) (local.get $len))
        (return (i32.const 1))))
    (local.set $calls (i32.load (i32.const 65536)))
    (local.set $place (i32.load (i32.const 65556)))
    (local.set $binding (i32.const 65560))
    (local.set $namespace (i32.add (local.get $binding) (i32.load (i32.const 65540))))
    (local.set $name (i32.add (local.get $namespace) (i32.load (i32.const 65544))))
    (local.set $payload (i32.add (local.get $name) (i32.load (i32.const 65548))))
    (loop $next
      (if (i32.ge_s (local.get $place) (i32.const 0))
        (then (call $count (i32.add (local.get $payload) (local.get $place)) (local.get $number))))
      (if (i32.eqz (call $host_call
            (local.get $binding) (i32.load (i32.const 65540))
            (local.get $namespace) (i32.load (i32.const 65544))
            (local.get $name) (i32.load (i32.const 65548))
            (local.get $payload) (i32.load (i32.const 65552))))
        (then
          (call $host_error (i32.const 131072))
          (call $error (i32.const 131072) (call $host_error_len))
          (return (i32.const 0))))
      (call $host_response (i32.const 131072))
      (local.set $number (i32.add (local.get $number) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $number) (local.get $calls))))
    (call $response (i32.const 131072) (call $host_len))
    (i32.const 1)))
