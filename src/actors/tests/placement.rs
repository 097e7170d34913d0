//! Where calls run: on the worker they come from where that is soon possible, else elsewhere rather than not at all.

use super::{super::places::PATIENCE, *};

struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<WorkerEnded> for Deaf {
    type Result = ();

    fn handle(&mut self, _: WorkerEnded, _: &mut Context<Self>) {}
}

/// A module with real workers.
pub(super) struct Placed {
    pub(super) module: Fixture,
    pub(super) workers: Workers,
}

impl Placed {
    pub(super) fn new(settings: QueueSettings) -> Self {
        let workers = Workers::start(2, Deaf.start().recipient());
        Self { module: Self::module(settings, &workers), workers }
    }

    /// One more module on these workers.
    fn module(settings: QueueSettings, workers: &Workers) -> Fixture {
        let queue = queue_beside(settings.clone(), &Arc::new(QueueBudget::new(1 << 20)), workers.loads());
        Fixture { queue, ..Fixture::new(settings) }
    }

    /// Starts an instance on the worker; returns its id.
    pub(super) async fn instance(&self, worker: usize) -> Instance {
        self.module.start(&self.workers.handle(worker).unwrap(), worker).await
    }

    /// Makes so many calls from the worker, one after the other; returns what became of them, once it is done.
    fn calls(&self, worker: usize, operation: &'static str, calls: usize) -> oneshot::Receiver<Vec<Answered>> {
        let (done, answered) = oneshot::channel();
        let queue = Arc::clone(&self.module.queue);
        self.workers.handle(worker).unwrap().spawn(async move {
            let mut on = Vec::new();
            for _ in 0..calls {
                let begun = Instant::now();
                let reply = queue.call(request(operation, "payload", None), None).await;
                let ended = Instant::now();
                // The receiver says what was lost.
                let Ok(_) = reply.outcome else { return };
                on.extend(reply.ran_on.map(|ran_on| Answered { instance: ran_on.instance, begun, ended }));
            }
            // Nobody may wait any more.
            done.send(on).ok();
        });
        answered
    }

    pub(super) async fn idle(&self, instances: usize) {
        self.module.until(|numbers| numbers.idle == instances).await;
    }

    /// Makes calls from a thread that is no worker, one after the other; returns how many of them each instance answered.
    async fn strays<const N: usize>(&self, calls: usize, instances: [u64; N]) -> [usize; N] {
        let mut on = [0; N];
        for _ in 0..calls {
            self.idle(N).await;
            let reply = timeout(SOON, self.module.call("echo")).await.unwrap().unwrap();
            let ran_on = reply.ran_on.unwrap().instance;
            on.iter_mut().zip(instances).for_each(|(calls, instance)| *calls += usize::from(ran_on == instance));
        }
        self.idle(N).await;
        on
    }
}

/// A call as its caller saw it.
struct Answered {
    instance: u64,
    begun: Instant,
    ended: Instant,
}

impl Answered {
    /// Whether a call on its way for so long goes anywhere: the machine has kept one of the threads waiting.
    fn was_late(&self) -> bool {
        self.ended - self.begun >= PATIENCE
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.begun <= other.ended && other.begun <= self.ended
    }
}

/// Which instances answered.
async fn answered(calls: oneshot::Receiver<Vec<Answered>>) -> Vec<u64> {
    done(calls).await.iter().map(|answered| answered.instance).collect()
}

async fn done(calls: oneshot::Receiver<Vec<Answered>>) -> Vec<Answered> {
    timeout(SOON, calls).await.unwrap().unwrap()
}

#[actix::test]
async fn a_call_runs_on_the_instance_of_its_own_worker() {
    let placed = Placed::new(settings());
    let instances = [placed.instance(0).await.id, placed.instance(1).await.id];
    placed.idle(2).await;
    let calls = [0, 1].map(|worker| placed.calls(worker, "echo", 1000));
    for (calls, instance) in calls.into_iter().zip(instances) {
        let on = answered(calls).await;
        assert_eq!(on.len(), 1000);
        assert!(on.iter().all(|other| *other == instance), "it was idle whenever its only caller asked");
    }
}

#[actix::test]
async fn calls_of_many_callers_stay_on_their_worker_while_its_instance_is_busy_for_short() {
    let placed = Placed::new(QueueSettings { calls: 64, ..settings() });
    let instances = [placed.instance(0).await.id, placed.instance(1).await.id];
    placed.idle(2).await;
    let calls = |worker: usize| (0..8).map(move |_| (worker, worker));
    let calls: Vec<_> = calls(0).chain(calls(1)).map(|(worker, at)| (at, placed.calls(worker, "echo", 500))).collect();
    let (mut strangers, mut late) = (Vec::new(), Vec::new());
    for (at, calls) in calls {
        for call in done(calls).await {
            let stayed = instances.get(at) == Some(&call.instance);
            if call.was_late() {
                late.push(call);
            } else if !stayed {
                strangers.push(call);
            }
        }
    }
    // A call goes elsewhere when it has waited for too long, or when the one that its instance has takes too long.
    strangers.retain(|call| !late.iter().any(|late| late.overlaps(call)));
    assert!(strangers.is_empty(), "{} calls ran elsewhere though none took long", strangers.len());
}

#[actix::test]
async fn a_call_whose_instance_is_busy_for_long_goes_to_an_idle_one_elsewhere() {
    let placed = Placed::new(settings());
    placed.instance(0).await;
    let other = placed.instance(1).await.id;
    placed.idle(2).await;
    let held = placed.calls(0, "hold", 1);
    placed.module.until_in_flight(1).await;
    for _ in 0..20 {
        assert_eq!(answered(placed.calls(0, "echo", 1)).await, [other]);
    }
    placed.module.gate.add_permits(1);
    assert_eq!(answered(held).await.len(), 1);
}

#[actix::test]
async fn a_call_that_waits_at_home_is_taken_by_the_instance_elsewhere_that_is_free_first() {
    let placed = Placed::new(settings());
    placed.instance(0).await;
    placed.instance(1).await;
    placed.idle(2).await;
    let held = [0, 1].map(|worker| placed.calls(worker, "hold", 1));
    placed.module.until_in_flight(2).await;
    let waiting = [0, 0, 1, 1].map(|worker| placed.calls(worker, "echo", 1));
    placed.module.until(|numbers| numbers.calls == 4).await;
    // Whatever instance is free first meets calls that are patient no more.
    tokio::time::sleep(10 * PATIENCE).await;
    placed.module.gate.add_permits(1);
    for waiting in waiting {
        assert_eq!(answered(waiting).await.len(), 1, "the other instance is still held");
    }
    placed.module.gate.add_permits(1);
    for held in held {
        assert_eq!(answered(held).await.len(), 1);
    }
}

#[actix::test]
async fn the_only_instance_serves_the_callers_of_all_workers() {
    let placed = Placed::new(QueueSettings { calls: 64, ..settings() });
    let only = placed.instance(0).await.id;
    let calls: Vec<_> = (0..16).map(|caller| placed.calls(caller % 2, "echo", 50)).collect();
    for calls in calls {
        assert_eq!(answered(calls).await, [only; 50]);
    }
}

#[actix::test]
async fn a_call_that_finds_the_queue_full_has_any_idle_instance_at_once() {
    for on_full in [OnFull::Reject, OnFull::Wait] {
        let placed = Placed::new(QueueSettings { calls: 0, on_full, ..settings() });
        placed.instance(0).await;
        let other = placed.instance(1).await.id;
        placed.idle(2).await;
        let held = placed.calls(0, "hold", 1);
        placed.module.until_in_flight(1).await;
        assert_eq!(answered(placed.calls(0, "echo", 1)).await, [other]);
        placed.module.gate.add_permits(1);
        assert_eq!(answered(held).await.len(), 1);
    }
}

#[actix::test]
async fn what_waits_for_an_instance_that_ends_goes_to_the_others() {
    let mut placed = Placed::new(settings());
    let first = placed.instance(0).await;
    let other = placed.instance(1).await.id;
    placed.idle(2).await;
    let held = placed.calls(1, "hold", 1);
    let lost = placed.calls(0, "hold", 1);
    placed.module.until_in_flight(2).await;
    let waiting = placed.calls(0, "echo", 1);
    placed.module.until(|numbers| numbers.calls == 1).await;
    first.addr.do_send(Leave::from(How::Now));
    placed.module.exit().await;
    assert!(timeout(SOON, lost).await.unwrap().is_err());
    placed.module.gate.add_permits(1);
    assert_eq!(answered(waiting).await, [other]);
    assert_eq!(answered(held).await, [other]);
}

#[actix::test]
async fn an_instance_that_leaves_when_it_is_free_leaves_nothing_waiting_at_anyones_home() {
    let mut placed = Placed::new(QueueSettings { calls: 64, ..settings() });
    let (first, second) = (placed.instance(0).await, placed.instance(1).await);
    placed.idle(2).await;
    let held = [0, 1].map(|worker| placed.calls(worker, "hold", 1));
    placed.module.until_in_flight(2).await;
    let waiting: Vec<_> = (0..10).map(|_| placed.calls(0, "echo", 1)).collect();
    placed.module.until(|numbers| numbers.calls == 10).await;
    placed.module.queue.close(Refusal::Stopped);
    for instance in [&first, &second] {
        instance.addr.do_send(Leave::from(How::WhenFree));
    }
    placed.module.gate.add_permits(2);
    placed.module.exit().await;
    placed.module.exit().await;
    for calls in waiting.into_iter().chain(held) {
        assert_eq!(answered(calls).await.len(), 1);
    }
}

#[actix::test]
async fn calls_from_nowhere_are_spread_over_the_workers() {
    let placed = Placed::new(settings());
    let instances = [placed.instance(0).await.id, placed.instance(1).await.id];
    placed.idle(2).await;
    assert_eq!(placed.strays(20, instances).await, [10, 10]);
}

#[actix::test]
async fn calls_from_nowhere_go_where_the_daemons_other_modules_have_fewest() {
    let placed = Placed::new(settings());
    let instances = [placed.instance(0).await.id, placed.instance(1).await.id];
    let other = Placed::module(settings(), &placed.workers);
    other.start(&placed.workers.handle(0).unwrap(), 0).await;
    let held = other.call("hold");
    other.until_in_flight(1).await;
    assert_eq!(placed.strays(10, instances).await, [0, 10]);
    other.gate.add_permits(1);
    assert!(reply(held).await.is_ok());
    assert_eq!(placed.strays(20, instances).await, [10, 10]);
}

#[actix::test]
async fn the_calls_of_another_daemon_in_the_process_are_no_load_of_this_one() {
    let (placed, other) = (Placed::new(settings()), Placed::new(settings()));
    let instances = [placed.instance(0).await.id, placed.instance(1).await.id];
    other.instance(0).await;
    let held = other.module.call("hold");
    other.module.until_in_flight(1).await;
    assert_eq!(placed.strays(20, instances).await, [10, 10]);
    other.module.gate.add_permits(1);
    assert!(reply(held).await.is_ok());
}
