//! Every call is counted once, whatever becomes of it.

use super::*;

#[actix::test]
async fn a_reply_finds_its_call_counted() {
    let module = Fixture::new(settings());
    module.here().await;
    assert_eq!(module.outcome("echo").await.unwrap(), "payload");
    let counts = module.queue.counters().read();
    assert_eq!((counts.ok, counts.failed, counts.refused, counts.latency.count), (1, 0, 0, 1));
    assert_eq!(module.queue.counters().in_flight.load(SeqCst), 0);
    assert!(module.outcome("fail").await.is_err());
    assert_eq!(module.counted(Outcome::GuestError), 1);
}

#[actix::test]
async fn a_trap_is_counted_and_reported_and_what_waits_runs_on_the_next_instance() {
    let mut module = Fixture::new(settings());
    module.here().await;
    let (trap, behind) = (module.call("trap"), module.call("echo"));
    assert!(reply(trap).await.is_err());
    assert_eq!(module.exit().await.report.reason, ExitReason::Trapped);
    assert_eq!((module.counted(Outcome::Trapped), module.all()), (1, 1), "the call behind it has not ended");
    module.here().await;
    assert!(reply(behind).await.is_ok());
    assert_eq!((module.counted(Outcome::Ok), module.all()), (1, 2));
}

#[actix::test]
async fn a_call_that_no_instance_took_is_refused_and_took_no_time() {
    let module = Fixture::new(QueueSettings { calls: 1, ..settings() });
    let waiting = module.call("echo");
    module.until(|numbers| numbers.calls == 1).await;
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::Busy { .. })));
    assert!(reply(call(&module.queue, "echo", &"x".repeat(1025))).await.is_err());
    module.queue.set_gate(Gate::Refusing(Refusal::Stopped));
    assert!(matches!(reply(waiting).await, Err(CallFailure::Refused { .. })));
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::Refused { .. })));
    let counts = module.queue.counters().read();
    assert_eq!((counts.ok, counts.failed, counts.refused, counts.latency.count), (0, 0, 4, 0));
    let of = |outcome| module.counted(outcome);
    assert_eq!((of(Outcome::Busy), of(Outcome::TooLarge), of(Outcome::Stopped)), (1, 1, 2));
}

#[actix::test]
async fn without_an_instance_calls_wait_under_their_own_deadlines() {
    let module = Fixture::new(QueueSettings { timeout: Some(Duration::from_millis(20)), ..settings() });
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::Expired { .. })));
    assert_eq!((module.counted(Outcome::Expired), module.all()), (1, 1));
    assert_eq!(module.queue.numbers(), QueueNumbers { calls: 0, bytes: 0, idle: 0 });
}

#[actix::test]
async fn a_caller_that_goes_away_abandons_what_was_not_started_and_nothing_else() {
    let module = Fixture::new(settings());
    let waiting = module.call("echo");
    module.until(|numbers| numbers.calls == 1).await;
    waiting.abort();
    module.until(|numbers| numbers.calls == 0).await;
    assert_eq!((module.counted(Outcome::Abandoned), module.all()), (1, 1));
    module.here().await;
    let running = module.call("hold");
    module.until_in_flight(1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    module.gate.add_permits(1);
    module.until_in_flight(0).await;
    assert_eq!((module.counted(Outcome::Ok), module.all()), (1, 2), "it ran to its end");
}

#[actix::test]
async fn an_instance_that_ends_from_outside_loses_its_call_once() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    let running = module.call("hold");
    module.until_in_flight(1).await;
    let why = "its health checks failed 3 times".to_owned();
    instance.addr.do_send(Leave { how: How::Now, reason: ExitReason::Unhealthy, why: why.clone() });
    assert!(matches!(reply(running).await, Err(CallFailure::Lost(_))));
    let exit = module.exit().await;
    assert_eq!(
        (exit.instance, exit.report.reason, exit.report.causes),
        (instance.id, ExitReason::Unhealthy, vec![why])
    );
    assert_eq!((module.counted(Outcome::Lost), module.all()), (1, 1));
    assert_eq!(module.queue.counters().read().failed, 1);
}

#[actix::test]
async fn the_memory_of_an_instance_is_known_from_its_start_on() {
    let module = Fixture::new(settings());
    let instance = module.here().await;
    assert_eq!(instance.facts.memory.load(SeqCst), 65_536);
    module.outcome("grow").await.unwrap();
    assert_eq!(instance.facts.memory.load(SeqCst), 2 * 65_536);
}
