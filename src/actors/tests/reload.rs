//! What changes while calls wait and run: bounds, times, rates, and the modules themselves.

use super::*;
use crate::config::RateLimit;

fn rate(burst: u32) -> Option<RateLimit> {
    Some(RateLimit { calls: 1, per: Duration::from_secs(3600), burst })
}

fn waiting() -> QueueSettings {
    QueueSettings { calls: 1, on_full: OnFull::Wait, ..settings() }
}

/// Lets every caller come as far as it comes.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_smaller_queue_refuses_what_is_new_and_keeps_what_waits() {
    let module = Fixture::new(settings());
    let calls: Vec<_> = (0..3).map(|_| module.call("echo")).collect();
    module.until(|numbers| numbers.calls == 3).await;
    module.queue.configure(QueueSettings { calls: 2, ..settings() });
    match module.outcome("echo").await {
        Err(CallFailure::Busy { what, .. }) => assert_eq!(what, "its queue of 2 calls is"),
        other => panic!("{other:?}"),
    }
    module.queue.configure(QueueSettings { bytes: 3, ..settings() });
    match module.outcome("echo").await {
        Err(CallFailure::Busy { what, .. }) => assert_eq!(what, "its queue of 3 bytes is"),
        other => panic!("{other:?}"),
    }
    assert_eq!(module.queue.numbers().calls, 3);
    module.here().await;
    for call in calls {
        assert!(reply(call).await.is_ok());
    }
    assert_eq!((module.counted(Outcome::Ok), module.counted(Outcome::Busy)), (3, 2));
    assert_eq!(module.queue.budget.used(), 0);
}

#[actix::test]
async fn calls_that_wait_keep_the_times_that_they_were_accepted_with() {
    let module = Fixture::new(settings());
    let (patient, short) = (module.call("echo"), Duration::from_millis(30));
    module.until(|numbers| numbers.calls == 1).await;
    module.queue.configure(QueueSettings { timeout: Some(short), ..settings() });
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::Expired { .. })), "a new one has the new time");
    module.queue.configure(QueueSettings { call_timeout: short, ..settings() });
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::Expired { .. })));
    module.queue.sweep(Instant::now());
    assert_eq!(module.queue.numbers().calls, 1);
    module.here().await;
    assert!(reply(patient).await.is_ok());
}

#[actix::test]
async fn a_payload_is_held_to_the_size_that_is_allowed_now() {
    let module = Fixture::new(settings());
    module.here().await;
    module.queue.configure(QueueSettings { payload: 6, ..settings() });
    assert!(module.outcome("echo").await.is_err());
    assert_eq!(module.counted(Outcome::TooLarge), 1);
    module.queue.configure(QueueSettings { payload: 7, ..settings() });
    assert!(module.outcome("echo").await.is_ok());
}

#[actix::test]
async fn callers_who_wait_for_room_get_it_when_the_queue_becomes_larger() {
    let module = Fixture::new(waiting());
    let calls: Vec<_> = (0..3).map(|_| module.call("echo")).collect();
    module.until(|numbers| numbers.calls == 1).await;
    module.queue.configure(QueueSettings { calls: 3, ..waiting() });
    module.until(|numbers| numbers.calls == 3).await;
    module.here().await;
    for call in calls {
        assert!(reply(call).await.is_ok());
    }
}

#[actix::test]
async fn callers_who_wait_for_room_are_refused_when_nobody_waits_any_more() {
    let module = Fixture::new(waiting());
    let first = module.call("echo");
    module.until(|numbers| numbers.calls == 1).await;
    let others: Vec<_> = (0..3).map(|_| module.call("echo")).collect();
    settle().await;
    assert!(others.iter().all(|call| !call.is_finished()));
    module.queue.configure(QueueSettings { on_full: OnFull::Reject, ..waiting() });
    for call in others {
        assert!(matches!(reply(call).await, Err(CallFailure::Busy { .. })));
    }
    module.here().await;
    assert!(reply(first).await.is_ok());
}

#[actix::test]
async fn a_caller_in_the_line_whose_payload_is_too_large_now_is_told_so() {
    let module = Fixture::new(waiting());
    let first = call(&module.queue, "echo", "");
    module.until(|numbers| numbers.calls == 1).await;
    let large = module.call("echo");
    settle().await;
    module.queue.configure(QueueSettings { payload: 1, ..waiting() });
    assert!(matches!(reply(large).await, Err(CallFailure::Call(crate::host::CallError::TooLarge { limit: 1, .. }))));
    module.here().await;
    assert!(reply(first).await.is_ok());
}

#[actix::test]
async fn a_new_rate_limit_begins_with_a_full_burst_and_one_that_is_the_same_goes_on() {
    let module = Fixture::new(QueueSettings { rate: rate(1), ..settings() });
    module.here().await;
    assert!(module.outcome("echo").await.is_ok());
    module.queue.configure(QueueSettings { rate: rate(1), calls: 9, ..settings() });
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::RateLimited { .. })), "it is the same limit");
    module.queue.configure(QueueSettings { rate: rate(2), ..settings() });
    for _ in 0..2 {
        assert!(module.outcome("echo").await.is_ok());
    }
    assert!(matches!(module.outcome("echo").await, Err(CallFailure::RateLimited { .. })));
    module.queue.configure(settings());
    for _ in 0..5 {
        assert!(module.outcome("echo").await.is_ok(), "without a limit there is none");
    }
}

#[actix::test]
async fn a_larger_budget_of_the_daemon_wakes_those_who_wait_for_it() {
    let budget = Arc::new(QueueBudget::new(10));
    let patient = QueueSettings { on_full: OnFull::Wait, ..settings() };
    let queue = queue(patient, &budget);
    let first = call(&queue, "echo", "0123456789");
    let second = call(&queue, "echo", "0123456789");
    settle().await;
    assert_eq!((queue.numbers().calls, budget.used()), (1, 10));
    budget.set_limit(5);
    settle().await;
    assert_eq!((queue.numbers().calls, budget.limit()), (1, 5), "what waits, waits on");
    budget.set_limit(20);
    let end = Instant::now() + SOON;
    while queue.numbers().calls != 2 {
        assert!(Instant::now() < end, "{queue:?}");
        settle().await;
    }
    queue.set_gate(Gate::Refusing(Refusal::Stopped));
    assert!(reply(first).await.is_err() && reply(second).await.is_err());
}

#[actix::test]
async fn a_module_that_is_removed_ends_its_calls_and_takes_no_more() {
    let (module, modules) = (Fixture::new(settings()), Modules::default());
    assert!(modules.insert(Arc::clone(&module.queue)).is_none());
    module.here().await;
    let by_name = |operation: &'static str| {
        let modules = modules.clone();
        tokio::task::spawn_local(async move { modules.call("menu", request(operation, "", None)).await })
    };
    let (running, behind) = (by_name("hold"), by_name("echo"));
    module.until(|numbers| numbers.calls == 1).await;
    let queue = modules.remove("menu").unwrap();
    assert!(Arc::ptr_eq(&queue, &module.queue) && modules.remove("menu").is_none());
    assert!(matches!(reply(by_name("echo")).await, Err(CallFailure::NoSuchModule(name)) if name == "menu"));
    match module.outcome("echo").await {
        Err(failure @ CallFailure::Refused { refusal: Refusal::Removed, .. }) => {
            assert_eq!(failure.to_string(), "module `menu` is removed from the configuration");
        }
        other => panic!("{other:?}"),
    }
    module.gate.add_permits(1);
    assert!(reply(running).await.is_ok() && reply(behind).await.is_ok());
}

#[actix::test]
async fn a_module_that_comes_while_others_are_called_is_found_from_any_thread() {
    let (module, modules) = (Fixture::new(settings()), Modules::default());
    module.here().await;
    assert!(modules.call("menu", request("echo", "", None)).await.outcome.is_err());
    let (other, first) = (modules.clone(), Arc::clone(&module.queue));
    std::thread::spawn(move || other.insert(first).is_none()).join().unwrap();
    assert!(modules.call("menu", request("echo", "", None)).await.outcome.is_ok());
    let again = queue(settings(), &Arc::new(QueueBudget::new(10)));
    let before = modules.insert(Arc::clone(&again)).unwrap();
    assert!(Arc::ptr_eq(&before, &module.queue));
}
