//! The rules of the actor, one test each.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};

use super::script::{Fixture, Order};
use crate::{
    bindings::{
        actor::{Hold, MAX_IN_FLIGHT, Refuse},
        testing::call,
    },
    host::HostErrorKind,
};

/// Lets everything run that can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn answers_at_once_and_later_and_counts_by_operation_and_outcome() {
    let actor = Fixture::serving(Order::Serve).await;
    assert!(!actor.counters.take_succeeded());
    assert_eq!(actor.send("now").await, Ok("1".into()));
    assert_eq!(actor.send("later").await, Ok("1".into()));
    assert_eq!(actor.send("much_later").await, Ok("1".into()));
    assert_eq!(actor.send("fail").await, Err("not_found: nothing".into()));
    let counts = actor.counters.read();
    assert_eq!((counts.calls_ok, counts.calls_failed), (3, 1));
    let expected = [("now", "ok", 1), ("later", "ok", 1), ("fail", "not_found", 1), ("other", "ok", 1)];
    assert_eq!(counts.host_calls, expected);
    assert!(actor.counters.take_succeeded());
    assert!(actor.panics().is_empty());
}

#[actix::test]
async fn a_panic_ends_its_call_is_reported_with_its_caller_and_followed_by_what_the_supervisor_says() {
    let actor = Fixture::serving(Order::Serve).await;
    let before = Instant::now();
    let error = "internal: binding `cache` panicked: broken at 1";
    assert_eq!(actor.send("panic").await, Err(error.into()));
    assert_eq!(actor.send("now").await, Ok("2".into()));
    assert_eq!(actor.send("panic_later").await, Err("internal: binding `cache` panicked: broken later".into()));
    assert_eq!(actor.send("later").await, Ok("3".into()));
    assert_eq!(actor.panics(), ["broken at 1", "broken later"]);
    let exit = actor.exits.lock()[0].clone();
    assert_eq!((exit.binding, exit.worker, exit.gone), (3, 1, false));
    assert_eq!(exit.caller, Some(("tester".into(), 7, 42, "panic".to_owned())));
    assert!(exit.at >= before && exit.at <= Instant::now());
    let later = actor.exits.lock()[1].caller.clone();
    assert_eq!(later, Some(("tester".into(), 7, 42, "panic_later".to_owned())));
    assert_eq!(actor.counters.read().calls_failed, 2);
}

#[actix::test]
async fn a_panic_is_no_success_and_any_answer_of_the_binding_is() {
    let actor = Fixture::serving(Order::Nothing).await;
    actor.send("panic").await.unwrap_err();
    actor.address.send(Refuse("no".to_owned())).await.unwrap();
    actor.send("now").await.unwrap_err();
    assert!(!actor.counters.take_succeeded());
    actor.serve().await;
    actor.send("fail").await.unwrap_err();
    assert!(actor.counters.take_succeeded());
}

#[actix::test]
async fn panics_of_calls_in_flight_are_reported_once_and_others_keep_their_answers() {
    let actor = Fixture::serving(Order::Serve).await;
    let (replies, slow) =
        futures_util::future::join(join_all((0..8).map(|_| actor.send("panic_later"))), actor.send("much_later")).await;
    assert!(replies.iter().all(Result::is_err));
    assert_eq!(slow, Ok("1".into()));
    assert_eq!(actor.panics(), ["broken later"]);
    assert_eq!(actor.send("now").await, Ok("2".into()));
}

#[actix::test]
async fn calls_wait_until_the_binding_is_there_and_are_answered_in_their_order() {
    let actor = Fixture::held(Order::Serve).await;
    let calls = (0..20u8).map(|n| actor.ask(call(if n % 2 == 0 { "now" } else { "later" }, [n])));
    let serve = async {
        settle().await;
        assert!(actor.script.seen.lock().is_empty());
        actor.serve().await;
    };
    let (replies, ()) = futures_util::future::join(join_all(calls), serve).await;
    assert!(replies.iter().all(|reply| *reply == Ok("1".into())), "{replies:?}");
    let expected: Vec<Bytes> = (0..20u8).map(|n| Bytes::from(vec![n])).collect();
    assert_eq!(*actor.script.seen.lock(), expected);
}

#[actix::test]
async fn a_panic_among_calls_that_waited_leaves_the_others_waiting_for_the_next_binding() {
    let actor = Fixture::held(Order::Serve).await;
    let calls = ["now", "panic", "now", "panic", "now"].map(|operation| actor.send(operation));
    let (replies, ()) = futures_util::future::join(join_all(calls), async {
        settle().await;
        actor.serve().await;
    })
    .await;
    let ok: Vec<_> = replies.iter().filter_map(|reply| reply.as_deref().ok()).collect();
    assert_eq!(ok, ["1", "2", "3"]);
    assert_eq!(actor.panics().len(), 2);
}

#[actix::test]
async fn a_call_waits_no_longer_than_its_own_deadline() {
    let actor = Fixture::held(Order::Nothing).await;
    let within = |millis| {
        let mut call = call("now", b"");
        call.caller.deadline = Instant::now() + Duration::from_millis(millis);
        actor.ask(call)
    };
    let started = Instant::now();
    // The first one sets the alarm, the second is due before it.
    let (late, soon, now) = tokio::join!(within(1000), within(500), within(0));
    let waited = started.elapsed();
    let error = "timed_out: binding `cache` did not come back before the deadline of the call";
    assert_eq!((late.unwrap_err().as_str(), soon.unwrap_err().as_str()), (error, error));
    assert_eq!(now.unwrap_err(), "timed_out: binding `cache` was not reached before the deadline of the call");
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(actor.counters.read().host_calls, [("now", "timed_out", 3)]);
    actor.serve().await;
    assert!(actor.script.seen.lock().is_empty());
}

#[actix::test]
async fn refuses_what_waits_and_what_comes_with_the_reason_until_it_serves_again() {
    let actor = Fixture::held(Order::Nothing).await;
    let (waited, _) = futures_util::future::join(actor.send("now"), async {
        settle().await;
        actor.address.send(Refuse("no such disk".to_owned())).await.unwrap();
    })
    .await;
    let error = Err("unavailable: binding `cache`: no such disk".to_owned());
    assert_eq!(waited, error);
    assert_eq!(actor.send("later").await, error);
    let expected = [("now", "unavailable", 1), ("later", "unavailable", 1)];
    assert_eq!(actor.counters.read().host_calls, expected);
    actor.serve().await;
    assert_eq!(actor.send("now").await, Ok("1".into()));
}

#[actix::test]
async fn calls_in_flight_keep_their_answers_while_others_wait() {
    let actor = Fixture::serving(Order::Nothing).await;
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (in_flight, waited, ()) = tokio::join!(
        actor.send("much_later"),
        async {
            settle().await;
            actor.address.send(Hold).await.unwrap();
            held.send(()).unwrap();
            actor.send("now").await
        },
        async {
            // Who serves before it is held would leave it held.
            is_held.await.unwrap();
            actor.until(|actor| actor.counters.read().calls_ok == 1).await;
            actor.serve().await;
        }
    );
    assert_eq!((in_flight, waited), (Ok("1".into()), Ok("2".into())));
    assert!(actor.panics().is_empty());
}

#[actix::test]
async fn a_binding_that_cannot_be_made_is_reported_without_a_caller() {
    let actor = Fixture::held(Order::Serve).await;
    actor.script.broken.store(2, SeqCst);
    actor.serve().await;
    assert_eq!(actor.send("now").await, Ok("3".into()));
    assert_eq!(actor.panics(), ["no scripts today", "no scripts today"]);
    assert!(actor.exits.lock().iter().all(|exit| exit.caller.is_none() && !exit.gone));
}

#[actix::test]
async fn a_supervisor_that_refuses_ends_the_waiting() {
    let actor = Fixture::serving(Order::Refuse).await;
    actor.send("panic").await.unwrap_err();
    assert_eq!(actor.send("now").await, Err("unavailable: binding `cache`: enough".into()));
}

#[actix::test]
async fn a_panic_in_a_drop_is_caught_and_reported() {
    let actor = Fixture::serving(Order::Serve).await;
    assert_eq!(actor.send("panic_at_the_end").await, Err("internal: binding `cache` panicked: bitter future".into()));
    assert_eq!(actor.send("now").await, Ok("2".into()));
    // A guest that goes away drops its call.
    let gone = tokio::time::timeout(Duration::from_millis(500), actor.send("hang_bitterly")).await;
    assert!(gone.is_err());
    actor.until(|actor| actor.panics().len() == 2).await;
    actor.script.bitter.store(true, SeqCst);
    actor.serve().await;
    actor.script.bitter.store(false, SeqCst);
    // The bitter one is replaced: its end is reported, and the supervisor makes the next.
    actor.serve().await;
    actor.until(|actor| actor.panics().len() == 3).await;
    assert!(actor.send("now").await.is_ok());
    assert_eq!(actor.panics(), ["bitter future", "bitter future", "bitter end"]);
}

#[actix::test]
async fn does_not_start_a_call_whose_deadline_has_passed() {
    let actor = Fixture::serving(Order::Serve).await;
    let mut late = call("panic", b"");
    late.caller.deadline = Instant::now();
    let error = actor.address.send(late).await.unwrap().unwrap_err();
    assert_eq!(error.kind, HostErrorKind::TimedOut);
    assert!(actor.panics().is_empty() && !actor.counters.take_succeeded());
}

#[actix::test]
async fn refuses_calls_beyond_its_bound_and_forgets_those_that_nobody_waits_for() {
    for serving in [true, false] {
        let actor = if serving { Fixture::serving(Order::Nothing).await } else { Fixture::held(Order::Nothing).await };
        let mut all = Vec::with_capacity(MAX_IN_FLIGHT);
        while all.len() < MAX_IN_FLIGHT {
            for _ in 0..128 {
                let mut hanging = Box::pin(actor.address.send(call("hang", b"")));
                assert!((&mut hanging).now_or_never().is_none());
                all.push(hanging);
            }
            // Answered at once in any state, behind those that were sent before.
            let mut late = call("now", b"");
            late.caller.deadline = Instant::now();
            actor.ask(late).await.unwrap_err();
        }
        let refused = actor.send("now").await.unwrap_err();
        let error = format!("unavailable: binding `cache` is busy: {MAX_IN_FLIGHT} host calls wait for it here");
        assert_eq!(refused, error);
        drop(all);
        if serving {
            actor.until(|actor| actor.script.dropped.load(SeqCst) == MAX_IN_FLIGHT).await;
            assert_eq!(actor.send("now").await, Ok("1".into()));
        } else {
            let (reply, ()) = futures_util::future::join(actor.send("now"), async {
                settle().await;
                actor.serve().await;
            })
            .await;
            assert_eq!(reply, Ok("1".into()));
            assert_eq!(actor.script.seen.lock().len(), 1);
        }
        let counts = actor.counters.read();
        assert_eq!(counts.host_calls.iter().find(|(name, ..)| *name == "hang").unwrap().1, "timed_out");
    }
}

#[test]
fn an_actor_that_its_worker_takes_along_says_so() {
    actix::System::new().block_on(async move {
        let actor = Fixture::serving(Order::Nothing).await;
        let worker = actix::Arbiter::new();
        let (send, address) = tokio::sync::oneshot::channel();
        let exits = actor.exits.clone();
        let recipient = {
            use super::script::Supervisor;
            use actix::Actor as _;
            let (order, factory) = (Order::Nothing, actor.factory.clone());
            Supervisor { exits: exits.clone(), order, factory, actor: None }.start().recipient()
        };
        worker.spawn_fn(move || {
            use actix::Actor as _;
            let actor = crate::bindings::BindingActor::new(
                0,
                "cache".into(),
                0,
                Default::default(),
                recipient,
                std::sync::Arc::new(crate::bindings::Deaf),
            );
            send.send(actor.start()).unwrap();
        });
        let _address = address.await.unwrap();
        worker.stop();
        tokio::task::spawn_blocking(move || worker.join().unwrap()).await.unwrap();
        actor.until(|actor| !actor.panics().is_empty()).await;
        assert_eq!(actor.panics(), ["its worker ended"]);
        assert!(exits.lock().iter().all(|exit| exit.gone));
    });
}
