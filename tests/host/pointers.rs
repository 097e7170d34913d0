//! Section 5: pointers and lengths of guests, good and garbage, at all nine imports.

use wapcd::host::{GuestExit, Limits, TrapKind};

use crate::{
    guest::{assemble, compile, guest},
    hosts::{Setup, both},
};

/// Calls of each import that has pointers, with a place for pointer and length. `__host_call` has four such places.
const CALLS: &[(&str, &str)] = &[
    ("__guest_request", "(call $request (i32.const PTR) (i32.const 64))"),
    ("__guest_request", "(call $request (i32.const 64) (i32.const PTR))"),
    ("__guest_response", "(call $response (i32.const PTR) (i32.const LEN))"),
    ("__guest_error", "(call $error (i32.const PTR) (i32.const LEN))"),
    ("__host_call", "(call $call_b (i32.const PTR) (i32.const LEN))"),
    ("__host_call", "(call $call_n (i32.const PTR) (i32.const LEN))"),
    ("__host_call", "(call $call_o (i32.const PTR) (i32.const LEN))"),
    ("__host_call", "(call $call_p (i32.const PTR) (i32.const LEN))"),
    ("__host_response", "(call $call_p (i32.const 0) (i32.const 6)) (call $host_response (i32.const PTR))"),
    ("__host_error", "(call $call_b (i32.const 128) (i32.const 1)) (call $host_error (i32.const PTR))"),
    ("__console_log", "(call $log (i32.const PTR) (i32.const LEN))"),
];

/// A host call with one part at a given place; byte 128 is not UTF-8, so a name from there is an error of the host.
fn helpers() -> String {
    let part = |wanted: char, letter: char| match wanted == letter {
        true => "(local.get 0) (local.get 1)",
        false => "(i32.const 0) (i32.const 0)",
    };
    ['b', 'n', 'o', 'p']
        .into_iter()
        .map(|wanted| {
            let parts: Vec<_> = "bnop".chars().map(|letter| part(wanted, letter)).collect();
            format!("(func $call_{wanted} (param i32 i32) (drop (call $host_call {})))", parts.join(" "))
        })
        .collect::<String>()
        + r#"(data (i32.const 128) "\ff")"#
}

fn module(call: &str, ptr: u32, len: u32) -> wapcd::host::CompiledModule {
    let call = call.replace("PTR", &ptr.to_string()).replace("LEN", &len.to_string());
    compile(&crate::guest::guest_with("", &helpers(), &call))
}

const END: u32 = 8 * 65_536;

// protocol: hostcall.bad-pointer
// protocol: known.hostile-pointers
#[test]
fn a_pointer_or_length_outside_of_memory_is_a_trap_that_names_the_function() {
    both(|kind| {
        for (function, call) in CALLS {
            let places = match call.contains("LEN") {
                true => &[(END, 1), (END - 5, 6), (0, END + 1), (u32::MAX, 1), (u32::MAX, u32::MAX), (1, u32::MAX)][..],
                false => &[(END, 0), (END - 1, 0), (u32::MAX, 0), (0x8000_0000, 0)][..],
            };
            for &(ptr, len) in places {
                let mut host = Setup::reversing().start(&module(call, ptr, len), kind).unwrap();
                let exit = host.exit("operation", "payload");
                let GuestExit::Trapped(trap) = exit else { panic!("{call} {ptr} {len}: {exit:?}") };
                assert_eq!(trap.kind, TrapKind::BadPointer, "{call} {ptr} {len}");
                assert!(trap.message.contains(function), "{call}: {}", trap.message);
                assert!(!trap.backtrace.is_empty());
            }
        }
    });
}

// protocol: hostcall.bad-pointer
#[test]
fn the_last_bytes_of_memory_can_be_used() {
    both(|kind| {
        for (_, call) in CALLS {
            let (ptr, len) = if call.contains("LEN") { (END - 6, 6) } else { (END - 128, 0) };
            let mut host = Setup::reversing().start(&module(call, ptr, len), kind).unwrap();
            assert_eq!(host.call("op", "payload").unwrap(), "answer", "{call}");
        }
    });
}

// protocol: hostcall.zero-bytes
#[test]
fn zero_bytes_are_fine_at_any_pointer() {
    both(|kind| {
        for ptr in [0, END, END + 1, 0x8000_0000, u32::MAX] {
            for (_, call) in CALLS.iter().filter(|(_, call)| call.contains("LEN") || call.contains("$request")) {
                let mut host = Setup::reversing().start(&module(call, ptr, 0), kind).unwrap();
                assert_eq!(host.call("", "").unwrap(), "answer", "{call} at {ptr:#x}");
            }
            // Nothing to write: the answer of the host is empty, or there is none.
            let body = format!(
                "(call $host_response (i32.const {ptr})) (call $host_error (i32.const {ptr}))
                 (drop (call $host_call (i32.const {ptr}) (i32.const 0) (i32.const {ptr}) (i32.const 0)
                   (i32.const {ptr}) (i32.const 0) (i32.const {ptr}) (i32.const 0)))
                 (call $host_response (i32.const {ptr})) (call $host_error (i32.const {ptr}))"
            );
            let mut host = Setup::reversing().start(&compile(&guest(&body)), kind).unwrap();
            assert_eq!(host.call("", "").unwrap(), "answer");
        }
    });
}

// protocol: hostcall.high-pointer
#[test]
fn pointers_at_and_above_two_gib_work() {
    both(|kind| {
        for base in [0x7fff_fffcu32, 0x8000_0000, 0x9000_0000] {
            let (op, payload, answer) = (base, base.wrapping_add(0x1000), base.wrapping_add(0x2000));
            let text = guest("")
                .replacen("\"memory\") 8", "\"memory\") 40000", 1)
                .replacen("(i32.const 4096) (i32.const 131072)", &format!("(i32.const {op}) (i32.const {payload})"), 1)
                .replacen(
                    "(call $response (i32.const 0) (i32.const 6))",
                    &format!(
                        "(call $log (i32.const {op}) (local.get $op))
                         (drop (call $host_call (i32.const {op}) (local.get $op) (i32.const {op}) (local.get $op)
                           (i32.const {op}) (local.get $op) (i32.const {payload}) (local.get $len)))
                         (call $host_response (i32.const {answer})) (call $host_error (i32.const {answer}))
                         (call $error (i32.const {answer}) (call $host_error_len))
                         (call $response (i32.const {answer}) (call $host_response_len))"
                    ),
                    1,
                );
            let limits = Limits { memory: 4 << 30, ..Limits::default() };
            let mut host = Setup::reversing().limits(limits).start(&compile(&text), kind).unwrap();
            assert_eq!(host.call("operation", "payload").unwrap(), "daolyap", "{base:#x}");
        }
    });
}

// protocol: hostcall.high-pointer
#[test]
fn the_last_byte_of_four_gib_works() {
    both(|kind| {
        let text = r#"(module (import "wapc" "__guest_request" (func $request (param i32 i32)))
            (import "wapc" "__guest_response" (func $response (param i32 i32)))
            (memory (export "memory") 65536)
            (func (export "__guest_call") (param i32 i32) (result i32)
              (call $request (i32.const 0) (i32.const -1)) (call $response (i32.const -1) (i32.const 1)) (i32.const 1)))"#;
        let module = crate::guest::ENGINE.compile(&assemble(text)).unwrap();
        let limits = Limits { memory: 4 << 30, ..Limits::default() };
        let mut host = Setup::default().limits(limits).start(&module, kind).unwrap();
        assert_eq!(host.call("op", "!").unwrap(), "!");
        assert!(matches!(host.exit("op", "??"), GuestExit::Trapped(_)));
    });
}
