//! Section 5: host calls that fail, and what the guest is told.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use wapcd::host::{BoxError, HostCallError, HostCallbackAsync, HostErrorKind, Limits, WapcHostAsync};

use crate::{
    guest::{MENU, compile, guest, guest_with},
    hosts::{Setup, both, runtime},
    lines::log_of,
};

/// What the guest is told about an error of the callback.
fn told(setup: Setup, kind: crate::hosts::Kind) -> String {
    setup.menu(kind).error("host", "")
}

// protocol: hostcall.not-utf8
#[test]
fn a_name_that_is_not_utf8_is_a_host_error() {
    both(|kind| {
        for broken in 0..3 {
            let at = |part| if part == broken { 128 } else { 0 };
            let body = format!(
                "(if (call $host_call (i32.const {}) (i32.const 2) (i32.const {}) (i32.const 2)
                   (i32.const {}) (i32.const 2) (i32.const 0) (i32.const 0)) (then (unreachable)))
                 (call $host_error (i32.const 256)) (call $error (i32.const 256) (call $host_error_len))
                 (return (i32.const 0))",
                at(0),
                at(1),
                at(2)
            );
            let calls = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&calls);
            let setup = Setup::answering(move |_, call| {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(call.payload.clone())
            });
            let module = compile(&guest_with("", r#"(data (i32.const 128) "\c3(")"#, &body));
            let text = setup.start(&module, kind).unwrap().error("any", "");
            assert!(text.starts_with("bad_request: ") && text.contains("UTF-8"), "{text}");
            assert_eq!(calls.load(Ordering::SeqCst), 0);
        }
    });
}

// protocol: hostcall.long-name
#[test]
fn a_name_over_64_kib_is_a_host_error_and_is_not_copied() {
    both(|kind| {
        let call = |length: u32| {
            let body = format!(
                "(if (call $host_call (i32.const 0) (i32.const {length}) (i32.const 0) (i32.const 2)
                   (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0))
                   (then (call $response (i32.const 0) (i32.const 2)) (return (i32.const 1))))
                 (call $host_error (i32.const 256)) (call $error (i32.const 256) (call $host_error_len))
                 (return (i32.const 0))"
            );
            Setup::answering(|_, call| Ok(call.payload.clone())).start(&compile(&guest(&body)), kind).unwrap()
        };
        assert_eq!(call(65_536).call("any", "").unwrap().len(), 2);
        let text = call(65_537).error("any", "");
        assert_eq!(text, "too_large: a name of 65537 bytes in a host call is over the limit of 65536 bytes");
    });
}

// protocol: hostcall.no-callback
#[test]
fn without_a_callback_each_host_call_is_an_error_that_names_the_binding() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let text = host.error("host", "");
        assert!(text.starts_with("no_such_binding: ") && text.contains("`binding`"), "{text}");
        assert_eq!(host.call("echo", "x").unwrap(), "x");
    });
}

// protocol: hostcall.kinds
// protocol: hostcall.text
#[test]
fn each_stable_kind_reaches_the_guest_in_front_of_the_message() {
    let kinds = [
        (HostErrorKind::NotGranted, "not_granted"),
        (HostErrorKind::NotAllowed, "not_allowed"),
        (HostErrorKind::NoSuchBinding, "no_such_binding"),
        (HostErrorKind::NoSuchOperation, "no_such_operation"),
        (HostErrorKind::BadRequest, "bad_request"),
        (HostErrorKind::NotFound, "not_found"),
        (HostErrorKind::Conflict, "conflict"),
        (HostErrorKind::TooLarge, "too_large"),
        (HostErrorKind::TimedOut, "timed_out"),
        (HostErrorKind::Unavailable, "unavailable"),
        (HostErrorKind::Cycle, "cycle"),
        (HostErrorKind::Internal, "internal"),
    ];
    both(|kind| {
        for (error, name) in kinds {
            let setup = Setup::answering(move |_, _| Err(HostCallError::new(error, "what happened").into()));
            assert_eq!(told(setup, kind), format!("{name}: what happened"));
        }
    });
}

#[derive(Debug)]
struct Outer(&'static str, BoxError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.1)
    }
}

// protocol: hostcall.cause-chain
#[test]
fn the_guest_is_told_the_whole_chain_of_causes() {
    both(|kind| {
        let text = told(
            Setup::answering(|_, _| Err(Outer("outer", Box::new(Outer("middle", "innermost".into()))).into())),
            kind,
        );
        assert_eq!(text, "internal: outer: middle: innermost");
        let typed = Setup::answering(|_, _| {
            Err(HostCallError::with_source(HostErrorKind::Unavailable, "no database", Outer("outer", "refused".into()))
                .into())
        });
        assert_eq!(told(typed, kind), "unavailable: no database: outer: refused");
        let wrapped = Setup::answering(|_, _| {
            Err(Outer("outer", HostCallError::new(HostErrorKind::Conflict, "changed").into()).into())
        });
        assert_eq!(told(wrapped, kind), "conflict: outer: conflict: changed");
    });
}

// protocol: hostcall.panic
#[test]
fn a_callback_that_panics_is_a_host_error_and_the_panic_is_logged() {
    both(|kind| {
        let count = AtomicU32::new(0);
        let setup = Setup::answering(move |_, call| match count.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("the {} broke", "callback"),
            _ => Ok(call.payload.clone()),
        });
        let mut host = setup.menu(kind);
        assert_eq!(host.count(), 1);
        let log = log_of(|| {
            let text = host.error("host", "");
            assert!(text.starts_with("internal: ") && text.contains("the callback broke"), "{text}");
        });
        assert!(log.contains("ERROR") && log.contains("the callback broke"), "{log}");
        assert_eq!(host.call("host", "x").unwrap(), "x");
        assert_eq!(host.count(), 2);
    });
}

/// Calls a guest whose host call is answered by this callback; the guest must be told `internal`, and live on.
fn survives(callback: Box<HostCallbackAsync>, expected: &str) {
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, Some(callback)).await.unwrap();
        let text = host.call("host", "").await.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
        assert!(host.is_alive());
        assert_eq!(host.call("echo", "x").await.unwrap(), "x");
    });
}

// protocol: hostcall.panic
#[test]
fn an_asynchronous_callback_may_panic_before_its_future_or_in_it() {
    survives(Box::new(|_, _| panic!("before")), "internal: the host panicked: before");
    survives(Box::new(|_, _| Box::pin(async { panic!("at once") })), "internal: the host panicked: at once");
    let later = Box::new(|_, _| -> wapcd::host::HostCallFuture {
        Box::pin(async {
            tokio::task::yield_now().await;
            panic!("later")
        })
    });
    survives(later, "internal: the host panicked: later");
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("while dropped");
    }
}

// protocol: hostcall.panic
#[test]
fn a_future_that_panics_while_it_is_dropped_harms_nobody() {
    let mut setup = Setup::default().deadline(std::time::Duration::from_millis(100));
    setup.options.limits.payload = 100;
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let callback: Box<HostCallbackAsync> = Box::new(|_, _| {
            let bomb = Bomb;
            Box::pin(async move {
                let _bomb = bomb;
                std::future::pending().await
            })
        });
        let mut host = WapcHostAsync::with_options(engine, Some(callback), setup.options).await.unwrap();
        let error = host.call("host", "").await.unwrap_err();
        assert!(error.to_string().contains("deadline"), "{error:?}");
        assert_eq!(host.call("echo", "x").await.unwrap(), "x");
    });
}

// protocol: hostcall.too-large
#[test]
fn a_host_call_with_a_payload_over_the_limit_is_a_host_error() {
    both(|kind| {
        let limits = Limits { payload: 10, ..Limits::default() };
        let body = "(drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)
                      (i32.const 1) (i32.const 0) (i32.const 11)))
                    (call $host_error (i32.const 256)) (call $error (i32.const 256) (call $host_error_len))
                    (return (i32.const 0))";
        let mut host = Setup::reversing().limits(limits).start(&compile(&guest(body)), kind).unwrap();
        assert_eq!(host.error("any", ""), "too_large: payload of 11 bytes is over the limit of 10 bytes");
    });
}

/// Bytes that tell how many of them are alive.
struct Counted(Arc<AtomicUsize>, Vec<u8>);

impl Counted {
    fn bytes(alive: &Arc<AtomicUsize>, text: &str) -> Bytes {
        alive.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Self(Arc::clone(alive), text.into()))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// protocol: hostcall.freed
#[test]
fn what_a_call_held_is_freed_when_it_ends() {
    both(|kind| {
        let alive = Arc::new(AtomicUsize::new(0));
        let (counted, seen) = (Arc::clone(&alive), Arc::clone(&alive));
        let setup = Setup::answering(move |_, _| {
            // The payload of the guest call is alive, and nothing of the host call before.
            assert_eq!(seen.load(Ordering::SeqCst), 1);
            Ok(Counted::bytes(&counted, "answer"))
        });
        let mut host = setup.menu(kind);
        for _ in 0..2 {
            assert_eq!(host.call("twice", Counted::bytes(&alive, "payload")).unwrap(), "answer");
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        }
        host.exit("trap", Counted::bytes(&alive, "payload"));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}

// protocol: hostcall.freed
#[test]
fn what_a_start_function_got_from_the_host_is_freed_when_it_has_started() {
    both(|kind| {
        let alive = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&alive);
        let setup = Setup::answering(move |_, _| Ok(Counted::bytes(&counted, "answer")));
        let start = r#"(func (export "_start") (drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0)
            (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))))"#;
        let bytes = crate::guest::assemble(&guest_with("", start, ""));
        let mut host = setup.start(&crate::guest::ENGINE.compile(&bytes).unwrap(), kind).unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        host.replace(&bytes).unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}
