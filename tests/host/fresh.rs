//! Section 4: an instance that ended is never called again, and the next call runs in a fresh one.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use wapcd::host::{CallError, GuestExit, HostCallbackAsync, LoadError, WapcHostAsync};

use crate::{
    guest::{MENU, compile, guest_with, number},
    hosts::{Kind, Setup, both, runtime},
};

// protocol: outcome.instance-ends
// protocol: known.call-after-trap
#[test]
fn after_each_kind_of_exit_the_next_call_runs_in_a_fresh_instance() {
    both(|kind| {
        let mut setup = Setup::default().deadline(Duration::from_millis(100));
        setup.options.limits.memory = 1 << 20;
        let mut host = setup.menu(kind);
        for (operation, payload) in
            [("trap", vec![]), ("said", vec![]), ("spin", vec![]), ("recurse", vec![]), ("grow", number(100))]
        {
            assert_eq!((host.count(), host.count()), (1, 2));
            let error = host.call(operation, payload).unwrap_err();
            assert!(error.ends_instance(), "{operation}: {error:?}");
        }
        assert_eq!(host.count(), 1);
    });
}

// protocol: outcome.instance-ends
#[test]
fn an_exit_in_a_call_ends_the_instance_also_with_code_zero() {
    let import = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let starts = r#"(func (export "_start") (call $log (i32.const 0) (i32.const 6)))"#;
    let module = compile(&guest_with(import, starts, "(if (local.get $len) (then (call $exit (i32.const 0))))"));
    let lines = Arc::new(crate::lines::Lines::default());
    let mut setup = Setup::default();
    setup.options.console = lines.clone();
    let mut host = setup.start(&module, Kind::Async).unwrap();
    assert!(matches!(host.exit("any", "exit"), GuestExit::Exited(0)));
    assert_eq!(lines.texts().len(), 1);
    assert_eq!(host.call("any", "").unwrap(), "answer");
    assert_eq!(lines.texts().len(), 1, "the start function ran again");
}

// protocol: outcome.instance-ends
#[test]
fn a_fresh_instance_that_does_not_start_is_an_error_and_the_next_call_tries_again() {
    both(|kind| {
        let start = r#"(func (export "_start") (if (i32.eqz (call $host_call (i32.const 0) (i32.const 1) (i32.const 0)
            (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))) (then (unreachable))))"#;
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let setup = Setup::answering(move |_, _| match counted.fetch_add(1, Ordering::SeqCst) {
            1 | 2 => Err("not now".into()),
            _ => Ok("go".into()),
        });
        let body = "(if (local.get $len) (then (unreachable)))";
        let mut host = setup.start(&compile(&guest_with("", start, body)), kind).unwrap();
        host.exit("any", "trap");
        for _ in 0..2 {
            let error = host.call("any", "").unwrap_err();
            assert!(matches!(error, CallError::Restart(LoadError::Start { function: "_start", .. })), "{error:?}");
            assert!(error.ends_instance());
        }
        assert_eq!(host.call("any", "").unwrap(), "answer");
        assert_eq!(starts.load(Ordering::SeqCst), 4);
    });
}

// protocol: outcome.dropped-future
#[test]
fn a_call_whose_future_is_dropped_ends_the_instance() {
    runtime().block_on(async {
        let callback: Box<HostCallbackAsync> = Box::new(|_, _| Box::pin(pending()));
        let engine = Box::new(MENU.provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, Some(callback)).await.unwrap();
        for operation in ["host", "spin"] {
            host.call("count", "").await.unwrap();
            let late = tokio::time::timeout(Duration::from_millis(10), host.call(operation, "")).await;
            assert!(late.is_err(), "{operation} ended: {late:?}");
            assert!(!host.is_alive());
            assert_eq!(&host.call("count", "").await.unwrap()[..], 1u32.to_le_bytes());
        }
    });
}

// protocol: outcome.dropped-future
#[test]
fn a_call_that_was_never_polled_has_not_happened() {
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, None).await.unwrap();
        host.call("count", "").await.unwrap();
        drop(host.call("spin", ""));
        assert!(host.is_alive());
        assert_eq!(&host.call("count", "").await.unwrap()[..], 2u32.to_le_bytes());
    });
}

// protocol: outcome.dropped-future
#[test]
fn a_start_whose_future_is_dropped_leaves_no_half_instance() {
    runtime().block_on(async {
        let calls = AtomicU32::new(0);
        let callback: Box<HostCallbackAsync> = Box::new(move |_, _| match calls.fetch_add(1, Ordering::SeqCst) {
            1 => Box::pin(pending()),
            _ => Box::pin(async { Ok("go".into()) }),
        });
        let start = r#"(func (export "_start") (drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0)
            (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))))"#;
        let engine = Box::new(compile(&guest_with("", start, "")).provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, Some(callback)).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(10), host.restart()).await.is_err());
        assert!(!host.is_alive());
        assert_eq!(host.call("any", "").await.unwrap(), "answer");
    });
}
