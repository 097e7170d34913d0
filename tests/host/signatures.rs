//! Section 1 and 2: the nine imports, and the flow of one call.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use wapcd::host::{Stream, functions};

use crate::{
    guest::{assemble, compile, guest, menu},
    hosts::{Setup, both},
    lines::Lines,
};

// protocol: sig.guest-request
#[test]
fn the_guest_gets_operation_and_payload() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        assert_eq!(host.call("echo", "payload").unwrap(), "payload");
        assert_eq!(host.call("name me", "payload").unwrap(), "name me");
    });
}

// protocol: sig.guest-request
#[test]
fn the_payload_is_written_after_the_operation() {
    both(|kind| {
        // Both at one place: what is written last stays.
        let body = "(call $request (i32.const 64) (i32.const 64))
                    (call $response (i32.const 64) (i32.const 9)) (return (i32.const 1))";
        let mut host = Setup::default().start(&compile(&guest(body)), kind).unwrap();
        assert_eq!(host.call("operation", "PAY").unwrap(), "PAYration");
    });
}

// protocol: sig.guest-response
// protocol: sig.guest-error
#[test]
fn the_last_response_and_the_last_error_win() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        assert_eq!(host.call("last", "1").unwrap(), "larger");
        assert_eq!(host.error("last", ""), "small");
    });
}

// protocol: sig.host-call
#[test]
fn a_host_call_carries_three_names_and_a_payload() {
    both(|kind| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::clone(&seen);
        let setup = Setup::answering(move |_, call| {
            calls.lock().push(call.clone());
            Ok("answer".into())
        });
        assert_eq!(setup.menu(kind).call("host", "payload").unwrap(), "answer");
        let seen = seen.lock();
        let [call] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((call.binding(), call.namespace(), call.operation()), ("binding", "namespace", "operation"));
        assert_eq!(call.payload, "payload");
    });
}

// protocol: sig.host-call
// protocol: flow.host-calls
#[test]
fn a_host_call_returns_one_for_success_and_zero_for_an_error() {
    both(|kind| {
        let body = "(i32.store8 (i32.const 0) (i32.add (i32.const 48)
                      (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                        (i32.const 0) (i32.const 0))))
                    (i32.store8 (i32.const 1) (i32.add (i32.const 48)
                      (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                        (i32.const 0) (i32.const 0))))
                    (call $response (i32.const 0) (i32.const 2)) (return (i32.const 1))";
        let count = AtomicU32::new(0);
        let setup = Setup::answering(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok("fine".into()),
            _ => Err("not fine".into()),
        });
        let mut host = setup.start(&compile(&guest(body)), kind).unwrap();
        assert_eq!(host.call("any", "").unwrap(), "10");
    });
}

// protocol: sig.host-response-len
// protocol: sig.host-response
// protocol: sig.host-error-len
// protocol: sig.host-error
#[test]
fn the_host_answers_with_a_response_or_an_error_and_never_both() {
    both(|kind| {
        let count = AtomicU32::new(0);
        let setup = Setup::answering(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
            0 | 2 => Ok("fine".into()),
            _ => Err("not fine".into()),
        });
        // Two host calls; then both lengths as digits, then what is there.
        let once = "(drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                      (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))";
        let body = format!(
            "{once} {once}
             (i32.store8 (i32.const 64) (i32.add (i32.const 48) (call $host_response_len)))
             (call $host_response (i32.const 65))
             (call $host_error (i32.const 66))
             (call $response (i32.const 64) (i32.add (i32.const 2) (call $host_error_len))) (return (i32.const 1))"
        );
        let mut host = setup.start(&compile(&guest(&body)), kind).unwrap();
        // The second host call failed: no response is left of the first.
        assert_eq!(host.call("any", "").unwrap(), "0\0internal: not fine");
    });
}

// protocol: sig.host-response-len
// protocol: sig.host-error-len
// protocol: sig.host-response
// protocol: sig.host-error
#[test]
fn without_a_host_call_there_is_neither_response_nor_error() {
    both(|kind| {
        // The menu guest also asks for them at a pointer where nothing could be written.
        assert_eq!(&Setup::default().menu(kind).call("left", "").unwrap()[..], [0; 8]);
    });
}

// protocol: sig.console-log
#[test]
fn a_guest_logs_a_line() {
    both(|kind| {
        let lines = Arc::new(Lines::default());
        let mut setup = Setup::default();
        setup.options.console = lines.clone();
        assert_eq!(setup.menu(kind).call("log", "a line").unwrap(), "");
        assert_eq!(lines.take(), [(Stream::Log, "a line".to_owned())]);
    });
}

// protocol: flow.clear
#[test]
fn a_call_begins_with_nothing_left_of_the_last_one() {
    both(|kind| {
        let mut host = Setup::reversing().menu(kind);
        assert_eq!(host.call("host", "abc").unwrap(), "cba");
        assert_eq!(&host.call("left", "").unwrap()[..], [0; 8]);
        assert_eq!(host.error("fail", "text"), "text");
        assert_eq!(host.error("silent", ""), "no response");
        assert_eq!(host.error("mute", ""), "no error message");
    });
}

// protocol: flow.clear
#[test]
fn a_call_begins_with_nothing_left_of_the_start_functions() {
    both(|kind| {
        let start = r#"(func (export "wapc_init")
            (drop (call $host_call (i32.const 100) (i32.const 7) (i32.const 107) (i32.const 9) (i32.const 116)
              (i32.const 9) (i32.const 0) (i32.const 5)))
            (call $response (i32.const 0) (i32.const 5)) (call $error (i32.const 0) (i32.const 5)))
            (func $inner"#;
        let text = menu().replacen("(func $inner", start, 1);
        for setup in [Setup::reversing(), Setup::default()] {
            let mut host = setup.start(&compile(&text), kind).unwrap();
            assert_eq!(&host.call("left", "").unwrap()[..], [0; 8]);
            assert_eq!(host.error("silent", ""), "no response");
        }
    });
}

// protocol: flow.request
#[test]
fn the_guest_is_told_the_lengths_and_fetches_the_request_itself() {
    both(|kind| {
        let body = "(i32.store8 (i32.const 0) (local.get $op)) (i32.store8 (i32.const 1) (local.get $len))
                    (call $response (i32.const 0) (i32.const 2)) (return (i32.const 1))";
        let text = guest(body).replacen("(call $request (i32.const 4096) (i32.const 131072))", "", 1);
        assert!(!text.contains("(call $request"), "this guest never asks for its request");
        let mut host = Setup::default().start(&compile(&text), kind).unwrap();
        assert_eq!(&host.call("twelve bytes", "seven b").unwrap()[..], [12, 7]);
    });
}

// protocol: flow.host-calls
#[test]
fn a_guest_may_call_the_host_any_number_of_times() {
    both(|kind| {
        let count = Arc::new(AtomicU32::new(0));
        let calls = Arc::clone(&count);
        let setup = Setup::answering(move |_, _| Ok(calls.fetch_add(1, Ordering::SeqCst).to_string().into()));
        let mut host = setup.menu(kind);
        for nth in 0..100 {
            // Two host calls each; the guest answers with what the second brought.
            assert_eq!(host.call("twice", "").unwrap(), (2 * nth + 1).to_string());
        }
        assert_eq!(count.load(Ordering::SeqCst), 200);
    });
}

// protocol: flow.result
#[test]
fn any_number_but_zero_is_success() {
    both(|kind| assert_eq!(Setup::default().menu(kind).call("minus", "").unwrap(), "small"));
}

// protocol: flow.reactive
#[test]
fn a_guest_does_nothing_between_calls() {
    both(|kind| {
        let lines = Arc::new(Lines::default());
        let mut setup = Setup::default();
        setup.options.console = lines.clone();
        let mut host = setup.menu(kind);
        let first = host.count();
        crate::deadline::rest(20);
        assert_eq!((host.count(), lines.texts().len()), (first + 1, 0));
    });
}

// protocol: engine.names
#[test]
fn the_names_of_all_functions_are_public_constants() {
    let imports = [
        functions::GUEST_REQUEST,
        functions::GUEST_RESPONSE,
        functions::GUEST_ERROR,
        functions::HOST_CALL,
        functions::HOST_RESPONSE_LEN,
        functions::HOST_RESPONSE,
        functions::HOST_ERROR_LEN,
        functions::HOST_ERROR,
        functions::CONSOLE_LOG,
    ];
    let text = menu();
    for name in imports {
        assert!(text.contains(&format!("(import \"{}\" \"{name}\"", functions::HOST_NAMESPACE)), "{name}");
    }
    assert!(text.contains(&format!("(export \"{}\")", functions::GUEST_CALL)));
    assert!(text.contains(&format!("(export \"{}\")", functions::MEMORY)));
    assert_eq!([functions::START, functions::INITIALIZE, functions::WAPC_INIT], ["_start", "_initialize", "wapc_init"]);
    assert_eq!((functions::ENV_NAMESPACE, functions::ABORT), ("env", "abort"));
}

/// The guest of the documentation's examples is what its text says.
#[test]
fn the_documented_echo_guest_is_assembled_from_its_text() {
    let assembled = assemble(include_str!("../../src/host/echo.wat"));
    // What follows are the names of the text.
    assert!(assembled.starts_with(wapcd::host::doc::ECHO_GUEST));
}
