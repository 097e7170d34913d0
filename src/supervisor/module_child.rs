//! One module as a supervised child: what it is, what it should be, and the instances that it has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::AcqRel},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    engines::Room,
    farewell::Farewell,
    generations::Generations,
    on_start::Progress,
    restarts::Restarts,
    slot::{Slot, SlotState},
    status::{GenerationOrigin, ModuleState},
    swaps::{Rolling, Swaps},
    waiters::Waiters,
};
use crate::{
    actors::{ExitReport, How, ModuleQueue},
    config::Module,
};

mod slots;
mod status;

/// A module under supervision.
pub(super) struct ModuleChild {
    pub(super) config: Arc<Module>,
    pub(super) queue: Arc<ModuleQueue>,
    /// Room for its instances on an engine, with one for a replacement.
    pub(super) room: Option<Room>,
    pub(super) phase: Phase,
    /// Its code.
    pub(super) code: Generations,
    /// The swap that is under way, and those that wait for its end.
    pub(super) swaps: Swaps,
    /// Number of the load that was asked for last.
    pub(super) load: Arc<AtomicU64>,
    /// Whether it is not configured any more: it is forgotten when it has ended.
    pub(super) removed: bool,
    /// Since when its file is being written that a start wants to read.
    pub(super) written_since: Option<Instant>,
    /// Counts its settings, so that what follows from earlier ones ends.
    pub(super) settings: u64,
    pub(super) slots: Vec<Slot>,
    /// Counts how often it was closed: only instances that were started since then keep it open.
    pub(super) opening: u64,
    /// How far the `on_start` has got that ran last.
    pub(super) progress: Option<Progress>,
    /// How the last instance leaves, where it stays until the others are gone.
    pub(super) last_leaves: Option<How>,
    /// The instance that makes the last call of a stop.
    pub(super) farewell: Option<Farewell>,
    /// Places from here on are too many: nothing is started in them.
    spare_from: usize,
    pub(super) restarts: Restarts,
    pub(super) last_exit: Option<ExitReport>,
    /// Since when the module runs.
    pub(super) running_since: Option<Instant>,
    /// Counts starts and stops, so that timers of an earlier one do nothing.
    pub(super) era: u64,
    /// When a failed or held module is started again.
    pub(super) next_try: Option<Instant>,
    /// The state that was last recorded as an event.
    pub(super) recorded: ModuleState,
    /// Who waits for the module to settle.
    waiting: Waiters,
}

/// What a module is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Lazy, and not wanted yet.
    Idle,
    /// Its file is read and compiled.
    Loading,
    /// Its code is there, and its bindings or members before it are not; since then.
    Waiting(Instant),
    /// Its instances shall run; some may be starting.
    Up,
    /// Its instances finish what they have.
    Stopping(Then),
    /// Nothing runs until its group starts it again.
    Held,
    /// Nothing runs, because someone wanted so or it ended normally.
    Stopped,
    /// Nothing runs, because it failed.
    Failed,
}

/// What a module is when its instances have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Stopped.
    Stop,
    /// Held for its group, whose callers wait.
    Hold,
}

impl ModuleChild {
    pub(super) fn new(config: Arc<Module>, queue: Arc<ModuleQueue>, workers: &[usize]) -> Self {
        let slots: Vec<Slot> = workers.iter().map(|worker| Slot::on(*worker)).collect();
        Self {
            config,
            queue,
            room: None,
            phase: Phase::Idle,
            code: Generations::default(),
            swaps: Swaps::default(),
            load: Arc::default(),
            removed: false,
            written_since: None,
            settings: 0,
            spare_from: slots.len(),
            slots,
            opening: 0,
            progress: None,
            last_leaves: None,
            farewell: None,
            restarts: Restarts::default(),
            last_exit: None,
            running_since: None,
            era: 0,
            next_try: None,
            recorded: ModuleState::Idle,
            waiting: Waiters::default(),
        }
    }

    /// Whether what is started in a place is first tried with the probe of a swap.
    pub(super) fn is_tried(&self, slot: usize) -> bool {
        let of_step = |rolling: &Rolling| rolling.step.as_ref().is_some_and(|step| step.slot == slot);
        let run = self.swaps.run().filter(|run| run.origin != GenerationOrigin::RollBack);
        run.is_some() && self.swaps.rolling().is_some_and(of_step)
    }

    /// Begins another load, which makes every earlier one stale; its number.
    pub(super) fn next_load(&self) -> u64 {
        self.load.fetch_add(1, AcqRel) + 1
    }

    /// Begins another start or stop, which makes the timers of every earlier one stale.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
        self.next_try = None;
        if !matches!(phase, Phase::Up | Phase::Stopping(_)) {
            self.running_since = None;
        }
    }

    /// Whether its instances run or shall run soon.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Loading | Phase::Waiting(_) | Phase::Up | Phase::Held | Phase::Stopping(Then::Hold))
    }

    /// Whether nothing is under way: neither a load nor a start nor a stop. A restart that waits for long is not either.
    fn is_settled(&self, now: Instant) -> bool {
        let rests = |slot: &Slot| match slot.state {
            SlotState::Live(_) => true,
            SlotState::Backoff(until) => until.saturating_duration_since(now) > super::LONG_WAIT,
            SlotState::Empty | SlotState::Starting(..) | SlotState::Leaving(_) => false,
        };
        match self.phase {
            Phase::Idle | Phase::Stopped | Phase::Failed => self.is_empty(),
            // What waits until it is open starts with the restart of the one that opens it.
            Phase::Up if self.rests_before_opening() => {
                self.slots.iter().any(rests) && self.slots.iter().all(|slot| rests(slot) || slot.state.is_empty())
            }
            Phase::Up => self.slots.iter().all(rests),
            Phase::Loading | Phase::Waiting(_) | Phase::Stopping(_) | Phase::Held => false,
        }
    }

    /// Waits until the module has settled.
    pub(super) fn settled(&mut self) -> oneshot::Receiver<()> {
        let settled = self.waiting.add();
        self.tell_settled();
        settled
    }

    /// Tells those who wait, if the module has settled.
    pub(super) fn tell_settled(&mut self) {
        if !self.waiting.is_empty() && self.is_settled(Instant::now()) {
            self.waiting.tell();
        }
    }
}
