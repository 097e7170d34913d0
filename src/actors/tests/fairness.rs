//! Nobody floods a module or the daemon so that others get nothing.

use super::*;
use crate::config::RateLimit;

#[actix::test]
async fn calls_beyond_the_rate_are_refused_at_once_also_where_calls_wait_for_room() {
    let rate = Some(RateLimit { calls: 1, per: Duration::from_secs(3600), burst: 2 });
    let module = Fixture::new(QueueSettings { rate, on_full: OnFull::Wait, ..settings() });
    module.here().await;
    assert!(module.outcome("echo").await.is_ok());
    assert!(module.outcome("echo").await.is_ok());
    match module.outcome("echo").await {
        Err(CallFailure::RateLimited { calls: 1, retry_after, .. }) => assert!(retry_after > Duration::from_secs(3000)),
        other => panic!("{other:?}"),
    }
    assert_eq!((module.counted(Outcome::RateLimited), module.queue.counters().read().refused), (1, 1));
}

#[actix::test]
async fn a_module_that_is_stopped_says_so_before_its_rate_is_looked_at() {
    let rate = Some(RateLimit { calls: 1, per: Duration::from_secs(3600), burst: 1 });
    let module = Fixture::new(QueueSettings { rate, ..settings() });
    module.queue.set_gate(Gate::Refusing(Refusal::Stopped));
    for _ in 0..3 {
        assert!(matches!(module.outcome("echo").await, Err(CallFailure::Refused { .. })));
    }
}

#[actix::test]
async fn a_module_that_floods_the_daemons_budget_leaves_every_other_one_a_call() {
    let budget = Arc::new(QueueBudget::new(10));
    let (flood, quiet) = (queue(settings(), &budget), queue(settings(), &budget));
    let flooding = call(&flood, "echo", "0123456789");
    let refused = call(&flood, "echo", "0");
    assert!(matches!(reply(refused).await, Err(CallFailure::Busy { .. })), "the daemon's budget is used up");
    let first = call(&quiet, "echo", "0123456789");
    let second = call(&quiet, "echo", "0");
    assert!(matches!(reply(second).await, Err(CallFailure::Busy { .. })), "one call, not more");
    assert_eq!((quiet.numbers().calls, budget.used()), (1, 20));
    for queue in [flood, quiet] {
        queue.set_gate(Gate::Refusing(Refusal::Stopped));
    }
    assert!(reply(flooding).await.is_err() && reply(first).await.is_err());
    assert_eq!(budget.used(), 0);
}

#[actix::test]
async fn callers_who_wait_for_room_are_served_in_the_order_in_which_they_came() {
    let module = Fixture::new(QueueSettings { calls: 1, on_full: OnFull::Wait, ..settings() });
    module.here().await;
    let (order_in, mut order) = mpsc::channel(64);
    let ask = |number: u32| {
        let (queue, order) = (Arc::clone(&module.queue), order_in.clone());
        tokio::task::spawn_local(async move {
            let operation = if number == 0 { "hold" } else { "echo" };
            queue.call(request(operation, "", None), None).await.outcome.unwrap();
            order.try_send(number).unwrap();
            // Whoever was served comes again at once, and must not be served before those who wait already.
            if number < 5 {
                queue.call(request("echo", "", None), None).await.outcome.unwrap();
                order.try_send(number + 100).unwrap();
            }
        })
    };
    let first = ask(0);
    module.until_in_flight(1).await;
    let others: Vec<_> = (1..20).map(ask).collect();
    tokio::task::yield_now().await;
    module.gate.add_permits(1);
    for task in std::iter::once(first).chain(others) {
        timeout(SOON, task).await.unwrap().unwrap();
    }
    drop(order_in);
    let mut served = Vec::new();
    while let Some(number) = order.recv().await {
        served.push(number);
    }
    let firsts: Vec<u32> = served.iter().copied().filter(|number| *number < 100).collect();
    assert_eq!(firsts, (0..20).collect::<Vec<_>>());
    let newcomer = served.iter().position(|number| *number == 100).unwrap();
    let last = served.iter().position(|number| *number == 19).unwrap();
    assert!(last < newcomer, "{served:?}");
}

#[actix::test]
async fn a_caller_in_the_line_expires_or_goes_away_without_holding_up_the_others() {
    let module = Fixture::new(QueueSettings { calls: 1, on_full: OnFull::Wait, ..settings() });
    let queued = module.call("echo");
    module.until(|numbers| numbers.calls == 1).await;
    let gone = module.call("echo");
    let deadline = Some(Instant::now() + Duration::from_millis(30));
    let queue = Arc::clone(&module.queue);
    let late = tokio::task::spawn_local(async move { queue.call(request("echo", "", deadline), None).await });
    let patient = module.call("echo");
    tokio::task::yield_now().await;
    gone.abort();
    assert!(matches!(reply(late).await, Err(CallFailure::Expired { .. })));
    module.here().await;
    assert!(reply(queued).await.is_ok() && reply(patient).await.is_ok());
    let of = |outcome| module.counted(outcome);
    assert_eq!((of(Outcome::Ok), of(Outcome::Expired), of(Outcome::Abandoned), module.all()), (2, 1, 1, 4));
}

#[actix::test]
async fn a_module_that_closes_refuses_everyone_in_the_line() {
    let module = Fixture::new(QueueSettings { calls: 1, on_full: OnFull::Wait, ..settings() });
    let calls: Vec<_> = (0..5).map(|_| module.call("echo")).collect();
    module.until(|numbers| numbers.calls == 1).await;
    module.queue.set_gate(Gate::Refusing(Refusal::Stopped));
    for call in calls {
        assert!(matches!(reply(call).await, Err(CallFailure::Refused { .. })));
    }
    assert_eq!(module.counted(Outcome::Stopped), 5);
}
