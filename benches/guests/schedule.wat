;; Called at full seconds: counts its calls by the millisecond of the second in which they reached it.
;; tick: one more. report: answers the counts, 1,000 numbers of four bytes each.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (local $at i32)
    (call $request (i32.const 64) (i32.const 1024))
    (if (i32.eq (i32.load8_u (i32.const 64)) (i32.const 114))
      (then
        (call $response (i32.const 65536) (i32.const 4000))
        (return (i32.const 1))))
    (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 0)))
    (local.set $at
      (i32.add (i32.const 65536)
        (i32.shl
          (i32.wrap_i64
            (i64.div_u (i64.rem_u (i64.load (i32.const 0)) (i64.const 1000000000)) (i64.const 1000000)))
          (i32.const 2))))
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
    (call $response (i32.const 0) (i32.const 0))
    (i32.const 1))
)
