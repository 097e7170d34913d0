//! Checks of an instance between its calls.

use super::*;

fn check(module: &Fixture, instance: &Instance, operation: &str, timeout: Duration) {
    let (operation, reply) = (operation.to_owned(), module.ear.clone().recipient());
    instance.addr.do_send(CheckHealth { operation, timeout, reply });
}

async fn checked(module: &mut Fixture) -> HealthChecked {
    timeout(SOON, module.checks.recv()).await.unwrap().unwrap()
}

#[actix::test]
async fn an_idle_instance_is_asked_at_once_and_takes_calls_afterwards() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    for (operation, outcome) in [("echo", Ok(())), ("fail", Err("fail".to_owned()))] {
        check(&module, &instance, operation, SOON);
        let expected = HealthChecked { module: 0, slot: 0, instance: instance.id, outcome };
        assert_eq!(checked(&mut module).await, expected);
    }
    assert_eq!((module.all(), module.queue.counters().succeeded.load(SeqCst)), (0, false), "no call was made");
    assert!(module.outcome("echo").await.is_ok());
}

#[actix::test]
async fn of_an_error_of_megabytes_the_supervisor_hears_the_beginning() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    check(&module, &instance, &"f".repeat(30_000), SOON);
    let why = checked(&mut module).await.outcome.unwrap_err();
    assert!(why.starts_with("fff") && why.len() < 10_000, "{} bytes", why.len());
}

#[actix::test]
async fn a_check_of_a_busy_instance_waits_for_its_call_and_goes_before_those_that_wait() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    let running = module.call("hold");
    module.until_in_flight(1).await;
    let waiting = module.call("hold");
    module.until(|numbers| numbers.calls == 1).await;
    check(&module, &instance, "echo", SOON);
    check(&module, &instance, "fail", SOON);
    module.gate.add_permits(1);
    assert!(reply(running).await.is_ok());
    assert_eq!(checked(&mut module).await.outcome, Ok(()));
    assert!(!waiting.is_finished());
    module.gate.add_permits(1);
    assert!(reply(waiting).await.is_ok());
    module.until(|numbers| numbers.idle == 1).await;
    assert!(module.checks.try_recv().is_err(), "one check at a time");
    check(&module, &instance, "fail", SOON);
    assert!(checked(&mut module).await.outcome.is_err(), "the next one is taken");
}

#[actix::test]
async fn a_call_that_comes_during_a_check_waits_and_is_answered() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    check(&module, &instance, "hold", SOON);
    module.until(|numbers| numbers.idle == 0).await;
    let waiting = module.call("echo");
    module.until(|numbers| numbers.calls == 1).await;
    module.gate.add_permits(1);
    assert!(reply(waiting).await.is_ok());
    assert_eq!(checked(&mut module).await.outcome, Ok(()));
}

#[actix::test]
async fn a_check_that_traps_or_takes_too_long_is_an_exit() {
    let mut module = Fixture::new(settings());
    // Long enough for it to come to its host call.
    let short = Duration::from_secs(1);
    let late = ExitReason::DeadlineExceeded { in_host_call: true };
    for (operation, limit, reason) in [("trap", NEVER, ExitReason::Trapped), ("hold", short, late)] {
        let instance = module.here().await;
        check(&module, &instance, operation, limit);
        let exit = module.exit().await;
        let (asked, _, origin) = exit.report.call.unwrap();
        assert_eq!((exit.instance, exit.report.reason), (instance.id, reason));
        assert_eq!((asked.as_str(), origin), (operation, Origin::Health));
    }
    assert!(module.checks.try_recv().is_err(), "the exit is the answer");
    assert_eq!((module.all(), module.queue.numbers().idle), (0, 0));
}

#[actix::test]
async fn an_instance_that_leaves_does_not_wait_for_a_check() {
    let mut module = Fixture::new(settings());
    let instance = module.here().await;
    let running = module.call("hold");
    module.until_in_flight(1).await;
    check(&module, &instance, "hold", SOON);
    instance.addr.do_send(Leave::from(How::AfterCall));
    tokio::task::yield_now().await;
    module.gate.add_permits(1);
    assert!(reply(running).await.is_ok());
    assert_eq!(module.exit().await.report.reason, ExitReason::Stopped);
}
