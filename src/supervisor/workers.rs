//! Looks after the workers: notices one that no longer turns over, and replaces one whose thread has ended.
//!
//! A thread that ends tells so itself. One that hangs cannot: it is asked to turn over now and then.

use std::time::{Duration, Instant};

use actix::{AsyncContext, Context, Handler, Message, MessageResult};

use super::{
    events::{Subject, What},
    slot::SlotState,
    status::{WorkerState, WorkerStatus},
    tree::Supervisor,
};
use crate::{
    actors::{ExitReason, ExitReport, InstanceExited, Turns, WorkerEnded},
    bindings::IoTurn,
};

/// How often each worker is asked to turn over. A hang is seen within [`STALL`] and one beat; twice as often is the larger
/// part of what an idle daemon does.
const BEAT: Duration = Duration::from_secs(1);

/// How long a worker may take to turn over before it counts as stalled. Guests give way after some milliseconds, also when
/// there are many; whatever takes a second blocks the thread.
const STALL: Duration = Duration::from_secs(1);

/// Asks every worker, and the threads of connections, to turn over once more. The answer, at once, is what they have done until
/// now.
#[derive(Message)]
#[rtype(result = "ThreadTurns")]
pub(super) struct AskTurns;

/// How often threads have turned over when they were asked to. One for which two answers are the same hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadTurns {
    /// Of each worker; none once they have been asked to end.
    pub workers: Vec<Turns>,
    /// Of the threads of connections, on which triggers accept; none before they are needed.
    pub connections: Vec<IoTurn>,
}

/// What is known of each worker's turns.
#[derive(Debug, Default)]
pub(super) struct Stalls(Vec<Stall>);

#[derive(Debug, Default, Clone)]
struct Stall {
    /// For how long it has not turned over.
    time: Duration,
    /// Whether that was noticed.
    noticed: bool,
    replaced: u64,
}

impl Stalls {
    pub(super) fn new(workers: usize) -> Self {
        Self(vec![Stall::default(); workers])
    }

    /// The workers that do not turn over.
    pub(super) fn stalled(&self) -> Vec<usize> {
        self.0.iter().enumerate().filter(|(_, stall)| stall.noticed).map(|(worker, _)| worker).collect()
    }
}

impl Supervisor {
    /// Begins to look after the workers.
    pub(super) fn beat(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(BEAT, |supervisor, ctx| {
            let now = Instant::now();
            supervisor.ask_workers(now, ctx);
            for module in supervisor.modules.values() {
                module.queue.sweep(now);
            }
        });
    }

    /// Asks every worker to turn over, and notes who has since the last time.
    fn ask_workers(&mut self, now: Instant, ctx: &mut Context<Self>) {
        for worker in 0..self.workers.count() {
            match self.workers.beat(worker, now) {
                Some(stalled) => self.note_turn(worker, stalled),
                None => self.replace_worker(worker, ctx),
            }
        }
    }

    fn note_turn(&mut self, worker: usize, stalled: Duration) {
        let Some(stall) = self.stalls.0.get_mut(worker) else { return };
        let (before, noticed) = (stall.time, stall.noticed);
        stall.time = stalled;
        stall.noticed = stalled > STALL;
        let what = match (noticed, stall.noticed) {
            (false, true) => What::WorkerStalled { stalled_s: stalled.as_secs_f64() },
            // What was seen last; the beat before this one was still missing.
            (true, false) => What::WorkerRecovered { stalled_s: before.as_secs_f64() },
            (false, false) | (true, true) => return,
        };
        let stalls = stall.noticed;
        self.workers.set_stalled(worker, stalls);
        self.events.record(Subject::Worker(worker), what);
        for module in self.modules.values() {
            module.queue.set_stalled(worker, stalls);
        }
    }

    /// Puts a new thread in the place of one that has ended: fresh actors of all bindings, and every instance that lived
    /// there has exited.
    pub(super) fn replace_worker(&mut self, worker: usize, ctx: &mut Context<Self>) {
        if self.workers.are_stopping() {
            return;
        }
        self.workers.replace(worker);
        let Some(stall) = self.stalls.0.get_mut(worker) else { return };
        stall.replaced += 1;
        let was_stalled = std::mem::take(&mut stall.noticed);
        stall.time = Duration::ZERO;
        self.events.record(Subject::Worker(worker), What::WorkerReplaced { replaced: stall.replaced });
        let supervisor = ctx.address().recipient();
        for id in self.bindings.ids() {
            if let Some(binding) = self.bindings.get_mut(id) {
                binding.renew(id, worker, &self.workers, &supervisor);
            }
        }
        for lost in self.lost_on(worker) {
            self.instance_exited(lost, ctx);
        }
        // Last, so that no call is handed to what is gone.
        if was_stalled {
            self.modules.values().for_each(|module| module.queue.set_stalled(worker, false));
        }
    }

    /// The exits of all instances on a worker that has ended. Those that tell of it themselves come too late and are ignored.
    fn lost_on(&self, worker: usize) -> Vec<InstanceExited> {
        let mut lost = Vec::new();
        for (module, child) in self.modules.iter() {
            for (slot, place) in child.slots.iter().enumerate().filter(|(_, place)| place.worker == worker) {
                let Some(instance) = place.state.id() else { continue };
                let report = ExitReport::new(ExitReason::Panicked, vec![format!("its worker {worker} ended")]);
                lost.push(InstanceExited { module, slot, instance, report, at: Instant::now() });
            }
        }
        lost
    }

    pub(super) fn worker_status(&self) -> Vec<WorkerStatus> {
        let lives_on = |worker: usize| {
            let places = self.modules.values().flat_map(|module| &module.slots);
            let live = |state: &SlotState| matches!(state, SlotState::Live(_) | SlotState::Leaving(_));
            places.filter(|place| place.worker == worker && live(&place.state)).count()
        };
        let status = |(index, stall): (usize, &Stall)| WorkerStatus {
            index,
            state: if stall.noticed { WorkerState::Stalled } else { WorkerState::Running },
            stalled_s: stall.noticed.then_some(stall.time.as_secs_f64()),
            instances: lives_on(index),
            replaced: stall.replaced,
        };
        self.stalls.0.iter().enumerate().map(status).collect()
    }
}

impl Handler<AskTurns> for Supervisor {
    type Result = MessageResult<AskTurns>;

    fn handle(&mut self, _: AskTurns, ctx: &mut Context<Self>) -> Self::Result {
        if !self.workers.are_stopping() {
            self.ask_workers(Instant::now(), ctx);
        }
        MessageResult(ThreadTurns { workers: self.workers.turns(), connections: self.context.io.turns() })
    }
}

impl Handler<WorkerEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: WorkerEnded, ctx: &mut Context<Self>) {
        // One that was found out before it told has been replaced already.
        if self.workers.life(ended.worker) == Some(ended.life) {
            self.replace_worker(ended.worker, ctx);
        }
    }
}
