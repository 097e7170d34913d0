//! A run of an instance: calls and health checks, one after the other, until nothing waits or the guest is gone.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use actix::{Addr, Recipient};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;

use super::{
    CallFailure, CheckHealth, ExitReport, GuestActor, HealthChecked, InstanceExited, InstanceFacts, InstanceParts,
    Links, ModuleQueue, Origin, QueuedCall, RanOn, accept::next_call_id, causes_of, desk::Desk,
};
use crate::{
    bindings::Chain,
    host::{CallError, GuestExit, WapcHostAsync, panic_message},
};

/// Calls after which an instance with a full queue lets others of its worker run. A call costs from one microsecond
/// up; half of it would make the turn cost more than small calls, twice as much delays the neighbours visibly.
const CALLS_A_TURN: u32 = 16;

/// What the actor and its run share.
pub(super) struct Seat {
    links: Arc<Links>,
    pub(super) queue: Arc<ModuleQueue>,
    pub(super) supervisor: Recipient<InstanceExited>,
    pub(super) facts: Arc<InstanceFacts>,
    /// The instance as the queue knows it.
    pub(super) desk: Arc<Desk>,
    pub(super) module: usize,
    pub(super) slot: usize,
    ran_on: RanOn,
    /// Set when the instance shall end as soon as nothing waits.
    pub(super) leaving: AtomicBool,
    /// Set when it shall not take another call.
    pub(super) last_call: AtomicBool,
    /// Whether `check` holds one, so that a call need not look.
    asked: AtomicBool,
    check: Mutex<Option<CheckHealth>>,
}

/// What an instance does next.
pub(super) enum Work {
    Call(QueuedCall),
    Check(CheckHealth),
}

/// How a run ended.
pub(super) enum RunEnd {
    /// Nothing waits; the host is there for the next call.
    Free(Box<WapcHostAsync>),
    /// The guest is gone.
    Exited(ExitReport),
}

impl Seat {
    pub(super) fn of(parts: InstanceParts) -> (WapcHostAsync, Self) {
        let InstanceParts { host, links, queue, supervisor, facts, module, slot, instance, generation, worker } = parts;
        let seat = Self {
            links,
            queue,
            supervisor,
            facts,
            desk: Arc::new(Desk::new(instance, worker)),
            module,
            slot,
            ran_on: RanOn { instance, generation },
            leaving: AtomicBool::new(false),
            last_call: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            check: Mutex::new(None),
        };
        (host, seat)
    }

    /// Keeps a check until the instance is free; `false` where another is outstanding.
    pub(super) fn ask(&self, check: CheckHealth) -> bool {
        if self.asked.swap(true, Relaxed) {
            return false;
        }
        *self.check.lock() = Some(check);
        true
    }

    /// A check first, which is outstanding until it has ended, then calls.
    pub(super) fn next(&self, addr: &Addr<GuestActor>) -> Option<Work> {
        if self.last_call.load(Relaxed) {
            return None;
        }
        if self.asked.load(Relaxed)
            && let Some(check) = self.check.lock().take()
        {
            return Some(Work::Check(check));
        }
        self.queue.next(&self.desk, addr, self.leaving.load(Relaxed)).map(Work::Call)
    }
}

pub(super) async fn run(mut host: Box<WapcHostAsync>, first: Work, seat: Arc<Seat>, addr: Addr<GuestActor>) -> RunEnd {
    let mut work = first;
    let mut turn = 0;
    loop {
        let exit = match work {
            Work::Call(call) => run_call(&mut host, call, &seat).await,
            Work::Check(check) => run_check(&mut host, check, &seat).await,
        };
        if let Some(report) = exit {
            drop(host);
            return RunEnd::Exited(report);
        }
        match seat.next(&addr) {
            Some(next) => work = next,
            None => return RunEnd::Free(host),
        }
        turn += 1;
        if turn % CALLS_A_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// One call of the guest, as the host sees it.
struct Turn<'a> {
    id: u64,
    operation: &'a str,
    payload: Bytes,
    accepted: Instant,
    deadline: Instant,
    chain: &'a Chain,
}

async fn call_guest(host: &mut WapcHostAsync, turn: Turn<'_>, seat: &Seat) -> Result<Bytes, CallError> {
    let Turn { id, operation, payload, accepted, deadline, chain } = turn;
    seat.links.begin(id, deadline, chain);
    let work = host.call_until(operation, payload, accepted, deadline);
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        let instance = seat.desk.instance;
        tracing::error!(module = %seat.queue.name(), instance, call = id, panic = message, "host panicked in a guest call");
        Err(CallError::Exit(GuestExit::HostPanicked(message)))
    });
    seat.facts.memory.store(host.memory_bytes(), Relaxed);
    outcome
}

/// How the instance ended in the call, if it did.
fn exit_in(outcome: Result<&Bytes, &CallError>, operation: &str, id: u64, origin: &Origin) -> Option<ExitReport> {
    let report = outcome.err().and_then(ExitReport::of_call)?;
    Some(ExitReport { call: Some((operation.to_owned(), id, origin.clone())), ..report })
}

/// Runs one call and answers its caller; returns how the instance ended, if it did.
async fn run_call(host: &mut WapcHostAsync, call: QueuedCall, seat: &Seat) -> Option<ExitReport> {
    // A call that had to be given up on its way here, on a worker that stalled, is answered and not started.
    if !seat.desk.owes(call.id) {
        return None;
    }
    let QueuedCall { id, operation, payload, accepted, deadline, origin, chain, .. } = &call;
    let turn = Turn { id: *id, operation, payload: payload.clone(), accepted: *accepted, deadline: *deadline, chain };
    let outcome = call_guest(host, turn, seat).await;
    let report = exit_in(outcome.as_ref(), operation, *id, origin);
    if outcome.is_ok() {
        seat.queue.counters().succeeded.store(true, Relaxed);
    }
    if let Some(pledge) = seat.desk.release(*id) {
        pledge.answer(Some(seat.ran_on), outcome.map_err(CallFailure::from));
    }
    report
}

/// Runs a health check and tells who asked; returns how the instance ended, if it did.
async fn run_check(host: &mut WapcHostAsync, check: CheckHealth, seat: &Seat) -> Option<ExitReport> {
    let CheckHealth { operation, timeout, reply } = check;
    let (id, accepted) = (next_call_id(), Instant::now());
    let chain_of_none = Chain::default();
    let turn = Turn {
        id,
        operation: &operation,
        payload: Bytes::new(),
        accepted,
        deadline: accepted + timeout,
        chain: &chain_of_none,
    };
    let outcome = call_guest(host, turn, seat).await;
    seat.asked.store(false, Relaxed);
    if let Some(report) = exit_in(outcome.as_ref(), &operation, id, &Origin::Health) {
        return Some(report);
    }
    let (module, slot, instance) = (seat.module, seat.slot, seat.desk.instance);
    let outcome = outcome.map(drop).map_err(|error| causes_of(&error).join(": "));
    // One for each request, of which there is one at a time.
    reply.do_send(HealthChecked { module, slot, instance, outcome });
    None
}
