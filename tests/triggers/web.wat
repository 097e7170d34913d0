;; A guest for routes, chosen by the first letter of the operation:
;;   echo   answers the payload
;;   fail   answers the payload as its error
;;   trap   traps
;;   spin   loops for ever
;;   log    writes `seen` to the console log and answers nothing
;;   wrap   answers {body: PAYLOAD} in MessagePack: on a route with payload = "http" the caller gets the map of its request
;;   map    answers a fixed map in MessagePack: 202, a header, three bytes
;;   json   answers a fixed map in JSON: 201, headers of which some are not a guest's to say, text
;;   bad    answers a map in JSON that is no response
;; Anything else is the error `no such operation`.
;;
;; Memory: operation at 0, fixed answers at 1 Ki, what is put before a wrapped payload directly before that, payload at 64 Ki.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (memory (export "memory") 64)
  (data (i32.const 1024) "no such operation")
  (data (i32.const 1056) "seen")
  (data (i32.const 1088) "\83\a6status\cc\ca\a7headers\81\a6x-kind\abmessagepack\a4body\c4\03\00\01\ff")
  (data (i32.const 1152) "{\22status\22:201,\22headers\22:{\22content-type\22:\22text/plain\22,\22set-cookie\22:[\22a=1\22,\22b=2\22],\22connection\22:\22close\22,\22wapcd-call-id\22:\220\22,\22access-control-allow-origin\22:\22*\22},\22body\22:\22ja\c3\bc\22}")
  (data (i32.const 1536) "{\22status\22:99}")
  (data (i32.const 65525) "\81\a4body\c6")
  (global $payload_len (mut i32) (i32.const 0))

  (func $letter (param $letter i32) (result i32) (i32.eq (i32.load8_u (i32.const 0)) (local.get $letter)))

  ;; Writes a number with its highest byte first, as MessagePack has it.
  (func $store_length (param $at i32) (param $value i32)
    (i32.store8 (local.get $at) (i32.shr_u (local.get $value) (i32.const 24)))
    (i32.store8 (i32.add (local.get $at) (i32.const 1)) (i32.shr_u (local.get $value) (i32.const 16)))
    (i32.store8 (i32.add (local.get $at) (i32.const 2)) (i32.shr_u (local.get $value) (i32.const 8)))
    (i32.store8 (i32.add (local.get $at) (i32.const 3)) (local.get $value)))

  (func $answer (param $at i32) (param $len i32) (result i32)
    (call $response (local.get $at) (local.get $len))
    (i32.const 1))

  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (global.set $payload_len (local.get $payload_len))
    (call $request (i32.const 0) (i32.const 65536))
    (if (call $letter (i32.const 101)) (then (return (call $answer (i32.const 65536) (global.get $payload_len))))) ;; echo
    (if (call $letter (i32.const 102)) ;; fail
      (then (call $error (i32.const 65536) (global.get $payload_len)) (return (i32.const 0))))
    (if (call $letter (i32.const 116)) (then unreachable)) ;; trap
    (if (call $letter (i32.const 115)) (then (loop $for_ever (br $for_ever)))) ;; spin
    (if (call $letter (i32.const 108)) ;; log
      (then (call $log (i32.const 1056) (i32.const 4)) (return (call $answer (i32.const 0) (i32.const 0)))))
    (if (call $letter (i32.const 119)) ;; wrap
      (then
        (call $store_length (i32.const 65532) (global.get $payload_len))
        (return (call $answer (i32.const 65525) (i32.add (global.get $payload_len) (i32.const 11))))))
    (if (call $letter (i32.const 109)) (then (return (call $answer (i32.const 1088) (i32.const 48))))) ;; map
    (if (call $letter (i32.const 106)) (then (return (call $answer (i32.const 1152) (i32.const 170))))) ;; json
    (if (call $letter (i32.const 98)) (then (return (call $answer (i32.const 1536) (i32.const 13))))) ;; bad
    (call $error (i32.const 1024) (i32.const 17))
    (i32.const 0)))
