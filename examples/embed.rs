//! Embeds the host library: runs a guest that asks its host for a greeting. `cargo run --example embed`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, time::Duration};

use wapcd::host::{
    CallError, EngineSettings, HostCallError, HostErrorKind, HostOptions, Limits, WapcHost, WasmtimeEngine,
};

/// A guest of a few lines; real ones come out of a compiler, as `.wasm` files. It sends what it was called with to the
/// host as `("greetings", "en", "greet")`, and answers with what comes back. Called with nothing, it traps.
const GUEST: &str = r#"(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $answer_len (result i32)))
  (import "wapc" "__host_response" (func $answer (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "greetings" "en" "greet")
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 100) (i32.const 200))
    (if (i32.eqz (local.get $len)) (then (unreachable)))
    (drop (call $call (i32.const 0) (i32.const 9) (i32.const 9) (i32.const 2) (i32.const 11) (i32.const 5)
      (i32.const 200) (local.get $len)))
    (call $answer (i32.const 1000))
    (call $response (i32.const 1000) (call $answer_len))
    (i32.const 1)))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = WasmtimeEngine::new(EngineSettings::default())?;
    let module = engine.compile(&wat::parse_str(GUEST)?)?;
    let limits = Limits { memory: 1 << 20, deadline: Some(Duration::from_secs(1)), ..Limits::default() };
    let options = HostOptions { limits, ..HostOptions::default() };
    let mut host = WapcHost::with_options(
        Box::new(module.provider(Default::default())),
        Some(Box::new(|_id, binding, language, operation, payload| match (binding, language, operation) {
            ("greetings", "en", "greet") => Ok(format!("Hello, {}!", String::from_utf8_lossy(payload)).into()),
            _ => Err(HostCallError::new(HostErrorKind::NoSuchBinding, format!("no binding {binding}")).into()),
        })),
        options,
    )?;

    println!("{}", String::from_utf8_lossy(&host.call("greet", "world")?));
    match host.call("greet", "") {
        Err(CallError::Exit(exit)) => println!("the instance ended: {exit}"),
        other => println!("{other:?}"),
    }
    // The next call runs in a fresh instance.
    println!("{}", String::from_utf8_lossy(&host.call("greet", "again")?));
    Ok(())
}
