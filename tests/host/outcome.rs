//! Section 4: what a call ends in when the guest returns, traps or exits. Limits and deadlines have files of their own.

use wapcd::host::{CallError, GuestExit, TrapKind};

use crate::{
    guest::{compile, guest, guest_with},
    hosts::{Kind, Setup, both},
    lines::log_of,
};

// protocol: outcome.ok
#[test]
fn a_response_and_success_are_the_response() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        assert_eq!(host.call("echo", "text").unwrap(), "text");
        assert_eq!(host.call("echo", "").unwrap(), "");
        let large = vec![7; 100_000];
        assert_eq!(host.call("echo", large.clone()).unwrap(), large);
    });
}

// protocol: outcome.ok-with-error
#[test]
fn a_response_wins_over_an_error_on_success_and_the_error_is_logged() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let log = log_of(|| assert_eq!(host.call("also", "text").unwrap(), "text"));
        assert!(log.contains("WARN") && log.contains("small"), "{log}");
    });
}

// protocol: outcome.error-only
#[test]
fn success_without_a_response_but_with_an_error_is_that_error() {
    both(|kind| assert_eq!(Setup::default().menu(kind).error("error", "text"), "text"));
}

// protocol: outcome.no-response
#[test]
fn success_without_anything_is_no_response() {
    both(|kind| assert_eq!(Setup::default().menu(kind).error("silent", ""), "no response"));
}

// protocol: outcome.failed
#[test]
fn a_failure_with_an_error_is_that_error_whatever_the_response() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        assert_eq!(host.error("fail", "text"), "text");
        assert_eq!(host.error("fail", ""), "");
        assert_eq!(host.error("both", "response"), "small");
        assert_eq!(host.error("fail", &b"\xffbroken"[..]), "\u{fffd}broken");
    });
}

// protocol: outcome.failed-silent
#[test]
fn a_failure_without_an_error_says_that_there_is_no_message() {
    both(|kind| {
        assert_eq!(Setup::default().menu(kind).error("mute", ""), "no error message");
        let body = "(call $response (i32.const 0) (i32.const 6)) (return (i32.const 0))";
        let mut host = Setup::default().start(&compile(&guest(body)), kind).unwrap();
        assert_eq!(host.error("any", ""), "no error message");
    });
}

// protocol: outcome.trap
#[test]
fn a_trap_has_a_kind_a_message_and_a_backtrace_with_names() {
    both(|kind| {
        let exit = Setup::default().menu(kind).exit("trap", "");
        let GuestExit::Trapped(trap) = exit else { panic!("{exit:?}") };
        assert_eq!(trap.kind, TrapKind::Unreachable);
        assert!(trap.message.contains("unreachable"), "{}", trap.message);
        let names: Vec<_> = trap.backtrace.iter().map(|frame| frame.function.as_deref()).collect();
        assert_eq!(names[..2], [Some("inner"), Some("do_trap")], "{:?}", trap.backtrace);
        assert_eq!((trap.backtrace.len(), trap.guest_error), (3, None));
        assert!(trap.backtrace[0].offset.is_some());
    });
}

// protocol: outcome.trap
#[test]
fn each_kind_of_trap_is_told_apart() {
    let table = "(table 2 funcref) (type $nothing (func)) (func $other (param i32)) (elem (i32.const 0) func $other)";
    let cases = [
        ("(unreachable)", TrapKind::Unreachable),
        ("(drop (i32.load (i32.const -8)))", TrapKind::MemoryOutOfBounds),
        ("(i32.store (i32.const 524288) (i32.const 1))", TrapKind::MemoryOutOfBounds),
        ("(drop (table.get 0 (i32.const 9)))", TrapKind::TableOutOfBounds),
        ("(call_indirect (type $nothing) (i32.const 0))", TrapKind::BadIndirectCall),
        ("(call_indirect (type $nothing) (i32.const 1))", TrapKind::BadIndirectCall),
        ("(drop (i32.div_u (local.get $len) (i32.const 0)))", TrapKind::Arithmetic),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", TrapKind::Arithmetic),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", TrapKind::Arithmetic),
        ("(call $response (i32.const -1) (i32.const 9))", TrapKind::BadPointer),
    ];
    both(|kind| {
        for (body, expected) in cases {
            let mut host = Setup::default().start(&compile(&guest_with("", table, body)), kind).unwrap();
            let exit = host.exit("any", "");
            let GuestExit::Trapped(trap) = exit else { panic!("{body}: {exit:?}") };
            assert_eq!(trap.kind, expected, "{body}: {}", trap.message);
            assert_eq!(trap.backtrace.len(), 1, "{body}");
        }
    });
}

// protocol: outcome.trap
#[test]
fn names_of_rust_functions_are_readable() {
    both(|kind| {
        let more = "(func $_ZN7greeter5hello17h0123456789abcdefE (unreachable))";
        let body = "(call $_ZN7greeter5hello17h0123456789abcdefE)";
        let mut host = Setup::default().start(&compile(&guest_with("", more, body)), kind).unwrap();
        let GuestExit::Trapped(trap) = host.exit("any", "") else { panic!() };
        assert_eq!(trap.backtrace[0].function.as_deref(), Some("greeter::hello"));
    });
}

// protocol: outcome.trap-keeps-error
#[test]
fn an_error_that_was_set_before_a_trap_is_kept_beside_it() {
    both(|kind| {
        let GuestExit::Trapped(trap) = Setup::default().menu(kind).exit("said", "") else { panic!() };
        assert_eq!((trap.kind, trap.guest_error.as_deref()), (TrapKind::Unreachable, Some("small")));
        assert!(trap.message.contains("unreachable"), "the trap's own message stays: {}", trap.message);
        assert!(trap.to_string().ends_with("(it had reported: small)"), "{trap}");
    });
}

// protocol: outcome.trap-long-texts
#[test]
fn what_a_guest_can_make_long_beside_a_trap_is_cut() {
    both(|kind| {
        let name = "n".repeat(100_000);
        let function = format!("(func ${name} (call $error (i32.const 0) (i32.const 9000)) (unreachable))");
        let module = compile(&guest_with("", &function, &format!("(call ${name})")));
        let GuestExit::Trapped(trap) = Setup::default().start(&module, kind).unwrap().exit("any", "") else { panic!() };
        assert_eq!(trap.guest_error.map(|text| text.len()), Some(4096));
        assert_eq!(trap.backtrace[0].function.as_ref().map(String::len), Some(256));
    });
}

// protocol: outcome.exit
#[test]
fn an_exit_in_a_call_tells_its_code_in_both_namespaces() {
    for namespace in ["wasi_snapshot_preview1", "wasi_unstable"] {
        for code in [0, 1, 125, 126, 127, 128, 255, 256, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let import = format!(r#"(import "{namespace}" "proc_exit" (func $exit (param i32)))"#);
            let body = format!("(call $exit (i32.const {code}))");
            let mut host = Setup::default().start(&compile(&guest_with(&import, "", &body)), Kind::Async).unwrap();
            let exit = host.exit("any", "");
            assert!(matches!(exit, GuestExit::Exited(found) if found == code), "{namespace} {code}: {exit:?}");
        }
    }
}

// protocol: outcome.instance-lives
#[test]
fn an_instance_outlives_guest_errors_and_sizes_over_their_limit() {
    both(|kind| {
        let mut setup = Setup::default();
        setup.options.limits.payload = 10;
        setup.options.limits.response = 4;
        let mut host = setup.menu(kind);
        assert_eq!(host.count(), 1);
        for (operation, payload) in [
            ("fail", "a"),
            ("mute", ""),
            ("silent", ""),
            ("echo", "more than ten"),
            ("echo", "five!"),
            ("fail", "five!"),
        ] {
            let error = host.call(operation, payload).unwrap_err();
            assert!(!error.ends_instance(), "{operation}: {error:?}");
        }
        assert_eq!(host.count(), 2);
    });
}

// protocol: outcome.typed
#[test]
fn outcomes_are_told_apart_by_type_and_read_as_one_sentence() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let error = host.call("fail", "no such order").unwrap_err();
        assert!(matches!(&error, CallError::Guest(text) if text == "no such order"));
        assert_eq!(error.to_string(), "no such order");
        let error = host.call("trap", "").unwrap_err();
        assert!(error.ends_instance());
        let text = wapcd::host::chain(&error);
        assert_eq!(text, "the guest trapped: wasm trap: wasm `unreachable` instruction executed");
    });
}
