;; Operation `echo` (4 bytes) answers with its payload, `sum` (3 bytes) with the CRC-32 of it, a bit at a time: eight rounds of
;; shifts, masks and a branch for each byte, as integer code of real guests is.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 4)
  (func $sum (param $at i32) (param $end i32) (result i32) (local $crc i32) (local $bit i32)
    (local.set $crc (i32.const -1))
    (block $done
      (loop $bytes
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc (i32.xor (local.get $crc) (i32.load8_u (local.get $at))))
        (local.set $bit (i32.const 8))
        (loop $bits
          (if (i32.and (local.get $crc) (i32.const 1))
            (then (local.set $crc
              (i32.xor (i32.shr_u (local.get $crc) (i32.const 1)) (i32.const 0xedb88320))))
            (else (local.set $crc (i32.shr_u (local.get $crc) (i32.const 1)))))
          (local.set $bit (i32.sub (local.get $bit) (i32.const 1)))
          (br_if $bits (local.get $bit)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $bytes)))
    (i32.xor (local.get $crc) (i32.const -1)))
  (func (export "__guest_call") (param $op_len i32) (param $len i32) (result i32)
    (call $request (i32.const 0) (i32.const 65536))
    (if (i32.eq (local.get $op_len) (i32.const 4))
      (then (call $response (i32.const 65536) (local.get $len)))
      (else
        (i32.store (i32.const 16)
          (call $sum (i32.const 65536) (i32.add (i32.const 65536) (local.get $len))))
        (call $response (i32.const 16) (i32.const 4))))
    (i32.const 1)))
