//! Calls that begin where they are made: what one look at them does, and what becomes of those that it does not end.

use std::{
    pin::pin,
    task::{Context as Look, Poll, Waker},
};

use super::{placement::Placed, *};

impl Placed {
    /// Does something on worker 0, and then, before anything else there, makes a call, looks at it once and drops it; says what
    /// was seen.
    async fn look_after(&self, first: impl FnOnce() + Send + 'static, operation: &'static str) -> Poll<CallReply> {
        let (seen, look) = oneshot::channel();
        let queue = Arc::clone(&self.module.queue);
        self.workers.handle(0).unwrap().spawn(async move {
            first();
            let mut call = pin!(queue.call(request(operation, "payload", None), None));
            let looked = call.as_mut().poll(&mut Look::from_waker(Waker::noop()));
            seen.send(looked).ok();
        });
        timeout(SOON, look).await.unwrap().unwrap()
    }

    async fn look(&self, operation: &'static str) -> Poll<CallReply> {
        self.look_after(|| (), operation).await
    }
}

#[actix::test]
async fn a_call_on_its_callers_worker_is_over_at_the_first_look() {
    let placed = Placed::new(settings());
    let instance = placed.instance(0).await;
    // A guest whose thread was off its core for a while gives way to others, as one does that computes for long.
    for _ in 0..100 {
        let looked = placed.look("echo").await;
        placed.idle(1).await;
        if let Poll::Ready(reply) = looked {
            assert_eq!(reply.ran_on.map(|ran_on| ran_on.instance), Some(instance.id));
            assert_eq!(reply.outcome.unwrap(), "payload");
            return;
        }
    }
    panic!("each of a hundred waited");
}

#[actix::test]
async fn a_call_that_has_begun_goes_on_without_its_caller() {
    let placed = Placed::new(settings());
    placed.instance(0).await;
    assert!(placed.look("hold").await.is_pending());
    placed.module.until_in_flight(1).await;
    placed.module.gate.add_permits(1);
    placed.idle(1).await;
    assert_eq!((placed.module.counted(Outcome::Ok), placed.module.all()), (1, 1));
}

#[actix::test]
async fn what_comes_behind_a_call_that_has_begun_waits_for_its_instance() {
    let placed = Placed::new(settings());
    placed.instance(0).await;
    assert!(placed.look("hold").await.is_pending());
    assert!(placed.look("echo").await.is_pending(), "and is given up");
    let waits = placed.module.call("echo");
    placed.module.gate.add_permits(1);
    assert_eq!(reply(waits).await.unwrap(), "payload");
    assert_eq!((placed.module.counted(Outcome::Ok), placed.module.counted(Outcome::Abandoned)), (2, 1));
}

#[actix::test]
async fn an_instance_that_ends_in_its_callers_turn_is_reported() {
    let mut placed = Placed::new(settings());
    let instance = placed.instance(0).await;
    if let Poll::Ready(reply) = placed.look("trap").await {
        assert!(matches!(reply.outcome, Err(CallFailure::Call(_))), "{:?}", reply.outcome);
    }
    let exit = placed.module.exit().await;
    assert_eq!((exit.instance, exit.report.reason), (instance.id, ExitReason::Trapped));
    assert!(placed.module.queue.members().is_empty());
}

#[actix::test]
async fn an_instance_that_is_told_to_leave_now_ends_a_run_that_it_has_not_heard_of() {
    let mut placed = Placed::new(settings());
    let instance = placed.instance(0).await;
    let addr = instance.addr.clone();
    assert!(placed.look_after(move || addr.do_send(Leave::from(How::Now)), "hold").await.is_pending());
    let exit = placed.module.exit().await;
    assert_eq!((exit.instance, exit.report.reason), (instance.id, ExitReason::Stopped));
    assert_eq!(placed.module.counted(Outcome::Lost), 1);
}
