//! One actor with scripted bindings: what holds for every type.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;

use super::*;
use crate::bindings::testing::call;

/// Makes bindings that do what the operation says.
#[derive(Default)]
struct Script {
    made: AtomicUsize,
    /// How many of the next bindings cannot be made.
    broken: AtomicUsize,
    /// Futures that were dropped before they had an answer.
    dropped: Arc<AtomicUsize>,
}

impl BindingFactory for Script {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        self.made.fetch_add(1, SeqCst);
        if self.broken.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("no scripts today");
        }
        Box::new(Scripted { generation: self.made.load(SeqCst), dropped: Arc::clone(&self.dropped) })
    }
}

struct Scripted {
    generation: usize,
    dropped: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Binding for Scripted {
    fn call(&self, call: BindingCall) -> Answer {
        let generation = Bytes::from(self.generation.to_string());
        match call.operation.as_str() {
            "now" => Answer::Now(Ok(generation)),
            "later" => Answer::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(generation)
            })),
            "fail" => HostCallError::new(HostErrorKind::NotFound, "nothing").into(),
            "panic" => panic!("broken at {}", 1),
            "panic_later" => Answer::Later(Box::pin(async {
                tokio::task::yield_now().await;
                panic!("broken later")
            })),
            _ => {
                let dropped = CountDrop(Arc::clone(&self.dropped));
                Answer::Later(Box::pin(async move {
                    let _dropped = dropped;
                    pending().await
                }))
            }
        }
    }
}

struct Fixture {
    script: Arc<Script>,
    counters: Arc<BindingCounters>,
    address: actix::Addr<BindingActor>,
}

impl Fixture {
    fn start(broken: usize) -> Self {
        let script = Arc::new(Script { broken: AtomicUsize::new(broken), ..Script::default() });
        let counters = Arc::new(BindingCounters::default());
        let factory = Arc::clone(&script) as Arc<dyn BindingFactory>;
        let address = BindingActor::new("cache".into(), 0, factory, Arc::clone(&counters)).start();
        Self { script, counters, address }
    }

    async fn send(&self, operation: &str) -> Result<String, String> {
        let reply = self.address.send(call(operation, b"")).await.unwrap();
        reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    /// Waits until the counters are as the test wants them.
    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("still {:?}, dropped {}", self.counters.read(), self.script.dropped.load(SeqCst));
    }
}

#[actix::test]
async fn answers_at_once_and_later_and_counts_both_kinds_of_reply() {
    let actor = Fixture::start(0);
    assert_eq!(actor.send("now").await, Ok("1".into()));
    assert_eq!(actor.send("later").await, Ok("1".into()));
    assert_eq!(actor.send("fail").await, Err("not_found: nothing".into()));
    let counts = actor.counters.read();
    assert_eq!((counts.calls_ok, counts.calls_failed, counts.restarts), (2, 1, 0));
}

#[actix::test]
async fn a_panic_is_answered_and_followed_by_a_fresh_binding() {
    let actor = Fixture::start(0);
    let error = "internal: binding `cache` panicked: broken at 1";
    assert_eq!(actor.send("panic").await, Err(error.into()));
    assert_eq!(actor.send("now").await, Ok("2".into()));
    assert_eq!(actor.send("panic_later").await, Err("internal: binding `cache` panicked: broken later".into()));
    assert_eq!(actor.send("later").await, Ok("3".into()));
    let counts = actor.counters.read();
    assert_eq!((counts.calls_ok, counts.calls_failed, counts.restarts), (2, 2, 2));
    assert_eq!(counts.last_panic.as_deref(), Some("broken later"));
}

#[actix::test]
async fn panics_of_calls_in_flight_start_the_binding_anew_once() {
    let actor = Fixture::start(0);
    let calls = (0..8).map(|_| actor.send("panic_later"));
    let replies = futures_util::future::join_all(calls).await;
    assert!(replies.iter().all(Result::is_err));
    assert_eq!(actor.counters.read().restarts, 1);
    assert_eq!(actor.send("now").await, Ok("2".into()));
}

#[actix::test]
async fn a_binding_that_cannot_be_made_is_unavailable_until_it_can() {
    let actor = Fixture::start(2);
    let error = "unavailable: binding `cache` could not be started: no scripts today";
    assert_eq!(actor.send("now").await, Err(error.into()));
    assert_eq!(actor.send("now").await, Ok("3".into()));
}

#[actix::test]
async fn does_not_start_a_call_whose_deadline_has_passed() {
    let actor = Fixture::start(0);
    let mut late = call("panic", b"");
    late.caller.deadline = Instant::now();
    let error = actor.address.send(late).await.unwrap().unwrap_err();
    assert_eq!(error.kind, HostErrorKind::TimedOut);
    assert_eq!(actor.counters.read().restarts, 0);
}

#[actix::test]
async fn refuses_calls_beyond_its_bound_and_forgets_those_that_nobody_waits_for() {
    let actor = Fixture::start(0);
    let waiting: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| Box::pin(actor.address.send(call("hang", b"")))).collect();
    let mut all = futures_util::future::join_all(waiting);
    let refused = tokio::select! {
        _ = &mut all => panic!("a call that hangs was answered"),
        refused = async {
            loop {
                let reply = actor.send("now").await;
                if reply.is_err() {
                    break reply;
                }
                tokio::task::yield_now().await;
            }
        } => refused,
    };
    let error = format!("unavailable: binding `cache` is busy: {MAX_IN_FLIGHT} host calls wait for it here");
    assert_eq!(refused, Err(error));
    drop(all);
    actor.until(|actor| actor.script.dropped.load(SeqCst) == MAX_IN_FLIGHT).await;
    assert_eq!(actor.send("now").await, Ok("1".into()));
    assert_eq!(actor.counters.read().calls_failed, MAX_IN_FLIGHT as u64 + 1);
}
