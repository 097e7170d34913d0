//! Workers that do not turn over: nobody waits for them past a deadline, and nothing is answered twice.

use std::sync::mpsc as blocking;

use actix::Arbiter;

use super::*;

/// A thread that the test can hold.
struct Worker(Arbiter);

/// Holds a worker's thread until it is dropped.
struct Hold(#[expect(dead_code, reason = "dropping it lets the thread go on")] blocking::Sender<()>);

impl Worker {
    /// Holds the thread; what it was told before is done.
    async fn hold(&self) -> Hold {
        let (release, released) = blocking::channel();
        let (held, holds) = oneshot::channel();
        self.0.spawn_fn(move || {
            held.send(()).unwrap();
            // Ends with an error when the other side is dropped.
            released.recv().ok();
        });
        holds.await.unwrap();
        Hold(release)
    }
}

#[actix::test]
async fn a_call_to_an_instance_whose_worker_stalls_is_lost_soon_after_its_deadline_and_never_started() {
    let module = Fixture::new(settings());
    let worker = Worker(Arbiter::new());
    module.start(&worker.0.handle(), 3).await;
    module.until(|numbers| numbers.idle == 1).await;
    let held = worker.hold().await;
    // "trap" would end the instance if it were started.
    let call = module.call("trap");
    module.until_in_flight(1).await;
    module.queue.set_stalled(3, true);
    module.queue.sweep(Instant::now());
    assert_eq!(module.all(), 0, "its deadline has not passed");
    module.queue.sweep(Instant::now() + NEVER);
    match reply(call).await {
        Err(CallFailure::Lost(why)) => assert!(why.contains("worker 3"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((module.counted(Outcome::Lost), module.all()), (1, 1));
    drop(held);
    module.until(|numbers| numbers.idle == 1).await;
    module.queue.set_stalled(3, false);
    assert!(module.outcome("echo").await.is_ok());
    assert_eq!((module.counted(Outcome::Ok), module.all()), (1, 2));
}

#[actix::test]
async fn an_answer_that_comes_too_late_from_a_stalled_worker_reaches_nobody() {
    let module = Fixture::new(settings());
    let worker = Worker(Arbiter::new());
    module.start(&worker.0.handle(), 1).await;
    let call = module.call("hold");
    module.until_in_flight(1).await;
    let held = worker.hold().await;
    module.queue.set_stalled(1, true);
    module.queue.sweep(Instant::now() + NEVER);
    assert!(matches!(reply(call).await, Err(CallFailure::Lost(_))));
    module.gate.add_permits(1);
    drop(held);
    module.until(|numbers| numbers.idle == 1).await;
    assert_eq!((module.counted(Outcome::Lost), module.all()), (1, 1));
    assert_eq!(module.queue.counters().in_flight.load(SeqCst), 0);
}

#[actix::test]
async fn idle_instances_of_a_stalled_worker_get_no_calls_until_it_has_recovered() {
    let module = Fixture::new(settings());
    let (stalls, turns) = (Worker(Arbiter::new()), Worker(Arbiter::new()));
    module.start(&stalls.0.handle(), 1).await;
    module.start(&turns.0.handle(), 2).await;
    module.until(|numbers| numbers.idle == 2).await;
    let held = stalls.hold().await;
    module.queue.set_stalled(1, true);
    for _ in 0..3 {
        assert!(module.outcome("echo").await.is_ok(), "the other instance answers");
        module.until(|numbers| numbers.idle == 2).await;
    }
    let busy = module.call("hold");
    module.until_in_flight(1).await;
    let waiting = module.call("echo");
    module.until(|numbers| numbers.calls == 1 && numbers.idle == 1).await;
    drop(held);
    module.queue.set_stalled(1, false);
    assert!(reply(waiting).await.is_ok(), "what waited is handed out at once");
    module.gate.add_permits(1);
    assert!(reply(busy).await.is_ok());
    assert_eq!(module.all(), 5);
}

#[actix::test]
async fn an_instance_that_was_given_up_with_its_worker_loses_its_call_and_takes_no_other() {
    let mut module = Fixture::new(settings());
    let worker = Worker(Arbiter::new());
    let instance = module.start(&worker.0.handle(), 1).await;
    module.until(|numbers| numbers.idle == 1).await;
    let held = worker.hold().await;
    let (lost, waiting) = (module.call("trap"), module.call("echo"));
    module.until(|numbers| numbers.calls == 1).await;
    module.queue.part(instance.id);
    assert!(matches!(reply(lost).await, Err(CallFailure::Lost(_))));
    drop(held);
    assert_eq!(module.exit().await.instance, instance.id, "it ends when it comes back");
    assert!(!waiting.is_finished());
    module.here().await;
    assert!(reply(waiting).await.is_ok());
    assert_eq!((module.counted(Outcome::Ok), module.all()), (1, 2));
}

#[actix::test]
async fn calls_on_a_worker_that_ends_are_lost_and_its_instances_say_what_happened() {
    let mut module = Fixture::new(settings());
    let worker = Worker(Arbiter::new());
    module.start(&worker.0.handle(), 1).await;
    let call = module.call("hold");
    module.until_in_flight(1).await;
    worker.0.stop();
    assert!(matches!(reply(call).await, Err(CallFailure::Lost(_))));
    let report = module.exit().await.report;
    assert_eq!((report.reason, report.causes), (ExitReason::Panicked, vec!["its worker ended".to_owned()]));
    assert_eq!((module.counted(Outcome::Lost), module.all()), (1, 1));
}

#[actix::test]
async fn a_call_that_was_put_back_waits_for_the_next_instance_or_expires_without_a_timer() {
    let module = Fixture::new(settings());
    let ended = Arc::new(super::super::desk::Desk::new(77, 0, &module.queue.loads));
    for answered in [true, false] {
        let (sender, receiver) = oneshot::channel();
        let mut call = module.queue.accept(&settings(), request("echo", "payload", None), Instant::now(), None);
        call.reply_to(sender);
        ended.take_on(&mut call, Instant::now());
        assert_eq!(module.queue.counters().in_flight.load(SeqCst), 1);
        module.queue.put_back(call, &ended);
        assert_eq!((module.queue.numbers().calls, module.queue.counters().in_flight.load(SeqCst)), (1, 0));
        module.queue.sweep(Instant::now());
        assert_eq!(module.queue.numbers().calls, 1, "it has not expired");
        if !answered {
            module.queue.sweep(Instant::now() + NEVER);
            let reply = timeout(SOON, receiver).await.unwrap().unwrap();
            assert!(matches!(reply.outcome, Err(CallFailure::Expired { .. })));
            continue;
        }
        let mut module = Fixture { queue: Arc::clone(&module.queue), ..Fixture::new(settings()) };
        let instance = module.here().await;
        assert!(timeout(SOON, receiver).await.unwrap().unwrap().outcome.is_ok());
        instance.addr.do_send(Leave::from(How::Now));
        module.exit().await;
    }
    assert_eq!((module.counted(Outcome::Ok), module.counted(Outcome::Expired), module.all()), (1, 1, 2));
    assert_eq!(module.queue.budget.used(), 0);
}
