//! Section 3: start functions, and the start section.

use std::{sync::Arc, time::Duration};

use wapcd::host::{GuestExit, LoadError, TrapKind};

use crate::{
    guest::{compile, guest_with},
    hosts::{Kind, Setup, both},
    lines::{Lines, log_of},
};

/// A guest whose start functions each log their own name.
fn starter(names: &[&str]) -> String {
    let functions: String = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let at = 200 + at * 20;
            let len = name.len();
            format!(
                r#"(data (i32.const {at}) "{name}")
                   (func (export "{name}") (call $log (i32.const {at}) (i32.const {len})))"#
            )
        })
        .collect();
    guest_with("", &functions, "")
}

/// Which start functions ran, in their order.
fn started(names: &[&str], kind: Kind) -> Vec<String> {
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::default();
    setup.options.console = lines.clone();
    let mut host = setup.start(&compile(&starter(names)), kind).unwrap();
    assert_eq!(host.call("any", "").unwrap(), "answer");
    lines.texts()
}

/// How the start of a guest with this `_start` ends.
fn start_of(body: &str, kind: Kind, setup: Setup) -> Result<crate::hosts::Host, LoadError> {
    let exit = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let imports = if body.contains("$exit") { exit } else { "" };
    setup.start(&compile(&guest_with(imports, &format!("(func (export \"_start\") {body})"), "")), kind)
}

fn exit_of_start(body: &str, kind: Kind, setup: Setup) -> GuestExit {
    match start_of(body, kind, setup) {
        Err(LoadError::Start { function: "_start", exit }) => exit,
        other => panic!("expected a start failure, got {other:?}"),
    }
}

// protocol: load.start-order
#[test]
fn start_runs_first_then_wapc_init() {
    both(|kind| {
        assert_eq!(started(&["wapc_init", "_start"], kind), ["_start", "wapc_init"]);
        assert_eq!(started(&["wapc_init", "_initialize"], kind), ["_initialize", "wapc_init"]);
        assert_eq!(started(&["_initialize"], kind), ["_initialize"]);
    });
}

// protocol: load.start-both
#[test]
fn of_start_and_initialize_only_start_runs_and_a_warning_says_so() {
    both(|kind| {
        let names = ["_initialize", "wapc_init", "_start"];
        assert_eq!(started(&names, kind), ["_start", "wapc_init"]);
        let log = log_of(|| drop(compile(&starter(&names))));
        assert!(log.contains("WARN") && log.contains("_start and _initialize"), "{log}");
    });
}

// protocol: load.start-absent
#[test]
fn a_guest_without_start_functions_starts() {
    both(|kind| assert!(started(&[], kind).is_empty()));
}

// protocol: load.start-once
#[test]
fn start_functions_run_once_for_an_instance_and_again_for_a_fresh_one() {
    both(|kind| {
        let lines = Arc::new(Lines::default());
        let mut setup = Setup::default();
        setup.options.console = lines.clone();
        let mut host = setup.start(&compile(&starter(&["_start"])), kind).unwrap();
        for _ in 0..3 {
            host.call("any", "").unwrap();
        }
        assert_eq!(lines.texts(), ["_start"]);
        host.restart().unwrap();
        assert_eq!(lines.texts(), ["_start"]);
    });
}

// protocol: load.start-exit-zero
#[test]
fn exit_code_zero_in_a_start_function_goes_on_with_the_next() {
    let imports = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let starts = r#"(func (export "_start") (call $exit (i32.const 0)) (unreachable))
                    (func (export "wapc_init") (call $log (i32.const 0) (i32.const 6)))"#;
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::default();
    setup.options.console = lines.clone();
    let mut host = setup.start(&compile(&guest_with(imports, starts, "")), Kind::Async).unwrap();
    assert_eq!(lines.texts(), ["answer"]);
    assert_eq!(host.call("any", "").unwrap(), "answer");
}

// protocol: load.start-failure
#[test]
fn another_exit_code_in_a_start_function_is_a_start_failure() {
    for code in [1, 125, 126, u32::MAX] {
        let exit = exit_of_start(&format!("(call $exit (i32.const {code}))"), Kind::Async, Setup::default());
        assert!(matches!(exit, GuestExit::Exited(found) if found == code), "{exit:?}");
    }
}

// protocol: load.start-failure
#[test]
fn a_trap_in_a_start_function_is_a_start_failure_with_the_trap() {
    both(|kind| {
        let exit = exit_of_start("(call $error (i32.const 0) (i32.const 6)) (unreachable)", kind, Setup::default());
        let GuestExit::Trapped(trap) = exit else { panic!("{exit:?}") };
        assert_eq!((trap.kind, trap.guest_error.as_deref()), (TrapKind::Unreachable, Some("answer")));
        assert_eq!(trap.backtrace.len(), 1);
    });
}

// protocol: load.start-failure
#[test]
fn a_deadline_in_a_start_function_is_a_start_failure() {
    both(|kind| {
        let exit = exit_of_start("(loop $on (br $on))", kind, Setup::default().deadline(Duration::from_millis(100)));
        let GuestExit::DeadlineExceeded { limit, elapsed, in_host_call: false } = exit else { panic!("{exit:?}") };
        assert_eq!(limit, Duration::from_millis(100));
        assert!(elapsed >= limit, "{elapsed:?}");
    });
}

// protocol: load.start-failure
#[test]
fn a_start_failure_keeps_its_cause() {
    both(|kind| {
        let error = start_of("(unreachable)", kind, Setup::default()).unwrap_err();
        let text = wapcd::host::chain(&error);
        assert!(text.starts_with("start function `_start` failed: the guest trapped: "), "{text}");
    });
}

// protocol: load.start-section
#[test]
fn a_start_section_runs_although_there_is_a_deadline() {
    both(|kind| {
        let more = "(func $init (call $log (i32.const 0) (i32.const 6))) (start $init)";
        let lines = Arc::new(Lines::default());
        let mut setup = Setup::default().deadline(Duration::from_secs(10));
        setup.options.console = lines.clone();
        let mut host = setup.start(&compile(&guest_with("", more, "")), kind).unwrap();
        assert_eq!(lines.texts(), ["answer"]);
        assert_eq!(host.call("any", "").unwrap(), "answer");
    });
}

// protocol: load.start-section
#[test]
fn a_start_section_that_fails_is_a_start_failure_too() {
    both(|kind| {
        for (body, deadline) in [("(unreachable)", false), ("(loop $on (br $on))", true)] {
            let more = format!("(func $init {body}) (start $init)");
            let setup = Setup::default().deadline(Duration::from_millis(100));
            let error = setup.start(&compile(&guest_with("", &more, "")), kind).unwrap_err();
            let LoadError::Start { function: "(start section)", exit } = error else { panic!("{error:?}") };
            assert_eq!(matches!(exit, GuestExit::DeadlineExceeded { .. }), deadline, "{exit:?}");
        }
    });
}

const CALL_HOST: &str = r"(if (i32.eqz (call $host_call (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3)
    (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 6))) (then (unreachable)))
    (call $host_response (i32.const 0)) (call $log (i32.const 0) (i32.const 6))";

// protocol: load.start-host-call
#[test]
fn a_start_function_and_a_start_section_may_call_the_host() {
    both(|kind| {
        for more in
            [format!("(func (export \"_start\") {CALL_HOST})"), format!("(func $init {CALL_HOST}) (start $init)")]
        {
            let lines = Arc::new(Lines::default());
            let mut setup = Setup::reversing();
            setup.options.console = lines.clone();
            setup.start(&compile(&guest_with("", &more, "")), kind).unwrap();
            assert_eq!(lines.texts(), ["rewsna"]);
        }
    });
}

// protocol: load.start-host-call
#[test]
fn a_host_call_from_a_start_function_is_under_the_deadline() {
    both(|kind| {
        let mut setup = Setup::default().deadline(Duration::from_millis(100));
        let exit = match kind {
            Kind::Plain => {
                setup.answer = Some(Arc::new(|_, _| {
                    crate::deadline::rest(200);
                    Ok("late".into())
                }));
                start_of(CALL_HOST, kind, setup).unwrap_err()
            }
            Kind::Async => crate::deadline::start_with_silent_callback(CALL_HOST, setup.options),
        };
        let LoadError::Start { exit: GuestExit::DeadlineExceeded { in_host_call: true, .. }, .. } = exit else {
            panic!("{exit:?}")
        };
    });
}
