//! A guest that calls the host's imports with whatever integers it is given, shared with `fuzz/`.

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use wapcd::host::{
    BoxError, CallError, EngineSettings, GuestExit, HostOptions, Limits, TrapKind, WapcHost, WapcHostAsync,
    WasmtimeEngine,
};

/// Bytes of one call: which import, and eight numbers.
const RECORD: usize = 36;

/// Calls one import for each record of the payload, then answers with `fine`.
const GUEST: &str = r#"(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $at (mut i32) (i32.const 0))
  (func $n (param $nth i32) (result i32)
    (i32.load (i32.add (global.get $at) (i32.shl (local.get $nth) (i32.const 2)))))
  (func $one
    (block $b10 (block $b9 (block $b8 (block $b7 (block $b6 (block $b5 (block $b4 (block $b3 (block $b2 (block $b1 (block $b0
      (br_table $b0 $b1 $b2 $b3 $b4 $b5 $b6 $b7 $b8 $b9 $b10 (i32.rem_u (call $n (i32.const 0)) (i32.const 11))))
      (call $request (call $n (i32.const 1)) (call $n (i32.const 2))) (return))
      (call $response (call $n (i32.const 1)) (call $n (i32.const 2))) (return))
      (call $error (call $n (i32.const 1)) (call $n (i32.const 2))) (return))
      (drop (call $host_call (call $n (i32.const 1)) (call $n (i32.const 2)) (call $n (i32.const 3))
        (call $n (i32.const 4)) (call $n (i32.const 5)) (call $n (i32.const 6)) (call $n (i32.const 7))
        (call $n (i32.const 8)))) (return))
      (drop (call $host_response_len)) (return))
      (call $host_response (call $n (i32.const 1))) (return))
      (drop (call $host_error_len)) (return))
      (call $host_error (call $n (i32.const 1))) (return))
      (call $log (call $n (i32.const 1)) (call $n (i32.const 2))) (return))
      (call $abort (call $n (i32.const 1)) (call $n (i32.const 2)) (call $n (i32.const 3)) (call $n (i32.const 4)))
      (return))
    (drop (memory.grow (i32.and (call $n (i32.const 1)) (i32.const 15)))))
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 16) (i32.const 65536))
    (global.set $at (i32.const 65536))
    (loop $on (if (i32.ge_u (local.get $len) (i32.const 36)) (then
      (call $one)
      (global.set $at (i32.add (global.get $at) (i32.const 36)))
      (local.set $len (i32.sub (local.get $len) (i32.const 36)))
      (br $on))))
    ;; "fine", anew: a call before may have written over it.
    (i32.store (i32.const 0) (i32.const 0x656e6966))
    (if (local.get $op) (then (call $response (i32.const 0) (i32.const 4))))
    (i32.const 1)))"#;

/// The hosts of this thread. They live on from one input to the next, whatever happens to their instances.
struct Hosts {
    engine: WasmtimeEngine,
    plain: WapcHost,
    asynchronous: WapcHostAsync,
    runtime: Runtime,
}

thread_local! {
    static HOSTS: RefCell<Hosts> = RefCell::new(hosts());
}

fn hosts() -> Hosts {
    let engine = WasmtimeEngine::new(EngineSettings { instances: 4, ..EngineSettings::default() }).unwrap();
    let module = engine.compile(&wat::parse_str(GUEST).unwrap()).unwrap();
    let provider = || Box::new(module.provider(Default::default()));
    let limits = Limits { memory: 1 << 20, response: 100_000, payload: 60_000, ..Limits::default() };
    let options =
        HostOptions { limits: Limits { deadline: Some(Duration::from_secs(20)), ..limits }, ..HostOptions::default() };
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let plain = Box::new(|_, _: &str, _: &str, operation: &str, payload: &[u8]| answer(operation, payload));
    let plain = WapcHost::with_options(provider(), Some(plain), options.clone()).unwrap();
    let callback = Box::new(|_, call: wapcd::host::HostCall| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer(call.operation(), &call.payload)
        }) as _
    });
    let asynchronous = runtime.block_on(WapcHostAsync::with_options(provider(), Some(callback), options)).unwrap();
    Hosts { engine, plain, asynchronous, runtime }
}

fn answer(operation: &str, payload: &[u8]) -> Result<Bytes, BoxError> {
    match operation.len() % 3 {
        0 => Ok(Bytes::copy_from_slice(payload)),
        1 => Ok(Bytes::new()),
        _ => Err(String::from_utf8_lossy(payload).into()),
    }
}

/// Takes apart what a fuzzer gives into calls of imports, and checks that both hosts survive them with a typed outcome.
pub(crate) fn hostile(data: &[u8]) {
    let payload = records(data);
    HOSTS.with_borrow_mut(|hosts| {
        let operation = if data.len().is_multiple_of(2) { "" } else { "operation" };
        let outcome = hosts.plain.call(operation, payload.clone());
        check(&outcome);
        let other = hosts.runtime.block_on(hosts.asynchronous.call(operation, payload));
        check(&other);
        assert_eq!(format!("{outcome:?}"), format!("{other:?}"), "the two paths differ");
        assert_eq!(hosts.plain.call("go on", "").unwrap(), "fine");
        assert_eq!(hosts.runtime.block_on(hosts.asynchronous.call("go on", "")).unwrap(), "fine");
    });
}

/// Gives arbitrary bytes to the compiler; what it accepts has what waPC demands.
pub(crate) fn hostile_module(bytes: &[u8]) {
    HOSTS.with_borrow(|hosts| {
        if let Err(error) = hosts.engine.compile(bytes) {
            assert!(!wapcd::host::chain(&error).is_empty());
        }
    });
}

/// Numbers of five bytes each: the first says how the other four are meant, so that many lie near a boundary.
fn records(data: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let number = bytes[1..].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        match bytes[0] % 6 {
            0 => number,
            1 => number % 256,
            2 => number % 131_072,
            3 => 131_072 - number % 64,
            4 => number % 600_000,
            _ => u32::MAX - number % 64,
        }
    };
    let numbers: Vec<_> = data.chunks_exact(5).map(number).collect();
    let mut payload: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    payload.truncate(32_768 / RECORD * RECORD);
    payload
}

/// Only what this guest can bring about.
fn check(outcome: &Result<Bytes, CallError>) {
    match outcome {
        Ok(_)
        | Err(CallError::Guest(_) | CallError::TooLarge { .. } | CallError::Exit(GuestExit::LimitExceeded { .. })) => {}
        Err(CallError::Exit(GuestExit::Trapped(trap))) => {
            let known = [TrapKind::BadPointer, TrapKind::Abort, TrapKind::MemoryOutOfBounds];
            assert!(known.contains(&trap.kind), "{trap:?}");
            assert!(!trap.message.is_empty() && !trap.backtrace.is_empty(), "{trap:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
}
