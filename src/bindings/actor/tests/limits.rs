//! The limits of a binding, as its actor keeps them.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::script::{Fixture, Order};
use crate::{
    bindings::{BindingCall, Load, Turnstile, actor::Hold, testing::call},
    config::BindingLimits,
};

/// Lets everything run that can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn of(module: &str, operation: &str) -> BindingCall {
    let mut call = call(operation, b"");
    call.caller.module = module.into();
    call
}

async fn limited(limits: BindingLimits) -> (Fixture, Arc<Turnstile>) {
    let (actor, turnstile) = (Fixture::held(Order::Serve).await, Turnstile::new(limits));
    actor.serve_within(&turnstile).await;
    (actor, turnstile)
}

fn limits(concurrent: u32, queue: u32) -> BindingLimits {
    BindingLimits { concurrent, queue, ..BindingLimits::default() }
}

const NONE: Load = Load { running: 0, waiting: 0, refused: 0 };

const TIMED_OUT: &str = "timed_out: binding `cache` did not answer within its `limits.timeout`";

#[actix::test]
async fn a_call_that_takes_longer_than_its_time_is_dropped_and_gives_its_place_back() {
    let timeout = Some(Duration::from_secs(1));
    let (actor, turnstile) = limited(BindingLimits { timeout, ..limits(1, 10) }).await;
    let start = Instant::now();
    let waits = async {
        settle().await;
        actor.send("now").await
    };
    let (hangs, waited) = futures_util::future::join(actor.send("hang"), waits).await;
    assert_eq!(hangs, Err(TIMED_OUT.into()));
    assert!(waited.is_ok() || waited.as_ref().unwrap_err().starts_with("timed_out: "), "{waited:?}");
    assert!((1000..20_000).contains(&start.elapsed().as_millis()));
    assert_eq!((actor.script.dropped.load(SeqCst), turnstile.load()), (1, NONE));
    assert_eq!(actor.send("later").await, Ok("1".into()));
}

#[actix::test]
async fn requests_and_responses_that_are_too_large_are_refused() {
    let (actor, turnstile) = limited(BindingLimits { max_request: 3, max_response: 0, ..limits(1, 1) }).await;
    let error = "too_large: binding `cache` takes requests of at most 3 bytes, this one has 4";
    assert_eq!(actor.ask(call("now", b"four")).await, Err(error.into()));
    assert!(actor.script.seen.lock().is_empty());
    let error = "too_large: binding `cache` may answer with at most 0 bytes, these are 1";
    assert_eq!(actor.ask(call("now", b"yes")).await, Err(error.into()));
    assert_eq!(actor.send("later").await, Err(error.into()));
    assert_eq!(turnstile.load(), NONE);
}

#[actix::test]
async fn a_module_that_floods_loses_the_last_of_its_calls_to_another() {
    let (actor, turnstile) = limited(limits(1, 3)).await;
    let running = actor.address.send(of("flood", "hang"));
    settle().await;
    let flood = join_all((0..3).map(|_| actor.ask(of("flood", "now"))));
    let other = async {
        settle().await;
        let full = actor.ask(of("flood", "now")).await.unwrap_err();
        assert!(full.starts_with("unavailable: binding `cache` is busy: it has 1 host calls, and 3 wait"), "{full}");
        let (answer, ()) = futures_util::future::join(actor.ask(of("other", "now")), async {
            settle().await;
            drop(running);
        })
        .await;
        answer
    };
    let (flood, other) = futures_util::future::join(flood, other).await;
    assert_eq!(other, Ok("1".into()));
    let lost: Vec<_> = flood.iter().filter_map(|reply| reply.as_ref().err()).collect();
    assert_eq!(lost.len(), 1, "{flood:?}");
    assert!(lost[0].contains("the module has more host calls waiting for it than any other"), "{lost:?}");
    assert_eq!(turnstile.load(), Load { refused: 1, ..NONE });
}

#[actix::test]
async fn calls_that_wait_for_their_turn_are_answered_by_the_backend_that_replaces_the_one_they_wait_for() {
    let (actor, turnstile) = limited(limits(1, 10)).await;
    let running = actor.address.send(of("m", "hang"));
    settle().await;
    let waiting = join_all((0..5).map(|_| actor.send("later")));
    let replaced = async {
        settle().await;
        assert_eq!(turnstile.load().waiting, 5);
        actor.address.send(Hold).await.unwrap();
        drop(running);
        actor.until(|actor| actor.script.dropped.load(SeqCst) == 1).await;
        settle().await;
        actor.serve_within(&turnstile).await;
    };
    let (replies, ()) = futures_util::future::join(waiting, replaced).await;
    assert!(replies.iter().all(|reply| *reply == Ok("2".into())), "{replies:?}");
    assert_eq!(turnstile.load(), NONE);
}

#[actix::test]
async fn a_call_whose_backend_was_replaced_while_it_waited_still_ends_with_its_time() {
    let timeout = Some(Duration::from_secs(2));
    let (actor, turnstile) = limited(BindingLimits { timeout, ..limits(1, 10) }).await;
    let running = actor.address.send(of("m", "hang"));
    settle().await;
    let replaced = async {
        settle().await;
        actor.address.send(Hold).await.unwrap();
        drop(running);
        actor.until(|actor| actor.script.dropped.load(SeqCst) == 1).await;
        actor.serve_within(&turnstile).await;
    };
    let hangs = tokio::time::timeout(Duration::from_secs(20), actor.send("hang"));
    let (reply, ()) = futures_util::future::join(hangs, replaced).await;
    assert_eq!(reply.unwrap(), Err(TIMED_OUT.into()));
    assert_eq!(turnstile.load(), NONE);
}

#[actix::test]
async fn a_panic_leaves_those_that_wait_for_their_turn_to_the_next_binding() {
    let (actor, turnstile) = limited(limits(1, 10)).await;
    let calls = ["panic_later", "now", "later", "panic", "now", "later"].map(|operation| actor.send(operation));
    let replies = join_all(calls).await;
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 4, "{replies:?}");
    assert_eq!((actor.panics().len(), turnstile.load()), (2, NONE));
}
