//! Guests in WAT, assembled when a test asks for them. The menu guest does what the operation's name says; others are
//! written around one body.

use std::{fmt::Write, sync::LazyLock};

use wapcd::host::{CompiledModule, EngineSettings, Execution, WasmtimeEngine};

/// Where guests of this file let the host put the operation, the payload, and answers to host calls.
pub(crate) const OPERATION_AT: u32 = 0x1000;
pub(crate) const PAYLOAD_AT: u32 = 0x20000;

/// Settings of an engine of these tests: the same tests run in two programs, which differ in how guests run.
pub(crate) fn settings() -> EngineSettings {
    let execution = match env!("CARGO_CRATE_NAME") {
        "interpreted" => Execution::Interpreted,
        _ => Execution::Compiled,
    };
    EngineSettings { execution, ..EngineSettings::default() }
}

/// One engine for all tests of the process: a pool reserves address space.
pub(crate) static ENGINE: LazyLock<WasmtimeEngine> =
    LazyLock::new(|| WasmtimeEngine::new(EngineSettings { instances: 128, ..settings() }).unwrap());

/// The menu guest, compiled once.
pub(crate) static MENU: LazyLock<CompiledModule> = LazyLock::new(|| compile(&menu()));

/// All nine imports of waPC.
const IMPORTS: &str = r#"
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))"#;

/// What the menu guest offers: first four letters of an operation, and what it does. `$len` is the payload's length.
const DISHES: &[(&str, &str)] = &[
    ("echo", "(call $response (global.get $in) (local.get $len)) (i32.const 1)"),
    // Calls the host with the payload and passes its answer on, be it a response or an error.
    ("host", "(call $pass (local.get $len))"),
    ("twice", "(drop (call $call (local.get $len))) (call $pass (local.get $len))"),
    ("fail", "(call $error (global.get $in) (local.get $len)) (i32.const 0)"),
    ("mute", "(i32.const 0)"),
    ("silent", "(i32.const 1)"),
    ("error", "(call $error (global.get $in) (local.get $len)) (i32.const 1)"),
    ("also", "(call $error (i32.const 0) (i32.const 5)) (call $response (global.get $in) (local.get $len)) (i32.const 1)"),
    ("both", "(call $error (i32.const 0) (i32.const 5)) (call $response (global.get $in) (local.get $len)) (i32.const 0)"),
    ("last", "(call $response (i32.const 0) (i32.const 5)) (call $response (i32.const 5) (i32.const 6))
              (call $error (i32.const 5) (i32.const 6)) (call $error (i32.const 0) (i32.const 5)) (local.get $len)"),
    ("minus", "(call $response (i32.const 0) (i32.const 5)) (i32.const -1)"),
    ("trap", "(call $inner)"),
    ("said", "(call $error (i32.const 0) (i32.const 5)) (call $inner)"),
    ("spin", "(loop $on (br $on)) (i32.const 1)"),
    // Calls the host again and again, and never ends by itself.
    ("busy", "(loop $on (drop (call $call (i32.const 0))) (br $on)) (i32.const 1)"),
    ("recurse", "(call $deeper (i32.const 0))"),
    // Grows by as many pages as the payload's number says, and traps where it cannot.
    ("grow", "(if (i32.eq (memory.grow (i32.load (global.get $in))) (i32.const -1)) (then (unreachable)))
              (call $response (i32.const 0) (i32.const 5)) (i32.const 1)"),
    ("tabl", "(if (i32.eq (table.grow (ref.null func) (i32.load (global.get $in))) (i32.const -1)) (then (unreachable)))
              (call $response (i32.const 0) (i32.const 5)) (i32.const 1)"),
    ("handled", "(if (i32.eq (memory.grow (i32.load (global.get $in))) (i32.const -1))
                   (then (call $response (i32.const 5) (i32.const 6))) (else (call $response (i32.const 0) (i32.const 5))))
                 (i32.const 1)"),
    ("log", "(call $log (global.get $in) (local.get $len)) (call $response (i32.const 0) (i32.const 0)) (i32.const 1)"),
    // Logs the payload as many times as its first number says.
    ("flood", "(local $n i32) (local.set $n (i32.load (global.get $in)))
               (loop $on (call $log (i32.const 0) (i32.const 5)) (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                 (br_if $on (local.get $n)))
               (call $response (i32.const 0) (i32.const 0)) (i32.const 1)"),
    // How many calls this instance has taken.
    ("count", "(global.set $count (i32.add (global.get $count) (i32.const 1)))
               (i32.store (i32.const 16) (global.get $count)) (call $response (i32.const 16) (i32.const 4)) (i32.const 1)"),
    // Lengths of the last host response and host error, as two numbers.
    ("left", "(i32.store (i32.const 16) (call $host_response_len)) (i32.store (i32.const 20) (call $host_error_len))
              (call $host_response (i32.const -1)) (call $host_error (i32.const -1))
              (call $response (i32.const 16) (i32.const 8)) (i32.const 1)"),
    ("name", "(call $response (global.get $op_at) (local.get $op)) (i32.const 1)"),
    // A response or an error text as long as the payload's number says.
    ("long", "(call $response (i32.const 0) (i32.load (global.get $in))) (i32.const 1)"),
    ("wild", "(call $response (i32.const -1) (i32.const 9)) (i32.const 1)"),
    ("rant", "(call $error (i32.const 0) (i32.load (global.get $in))) (i32.const 0)"),
];

/// Text of the menu guest.
pub(crate) fn menu() -> String {
    let mut functions = String::new();
    let mut choice = String::new();
    for (name, body) in DISHES {
        let letters: [u8; 4] = format!("{name:\0<4}").as_bytes()[..4].try_into().unwrap();
        let number = u32::from_le_bytes(letters);
        writeln!(functions, "(func $do_{name} (param $op i32) (param $len i32) (result i32) {body})").unwrap();
        writeln!(
            choice,
            "(if (i32.eq (local.get $name) (i32.const {number}))
               (then (return (call $do_{name} (local.get $op) (local.get $len)))))"
        )
        .unwrap();
    }
    format!(
        r#"(module {IMPORTS}
  (memory (export "memory") 8)
  (table 1 funcref)
  (data (i32.const 0) "small" "larger" "\00")
  (data (i32.const 100) "binding" "namespace" "operation")
  (global $op_at i32 (i32.const {OPERATION_AT}))
  (global $in i32 (i32.const {PAYLOAD_AT}))
  (global $count (mut i32) (i32.const 0))
  (func $inner (result i32) (unreachable))
  (func $deeper (param i32) (result i32) (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func $call (param $len i32) (result i32)
    (call $host_call (i32.const 100) (i32.const 7) (i32.const 107) (i32.const 9) (i32.const 116) (i32.const 9)
      (global.get $in) (local.get $len)))
  (func $pass (param $len i32) (result i32)
    (if (call $call (local.get $len))
      (then (call $host_response (global.get $in))
            (call $response (global.get $in) (call $host_response_len)) (return (i32.const 1))))
    (call $host_error (global.get $in))
    (call $error (global.get $in) (call $host_error_len)) (i32.const 0))
  {functions}
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32) (local $name i32)
    (call $request (global.get $op_at) (global.get $in))
    (local.set $name (i32.load (global.get $op_at)))
    (if (i32.lt_u (local.get $op) (i32.const 4)) (then
      (local.set $name (i32.and (local.get $name) (i32.const 0xffffff)))))
    {choice}
    (call $error (i32.const 0) (i32.const 0)) (i32.const 0)))"#
    )
}

/// A guest whose `__guest_call` fetches the request and then does `body`; it answers `answer` with 1 unless the body
/// returns. `more` stands in the module: further functions, exports, data; imports of its own come in `imports`.
pub(crate) fn guest_with(imports: &str, more: &str, body: &str) -> String {
    format!(
        r#"(module {IMPORTS} {imports}
  (memory (export "memory") 8)
  (data (i32.const 0) "answer")
  {more}
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (local $at i32) (local $errno i32) (local $n i64)
    (call $request (i32.const {OPERATION_AT}) (i32.const {PAYLOAD_AT}))
    {body}
    (call $response (i32.const 0) (i32.const 6))
    (i32.const 1)))"#
    )
}

/// A guest that does `body` in each call.
pub(crate) fn guest(body: &str) -> String {
    guest_with("", "", body)
}

pub(crate) fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

pub(crate) fn compile(text: &str) -> CompiledModule {
    ENGINE.compile(&assemble(text)).unwrap()
}

/// A number as the menu guest reads it from a payload.
pub(crate) fn number(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}
