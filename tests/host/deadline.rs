//! Section 4 and 5: deadlines, whatever the guest does meanwhile.

use std::{
    future::pending,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use wapcd::host::{CallError, GuestExit, HostCallbackAsync, HostOptions, LoadError, WapcHostAsync};

use crate::{
    guest::{MENU, compile, guest, guest_with},
    hosts::{Kind, Setup, both, runtime},
};

/// Far more than what must end within it needs on a busy machine.
const LIMIT: Duration = Duration::from_millis(300);

/// A deadline ends within a tick of 2 ms on an idle machine; a busy one may take its time.
const LATE: Duration = Duration::from_secs(20);

/// Lets time pass on this thread.
pub(crate) fn rest(milliseconds: u64) {
    let (_open, nothing) = mpsc::channel::<()>();
    nothing.recv_timeout(Duration::from_millis(milliseconds)).unwrap_err();
}

/// A callback that never answers, and tells when it is dropped.
pub(crate) fn silent_callback(dropped: mpsc::Sender<()>) -> Box<HostCallbackAsync> {
    struct Tell(mpsc::Sender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    Box::new(move |_id, _call| {
        let tell = Tell(dropped.clone());
        Box::pin(async move {
            let _tell = tell;
            pending().await
        })
    })
}

/// Why a guest does not start whose `_start` waits for a callback that never answers.
pub(crate) fn start_with_silent_callback(body: &str, options: HostOptions) -> LoadError {
    let module = compile(&guest_with("", &format!("(func (export \"_start\") {body})"), ""));
    let (dropped, was_dropped) = mpsc::channel();
    let engine = Box::new(module.provider(Default::default()));
    let started =
        runtime().block_on(WapcHostAsync::with_options(engine, Some(silent_callback(dropped)), options)).map(|_| ());
    was_dropped.recv_timeout(LATE).unwrap();
    started.unwrap_err()
}

fn assert_deadline(exit: &GuestExit, waiting: bool) {
    let GuestExit::DeadlineExceeded { limit, elapsed, in_host_call } = exit else { panic!("{exit:?}") };
    assert_eq!((*limit, *in_host_call), (LIMIT, waiting));
    assert!(*elapsed >= LIMIT && *elapsed < LATE, "{elapsed:?}");
}

fn options() -> HostOptions {
    Setup::default().deadline(LIMIT).options
}

// protocol: outcome.deadline
// protocol: known.typed-timeout
#[test]
fn a_guest_that_spins_is_ended_at_its_deadline() {
    both(|kind| {
        let mut host = Setup::default().deadline(LIMIT).menu(kind);
        assert_eq!(host.count(), 1);
        let began = Instant::now();
        assert_deadline(&host.exit("spin", ""), false);
        assert!(began.elapsed() >= LIMIT && began.elapsed() < LATE, "{:?}", began.elapsed());
        assert_eq!(host.count(), 1);
    });
}

// protocol: outcome.deadline
#[test]
fn the_deadline_covers_a_guest_that_calls_the_host_all_the_time() {
    both(|kind| {
        let mut host = Setup::reversing().deadline(LIMIT).menu(kind);
        let exit = host.exit("busy", "");
        assert!(matches!(exit, GuestExit::DeadlineExceeded { limit: LIMIT, .. }), "{exit:?}");
    });
}

// protocol: outcome.deadline
#[test]
fn each_call_has_the_whole_deadline() {
    both(|kind| {
        let setup = Setup::answering(|_, call| {
            rest(150);
            Ok(call.payload.clone())
        });
        let mut host = setup.deadline(Duration::from_millis(1_500)).menu(kind);
        for _ in 0..12 {
            assert_eq!(host.call("host", "x").unwrap(), "x");
        }
    });
}

// protocol: outcome.deadline
#[test]
fn without_a_deadline_a_guest_may_take_its_time() {
    both(|kind| {
        let body = "(loop $on (local.set $n (i64.add (local.get $n) (i64.const 1)))
                      (br_if $on (i64.lt_u (local.get $n) (i64.const 40000000))))";
        let mut host = Setup::default().start(&compile(&guest(body)), kind).unwrap();
        assert_eq!(host.call("any", "").unwrap(), "answer");
    });
}

// protocol: outcome.deadline-in-host-call
// protocol: hostcall.dropped-at-deadline
#[test]
fn an_asynchronous_callback_is_dropped_at_the_deadline() {
    let (dropped, was_dropped) = mpsc::channel();
    let engine = Box::new(MENU.provider(Default::default()));
    runtime().block_on(async {
        let mut host = WapcHostAsync::with_options(engine, Some(silent_callback(dropped)), options()).await.unwrap();
        let began = Instant::now();
        let Err(CallError::Exit(exit)) = host.call("host", "").await else { panic!() };
        assert_deadline(&exit, true);
        assert!(began.elapsed() < LATE);
        was_dropped.try_recv().unwrap();
        assert!(!host.is_alive());
        assert_eq!(host.call("echo", "x").await.unwrap(), "x");
    });
}

// protocol: outcome.deadline-in-host-call
// protocol: hostcall.plain-at-deadline
#[test]
fn a_callback_that_blocks_beyond_the_deadline_ends_the_call_when_it_returns() {
    both(|kind| {
        let setup = Setup::answering(|_, call| {
            rest(600);
            Ok(call.payload.clone())
        });
        // This guest passes the answer on without a loop, so no tick could interrupt it.
        let mut host = setup.deadline(LIMIT).menu(kind);
        let exit = host.exit("host", "x");
        let GuestExit::DeadlineExceeded { elapsed, in_host_call: true, .. } = exit else { panic!("{exit:?}") };
        assert!(elapsed >= Duration::from_millis(600), "{elapsed:?}");
        assert_eq!(host.call("echo", "x").unwrap(), "x");
    });
}

// protocol: outcome.deadline
#[test]
fn the_time_used_is_told_also_where_the_guest_slept() {
    // WASI's sleep: the guest neither computes nor sits in a host call.
    let import = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    let body = "(i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 60000000000))
                (drop (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 3072)))";
    let mut host =
        Setup::default().deadline(LIMIT).start(&compile(&guest_with(import, "", body)), Kind::Async).unwrap();
    let began = Instant::now();
    assert_deadline(&host.exit("any", ""), false);
    assert!(began.elapsed() < LATE);
}

// protocol: outcome.deadline
#[test]
fn a_caller_can_give_a_deadline_of_its_own() {
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, None).await.unwrap();
        let accepted = Instant::now();
        let exit = host.call_until("spin", Bytes::new(), accepted, accepted + LIMIT).await;
        let Err(CallError::Exit(exit)) = exit else { panic!("{exit:?}") };
        assert_deadline(&exit, false);
    });
}

// protocol: outcome.deadline
#[test]
fn a_guest_that_computes_lets_its_thread_do_other_work() {
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let mut setup = Setup::default().deadline(Duration::from_secs(2));
        setup.options.limits.payload = 10;
        let mut host = WapcHostAsync::with_options(engine, None, setup.options).await.unwrap();
        let turns = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        let others = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        };
        tokio::select! {
            ended = host.call("spin", "") => { ended.unwrap_err(); }
            () = others => {}
        }
        let turns = turns.load(std::sync::atomic::Ordering::SeqCst);
        assert!(turns >= 5, "others had {turns} turns in 2 s");
    });
}
