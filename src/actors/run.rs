//! A run of an instance: calls and what the supervisor asks for, one after the other, until nothing waits or the guest is
//! gone.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix::{Addr, Recipient};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;

use super::{
    CallFailure, CheckHealth, ExitReport, Guest, GuestActor, HealthChecked, InstanceExited, InstanceFacts,
    InstanceParts, ModuleQueue, Origin, QueuedCall, RanOn, TakeOver, TookOver, accept::next_call_id, causes_of,
    desk::Desk,
};
use crate::{
    bindings::Chain,
    config::HandOver,
    host::{CallError, GuestExit, Limits, panic_message},
};

/// Calls after which an instance with a full queue lets others of its worker run. A call costs from one microsecond
/// up; half of it would make the turn cost more than small calls, twice as much delays the neighbours visibly.
pub(super) const CALLS_A_TURN: u32 = 16;

/// What the actor and its run share.
pub(super) struct Seat {
    pub(super) queue: Arc<ModuleQueue>,
    pub(super) supervisor: Recipient<InstanceExited>,
    pub(super) facts: Arc<InstanceFacts>,
    /// The instance as the queue knows it.
    pub(super) desk: Arc<Desk>,
    pub(super) module: usize,
    pub(super) slot: usize,
    /// Set when the instance shall end as soon as nothing waits.
    pub(super) leaving: AtomicBool,
    /// Set when it shall not take another call.
    pub(super) last_call: AtomicBool,
    /// Whether the inbox may hold something, so that a call need not look.
    noted: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Whether a check is outstanding: it is until it has ended.
    checking: AtomicBool,
}

/// What the supervisor wants before the next call.
#[derive(Default)]
struct Inbox {
    limits: Option<Limits>,
    take_over: Option<Box<TakeOver>>,
    check: Option<CheckHealth>,
}

/// What an instance does next.
pub(super) enum Work {
    Call(QueuedCall),
    Check(CheckHealth),
    TakeOver(Box<TakeOver>),
    SetLimits(Limits),
}

/// How a run ended.
pub(super) enum RunEnd {
    /// Nothing waits; the guest is there for the next call.
    Free(Box<Guest>),
    /// The guest is gone.
    Exited(ExitReport),
}

impl Seat {
    pub(super) fn of(parts: InstanceParts) -> (Guest, Self) {
        let InstanceParts { guest, queue, supervisor, facts, module, slot, instance, worker } = parts;
        let desk = Arc::new(Desk::new(instance, worker, &queue.loads));
        let seat = Self {
            queue,
            supervisor,
            facts,
            desk,
            module,
            slot,
            leaving: AtomicBool::new(false),
            last_call: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            inbox: Mutex::default(),
            checking: AtomicBool::new(false),
        };
        (guest, seat)
    }

    /// Keeps a check until the instance is free; `false` where another is outstanding.
    pub(super) fn ask(&self, check: CheckHealth) -> bool {
        if self.checking.swap(true, Relaxed) {
            return false;
        }
        self.note(|inbox| inbox.check = Some(check));
        true
    }

    /// Keeps a guest that shall be taken over; one that waits already is dropped.
    pub(super) fn offer(&self, take_over: TakeOver) {
        self.note(|inbox| inbox.take_over = Some(Box::new(take_over)));
    }

    /// Whether the actor has more to do with the guest than to let it rest.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        self.leaving.load(Relaxed) || self.desk.is_gone()
    }

    /// Keeps limits for the next call.
    pub(super) fn limit(&self, limits: Limits) {
        self.note(|inbox| inbox.limits = Some(limits));
    }

    fn note(&self, note: impl FnOnce(&mut Inbox)) {
        note(&mut self.inbox.lock());
        self.noted.store(true, Relaxed);
    }

    /// What was noted first, then calls.
    pub(super) fn next(&self, addr: &Addr<GuestActor>) -> Option<Work> {
        if self.last_call.load(Relaxed) {
            return None;
        }
        if self.noted.load(Relaxed)
            && let Some(work) = self.noted_work()
        {
            return Some(work);
        }
        self.queue.next(&self.desk, addr, self.leaving.load(Relaxed)).map(Work::Call)
    }

    /// Limits before the guest that they are for, and a check after it, which is then about the guest that serves.
    fn noted_work(&self) -> Option<Work> {
        let mut inbox = self.inbox.lock();
        if let Some(limits) = inbox.limits.take() {
            return Some(Work::SetLimits(limits));
        }
        if let Some(take_over) = inbox.take_over.take() {
            return Some(Work::TakeOver(take_over));
        }
        self.noted.store(false, Relaxed);
        inbox.check.take().map(Work::Check)
    }
}

/// Works, beginning with `work`, until nothing waits or the guest is gone; lets others run after so many `calls`, and then
/// after every [`CALLS_A_TURN`].
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` has room for its arguments twice, and this is allocated for each call"
)]
pub(super) fn run(
    mut guest: Box<Guest>,
    mut work: Work,
    seat: Arc<Seat>,
    addr: Addr<GuestActor>,
    mut calls: u32,
) -> impl Future<Output = RunEnd> + Send {
    async move {
        loop {
            // The rare ones are boxed: a run is allocated for each call of an instance with an empty queue, and has room for
            // all that it can do.
            let exit = match work {
                Work::Call(ref call) => run_call(&mut guest, call, &seat).await,
                Work::Check(check) => Box::pin(run_check(&mut guest, check, &seat)).await,
                Work::TakeOver(take_over) => Box::pin(run_take_over(&mut guest, *take_over, &seat)).await,
                Work::SetLimits(limits) => {
                    guest.host.set_limits(limits);
                    None
                }
            };
            if let Some(report) = exit {
                drop(guest);
                return RunEnd::Exited(report);
            }
            match seat.next(&addr) {
                Some(next) => work = next,
                None => return RunEnd::Free(guest),
            }
            calls -= 1;
            if calls == 0 {
                calls = CALLS_A_TURN;
                tokio::task::yield_now().await;
            }
        }
    }
}

/// One call of the guest, as the host sees it.
struct Turn<'a> {
    id: u64,
    operation: &'a str,
    accepted: Instant,
    deadline: Instant,
    chain: &'a Chain,
}

impl<'a> Turn<'a> {
    /// A call that the supervisor makes, for which nobody waits.
    fn own(operation: &'a str, timeout: Duration, chain: &'a Chain) -> Self {
        let accepted = Instant::now();
        Self { id: next_call_id(), operation, accepted, deadline: accepted + timeout, chain }
    }
}

async fn call_guest(guest: &mut Guest, turn: &Turn<'_>, payload: Bytes, seat: &Seat) -> Result<Bytes, CallError> {
    let Turn { id, operation, accepted, deadline, chain } = *turn;
    guest.links.begin(id, deadline, chain);
    let work = guest.host.call_until(operation, payload, accepted, deadline);
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        let instance = seat.desk.instance;
        tracing::error!(module = %seat.queue.name(), instance, call = id, panic = message, "host panicked in a guest call");
        Err(CallError::Exit(GuestExit::HostPanicked(message)))
    });
    seat.facts.memory.store(guest.host.memory_bytes(), Relaxed);
    outcome
}

/// How the instance ended in the call, if it did.
fn exit_in(outcome: Result<&Bytes, &CallError>, operation: &str, id: u64, origin: &Origin) -> Option<ExitReport> {
    let report = outcome.err().and_then(ExitReport::of_call)?;
    Some(ExitReport { call: Some((operation.to_owned(), id, origin.clone())), ..report })
}

/// Runs one call and answers its caller; returns how the instance ended, if it did.
async fn run_call(guest: &mut Guest, call: &QueuedCall, seat: &Seat) -> Option<ExitReport> {
    // A call that had to be given up on its way here, on a worker that stalled, is answered and not started.
    if !seat.desk.owes(call.id) {
        return None;
    }
    let QueuedCall { id, operation, payload, accepted, deadline, origin, chain, .. } = call;
    let turn = Turn { id: *id, operation, accepted: *accepted, deadline: *deadline, chain };
    let outcome = call_guest(guest, &turn, payload.clone(), seat).await;
    let report = exit_in(outcome.as_ref(), operation, *id, origin);
    if outcome.is_ok() {
        seat.queue.counters().succeeded.store(true, Relaxed);
    }
    if let Some(pledge) = seat.desk.release(*id) {
        let ran_on = RanOn { instance: seat.desk.instance, generation: guest.generation };
        pledge.answer(Some(ran_on), outcome.map_err(CallFailure::from));
    }
    report
}

/// Runs a health check and tells who asked; returns how the instance ended, if it did.
async fn run_check(guest: &mut Guest, check: CheckHealth, seat: &Seat) -> Option<ExitReport> {
    let CheckHealth { operation, timeout, reply } = check;
    let chain_of_none = Chain::default();
    let turn = Turn::own(&operation, timeout, &chain_of_none);
    let id = turn.id;
    let outcome = call_guest(guest, &turn, Bytes::new(), seat).await;
    seat.checking.store(false, Relaxed);
    if let Some(report) = exit_in(outcome.as_ref(), &operation, id, &Origin::Health) {
        return Some(report);
    }
    let (module, slot, instance) = (seat.module, seat.slot, seat.desk.instance);
    let outcome = outcome.map(drop).map_err(|error| causes_of(&error).join(": "));
    // One for each request, of which there is one at a time.
    reply.do_send(HealthChecked { module, slot, instance, outcome });
    None
}

/// Takes another guest in place of the present one, with its state, and tells who asked; returns how the instance ended,
/// if the old guest did while it handed its state over.
async fn run_take_over(guest: &mut Guest, take_over: TakeOver, seat: &Seat) -> Option<ExitReport> {
    let TakeOver { guest: mut fresh, hand_over, timeout, reply } = take_over;
    let generation = fresh.generation;
    let (outcome, exit) = match hand_over {
        Some(hand_over) => hand_state_over(guest, &mut fresh, &hand_over, timeout, seat).await,
        None => (Ok(()), None),
    };
    let outcome = outcome.map(|()| {
        seat.facts.memory.store(fresh.host.memory_bytes(), Relaxed);
        seat.facts.generation.store(generation, Relaxed);
        let links = Arc::clone(&fresh.links);
        // The old guest is gone before anyone hears that the new one is there.
        *guest = fresh;
        links
    });
    // One for each request.
    reply.do_send(TookOver { module: seat.module, instance: seat.desk.instance, generation, outcome });
    exit
}

/// Calls the export of the old guest and the import of the new one. Also returns how the old one ended, if it did.
async fn hand_state_over(
    old: &mut Guest,
    fresh: &mut Guest,
    hand_over: &HandOver,
    timeout: Duration,
    seat: &Seat,
) -> (Result<(), Vec<String>>, Option<ExitReport>) {
    let chain_of_none = Chain::default();
    let failed = |what: &str, operation: &str, error: &CallError| {
        let first = format!("the state was not handed over: {what} `{operation}` failed");
        Err(std::iter::once(first).chain(causes_of(error)).collect())
    };
    let turn = Turn::own(&hand_over.export, timeout, &chain_of_none);
    let id = turn.id;
    let state = match call_guest(old, &turn, Bytes::new(), seat).await {
        Ok(state) => state,
        Err(error) => {
            let exit = exit_in(Err(&error), &hand_over.export, id, &Origin::Swap);
            return (failed("export", &hand_over.export, &error), exit);
        }
    };
    let turn = Turn::own(&hand_over.import, timeout, &chain_of_none);
    match call_guest(fresh, &turn, state, seat).await {
        Ok(_) => (Ok(()), None),
        Err(error) => (failed("import", &hand_over.import, &error), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes up to which an allocation is kept for the next of its size: beyond them each costs several times as much.
    const KEPT: usize = 1032;

    #[test]
    fn a_run_is_allocated_cheaply() {
        fn size<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(run);
        assert!(size <= KEPT, "{size} bytes");
    }
}
