//! Section 3: what is refused when a module is loaded, and how the refusal reads.

use wapcd::host::{GuestExit, LoadError, TrapKind, WasiParams};

use crate::{
    guest::{ENGINE, assemble, compile, guest_with, menu},
    hosts::{Setup, both},
};

/// Why these bytes are refused.
fn refusal(bytes: &[u8]) -> LoadError {
    match ENGINE.compile(bytes) {
        Err(error) => error,
        Ok(_) => panic!("{bytes:?} was accepted"),
    }
}

fn not_a_module(bytes: &[u8]) -> String {
    match refusal(bytes) {
        LoadError::NotAModule(text) => text,
        other => panic!("expected that this is not a module, got {other:?}"),
    }
}

const REQUIRED: &str = r#"(memory (export "memory") 1)
    (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 0))"#;

// protocol: load.start-type
#[test]
fn a_start_function_of_another_type_is_named_with_its_type() {
    for name in ["_start", "_initialize", "wapc_init"] {
        for (export, found) in [
            (format!("(func (export \"{name}\") (param i32))"), "(param i32)"),
            (format!("(func (export \"{name}\") (result i64) (i64.const 1))"), "(result i64)"),
            (format!("(global (export \"{name}\") i32 (i32.const 1))"), "a global"),
        ] {
            let error = refusal(&assemble(&format!("(module {REQUIRED} {export})")));
            assert!(matches!(error, LoadError::Export { name: wrong, .. } if wrong == name), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(found), "{text}");
        }
    }
}

// protocol: export.required
// protocol: load.required-exports
#[test]
fn a_missing_or_mistyped_required_export_is_named() {
    let memory = r#"(memory (export "memory") 1)"#;
    let cases = [
        ("".to_owned(), "export `memory` is missing"),
        (memory.to_owned(), "export `__guest_call` is missing"),
        (r#"(global (export "memory") i32 (i32.const 0))"#.to_owned(), "export `memory` is a global"),
        (format!("{memory} (global (export \"__guest_call\") i32 (i32.const 0))"), "export `__guest_call` is a global"),
        (
            format!("{memory} (func (export \"__guest_call\") (param i32) (result i32) (i32.const 0))"),
            "export `__guest_call` is (type (func (param i32) (result i32)))",
        ),
        (
            format!("{memory} (func (export \"__guest_call\") (param i32 i64) (result i32) (i32.const 0))"),
            "expected (func (param i32 i32) (result i32))",
        ),
        (format!("{memory} (func (export \"__guest_call\") (param i32 i32))"), "export `__guest_call` is"),
    ];
    for (text, expected) in cases {
        let error = refusal(&assemble(&format!("(module {text})"))).to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}

// protocol: export.optional
#[test]
fn a_guest_with_the_two_required_exports_loads() {
    ENGINE.compile(&assemble(&format!("(module {REQUIRED})"))).unwrap();
}

// protocol: load.unknown-imports
#[test]
fn all_unknown_imports_are_listed_with_their_types() {
    let text = r#"(module
          (import "env" "missing" (func (param i32 f64) (result i64)))
          (import "wapc" "__host_call" (func (param i32)))
          (import "wapc" "__shutdown" (func))
          (import "wasi_snapshot_preview2" "fd_write" (func (param i32)))
          (import "env" "base" (global i32))
          (import "env" "memory" (memory 1))
          (import "env" "table" (table 1 funcref))
          (import "wapc" "__console_log" (func (param i32 i32)))
          (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 0)))"#;
    let error = refusal(&assemble(text));
    let LoadError::UnknownImports(list) = &error else { panic!("{error:?}") };
    assert_eq!(list.len(), 7, "{list:#?}");
    let expected = [
        ("env.missing", "(param i32 f64) (result i64)"),
        ("wapc.__host_call", "offered as"),
        ("wapc.__shutdown", "func"),
        ("wasi_snapshot_preview2.fd_write", "(param i32)"),
        ("env.base", "a global"),
        ("env.memory", "a memory"),
        ("env.table", "a table"),
    ];
    for ((name, ty), line) in expected.iter().zip(list) {
        assert!(line.starts_with(name) && line.contains(ty), "{line} should be {name} with {ty}");
        assert!(error.to_string().contains(line.as_str()));
    }
}

/// A guest that aborts, with AssemblyScript strings at 308 and 408.
fn aborting(message: u32, file: u32) -> String {
    let data = r#"(data (i32.const 304) "\0c\00\00\00b\00\f6\00s\00e\00!\00\0a\00")
                  (data (i32.const 404) "\08\00\00\00a\00.\00t\00s\00")"#;
    let import = r#"(import "env" "abort" (func $abort (param i32 i32 i32 i32)))"#;
    let body = format!(
        "(call $error (i32.const 0) (i32.const 6))
         (call $abort (i32.const {message}) (i32.const {file}) (i32.const 12) (i32.const 34))"
    );
    guest_with(import, data, &body)
}

// protocol: load.env-abort
// protocol: import.env-abort
#[test]
fn an_abort_is_a_trap_with_the_guests_message_file_line_and_column() {
    both(|kind| {
        let mut host = Setup::default().start(&compile(&aborting(308, 408)), kind).unwrap();
        let exit = host.exit("any", "");
        let GuestExit::Trapped(trap) = exit else { panic!("{exit:?}") };
        assert_eq!(trap.kind, TrapKind::Abort);
        assert_eq!(trap.message, "abort: böse!\n at a.ts:12:34");
        assert_eq!(trap.guest_error.as_deref(), Some("answer"));
        assert_eq!(trap.backtrace.len(), 1, "{:?}", trap.backtrace);
    });
}

// protocol: load.env-abort
#[test]
fn an_abort_without_readable_strings_is_still_an_abort() {
    both(|kind| {
        for wild in [0, 3, 0x7fff_ffff, u32::MAX] {
            let mut host = Setup::default().start(&compile(&aborting(wild, wild)), kind).unwrap();
            let GuestExit::Trapped(trap) = host.exit("any", "") else { panic!() };
            assert_eq!(trap.message, "abort: (no message) at (no file):12:34");
        }
    });
}

// protocol: load.not-wasm
#[test]
fn bytes_that_are_no_module_are_refused_with_what_they_are() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "empty"),
        (b"\x7fELF\x02\x01\x01", "precompiled or native code (ELF)"),
        (b"(module)", "WebAssembly text"),
        (b"\n  (module)", "WebAssembly text"),
        (b";; a guest\n(module)", "WebAssembly text"),
        (b"#!/bin/sh", "does not begin with the magic number"),
        (b"\0asm\x02\0\0\0", "unknown version"),
        (&[0xff; 4096], "does not begin with the magic number"),
    ];
    for (bytes, expected) in cases {
        let text = not_a_module(bytes);
        assert!(text.contains(expected), "{text} does not say {expected}");
    }
}

// protocol: load.component
#[test]
fn a_component_is_refused_as_one() {
    let text = not_a_module(&assemble("(component)"));
    assert!(text.contains("component") && text.contains("core modules"), "{text}");
}

// protocol: load.truncated
#[test]
fn a_module_that_is_cut_anywhere_is_refused() {
    let whole = assemble(&menu());
    let mut truncated = 0;
    for end in (0..whole.len()).step_by(3).chain(0..40) {
        match refusal(&whole[..end]) {
            LoadError::NotAModule(text) => {
                assert!(end == 0 || text.contains("truncated"), "at {end}: {text}");
                truncated += 1;
            }
            // Cut between two sections, what is left is well formed, but lacks what comes later.
            LoadError::Export { .. } => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
    assert!(truncated > whole.len() / 4, "{truncated} of {} cuts were seen as such", whole.len());
}

// protocol: load.not-wasm
#[test]
fn a_module_that_is_broken_inside_is_refused() {
    let error = refusal(&assemble("(module (func (result i32)))"));
    assert!(matches!(error, LoadError::Compile(_)), "{error:?}");
    assert!(wapcd::host::chain(&error).len() > "the module does not compile: ".len());
}

// protocol: load.not-wasm
#[test]
fn what_the_engine_does_not_take_is_a_load_error() {
    for module in [
        r#"(memory (export "memory") i64 1)"#,
        r#"(memory (export "memory") 1 2 shared)"#,
        r#"(memory (export "memory") 1) (memory 1)"#,
        r#"(memory (export "memory") 1) (table 1048577 funcref)"#,
        r#"(memory (export "memory") 1)
           (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)"#,
    ] {
        let call = r#"(func (export "__guest_call") (param i32 i32) (result i32) (i32.const 0))"#;
        let error = refusal(&assemble(&format!("(module {module} {call})")));
        assert!(matches!(error, LoadError::Compile(_)), "{module}: {error:?}");
    }
}

// protocol: load.required-exports
#[test]
fn a_host_function_exported_as_the_guest_call_harms_nobody() {
    // The types fit, so the module loads; what is called then has no memory to work on.
    let text = r#"(module (import "wasi_snapshot_preview1" "args_sizes_get" (func $f (param i32 i32) (result i32)))
        (memory (export "memory") 1) (export "__guest_call" (func $f)))"#;
    let module = compile(text);
    assert!(module.imports_wasi());
    drop(module.provider(WasiParams::default()));
    let mut host = Setup::default().start(&module, crate::hosts::Kind::Async).unwrap();
    host.exit("any", "");
}
