//! One module as a supervised child: what it is, what it should be, and the instances that it has.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Instant, SystemTime},
};

use actix::Addr;
use futures_util::future::AbortHandle;
use tokio::sync::oneshot;

use super::{
    engines::Room,
    events::unix,
    farewell::Farewell,
    generations::Generations,
    on_start::Progress,
    status::{ExitStatus, GenerationOrigin, InstanceStatus, Latency, ModuleState, ModuleStatus},
    swaps::{Rolling, Swaps},
};
use crate::{
    actors::{ExitReason, ExitReport, GuestActor, How, InstanceFacts, Leave, Links, ModuleQueue},
    config::Module,
};

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
    waiting: Vec<oneshot::Sender<()>>,
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

/// The place of one instance.
pub(super) struct Slot {
    pub(super) worker: usize,
    pub(super) state: SlotState,
    /// Generation of what is there, starting or live.
    pub(super) generation: u64,
    /// When the module was opened for it.
    pub(super) opening: u64,
    /// Health checks of the instance that have failed in a row.
    pub(super) sick: u32,
}

impl Slot {
    /// An empty place on a worker.
    pub(super) fn on(worker: usize) -> Self {
        Self { worker, state: SlotState::Empty, generation: 0, opening: 0, sick: 0 }
    }
}

/// What is in a place.
pub(super) enum SlotState {
    Empty,
    /// Nothing, until a restart at this time.
    Backoff(Instant),
    /// The instance with this id is being started, and its start can be ended.
    Starting(u64, AbortHandle),
    /// It takes calls.
    Live(Live),
    /// It finishes its call and makes way for a fresh one.
    Leaving(Live),
}

/// An instance that takes calls.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) addr: Addr<GuestActor>,
    pub(super) facts: Arc<InstanceFacts>,
    /// The way of its guest to bindings.
    pub(super) links: Arc<Links>,
}

impl SlotState {
    /// Whether this is the instance, starting or live.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id() == Some(id)
    }

    /// Whether nothing is there and nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Id of the instance that is there, starting or live.
    pub(super) fn id(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Backoff(_) => None,
            Self::Starting(id, _) => Some(*id),
            Self::Live(live) | Self::Leaving(live) => Some(live.id),
        }
    }

    fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) | Self::Leaving(live) => Some(live),
            Self::Empty | Self::Backoff(_) | Self::Starting(..) => None,
        }
    }
}

/// Restarts since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    total: u64,
    by_reason: BTreeMap<&'static str, u64>,
}

impl Restarts {
    pub(super) fn add(&mut self, reason: ExitReason) {
        self.total += 1;
        *self.by_reason.entry(reason.as_str()).or_default() += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn by_reason(&self) -> BTreeMap<String, u64> {
        self.by_reason.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
    }
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
            waiting: Vec::new(),
        }
    }

    /// Whether what is started in a place is first tried with the probe of a swap.
    pub(super) fn is_tried(&self, slot: usize) -> bool {
        let of_step = |rolling: &Rolling| rolling.step.as_ref().is_some_and(|step| step.slot == slot);
        let run = self.swaps.run().filter(|run| run.origin != GenerationOrigin::RollBack);
        run.is_some() && self.swaps.rolling().is_some_and(of_step)
    }

    /// Makes as many places as instances are wanted; those that are too many make way.
    pub(super) fn fit_slots(&mut self, next_worker: &mut usize, workers: usize) {
        let wanted = self.config.instances.count(workers);
        while self.slots.len() < wanted {
            self.slots.push(Slot::on(*next_worker % workers.max(1)));
            *next_worker += 1;
        }
        for slot in self.slots.iter_mut().skip(wanted) {
            match &slot.state {
                SlotState::Live(live) => {
                    live.addr.do_send(Leave::from(How::AfterCall));
                    slot.state = SlotState::Leaving(live.clone());
                }
                SlotState::Starting(_, abort) => abort.abort(),
                SlotState::Backoff(_) => slot.state = SlotState::Empty,
                SlotState::Empty | SlotState::Leaving(_) => {}
            }
        }
        self.spare_from = wanted;
        while self.slots.len() > wanted && self.slots.last().is_some_and(|slot| slot.state.is_empty()) {
            self.slots.pop();
        }
    }

    /// Gives up an empty place that is one too many; `false` where it is not.
    pub(super) fn drop_spare(&mut self, slot: usize) -> bool {
        let spare = slot >= self.spare_from;
        while self.slots.len() > self.spare_from && self.slots.last().is_some_and(|slot| slot.state.is_empty()) {
            self.slots.pop();
        }
        spare
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

    /// Whether no instance is starting or live.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.state.id().is_none())
    }

    /// Whether its instances run or shall run soon.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Loading | Phase::Waiting(_) | Phase::Up | Phase::Held | Phase::Stopping(Then::Hold))
    }

    /// The instances that are live.
    pub(super) fn live(&self) -> impl Iterator<Item = &Live> {
        self.slots.iter().filter_map(|slot| slot.state.live())
    }

    /// Ends starts that are under way, and restarts that wait.
    pub(super) fn abort_starts(&mut self) {
        for slot in &mut self.slots {
            match &slot.state {
                SlotState::Starting(_, abort) => abort.abort(),
                SlotState::Backoff(_) => slot.state = SlotState::Empty,
                SlotState::Empty | SlotState::Live(_) | SlotState::Leaving(_) => {}
            }
        }
    }

    /// Ends starts that are under way, which are made again.
    pub(super) fn abort_starting(&self) {
        for slot in &self.slots {
            if let SlotState::Starting(_, abort) = &slot.state {
                abort.abort();
            }
        }
    }

    /// Notes that the live instances make way, so that the module counts as settled only when fresh ones are live.
    pub(super) fn mark_leaving(&mut self) {
        for slot in &mut self.slots {
            if let SlotState::Live(live) = &slot.state {
                slot.state = SlotState::Leaving(live.clone());
            }
        }
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
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        self.tell_settled();
        receiver
    }

    /// Tells those who wait, if the module has settled.
    pub(super) fn tell_settled(&mut self) {
        if !self.waiting.is_empty() && self.is_settled(Instant::now()) {
            for waiting in self.waiting.drain(..) {
                // One that has gone does not want to know.
                waiting.send(()).ok();
            }
        }
    }

    /// The earliest restart that waits.
    pub(super) fn next_restart(&self) -> Option<Instant> {
        let until = |slot: &Slot| match slot.state {
            SlotState::Backoff(until) => Some(until),
            _ => None,
        };
        self.slots.iter().filter_map(until).min().or(self.next_try)
    }

    /// The state as people see it.
    pub(super) fn state(&self) -> ModuleState {
        let starting = |slot: &Slot| matches!(slot.state, SlotState::Starting(..));
        match self.phase {
            Phase::Idle => ModuleState::Idle,
            Phase::Loading | Phase::Waiting(_) => ModuleState::Starting,
            Phase::Up if self.is_opening(self.code.generation()) => ModuleState::Starting,
            Phase::Up if self.live().next().is_some() => ModuleState::Running,
            Phase::Up if self.slots.iter().any(starting) => ModuleState::Starting,
            Phase::Up => ModuleState::Backoff,
            Phase::Held => ModuleState::Backoff,
            Phase::Stopping(_) => ModuleState::Draining,
            Phase::Stopped if self.is_empty() => ModuleState::Stopped,
            Phase::Failed if self.is_empty() => ModuleState::Failed,
            Phase::Stopped | Phase::Failed => ModuleState::Draining,
        }
    }

    /// Everything about the module but its place in the tree.
    pub(super) fn status(&self, now: Instant) -> ModuleStatus {
        let (numbers, counts) = (self.queue.numbers(), self.queue.counters().read());
        let instances = self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let live = slot.state.live()?;
            Some(InstanceStatus {
                id: live.id,
                slot: at,
                worker: slot.worker,
                generation: live.facts.generation.load(Relaxed),
                uptime_s: now.saturating_duration_since(live.facts.started).as_secs_f64(),
                memory_bytes: live.facts.memory.load(Relaxed),
            })
        });
        let latency = Latency {
            count: counts.latency.count,
            sum_s: counts.latency.sum.as_secs_f64(),
            buckets: counts.latency.buckets.iter().map(|(bound, count)| (bound.as_secs_f64(), *count)).collect(),
        };
        ModuleStatus {
            name: self.config.name.to_string(),
            state: self.state(),
            group: None,
            waiting_for: Vec::new(),
            on_start: self.opens_with(),
            next_try: self.next_restart().map(|at| wall(at, now)),
            path: self.config.path.display().to_string(),
            declared: self.config.declared.as_str().to_owned(),
            differs: self.code.differs(),
            swapping: self.swaps.describe(self.slots.len()),
            last_swap_error: self.code.last_error.clone(),
            swaps: self.swaps.counts(),
            generations: self.code.told(),
            sha256: self.code.sha256().map(ToString::to_string),
            generation: self.code.generation(),
            instances: instances.collect(),
            queued: numbers.calls as u64,
            queued_bytes: numbers.bytes,
            in_flight: self.queue.counters().in_flight.load(Relaxed),
            calls_ok: counts.ok,
            calls_failed: counts.failed,
            calls_refused: counts.refused,
            calls: counts.by_outcome.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect(),
            latency: Some(latency),
            restarts: self.restarts.total(),
            restarts_by_reason: self.restarts.by_reason(),
            restarts_in_window: 0,
            last_exit: self.last_exit.as_ref().map(exit_status),
            uptime_s: self.running_since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
        }
    }
}

/// A moment of the monotonic clock, in seconds since the Unix epoch.
pub(super) fn wall(at: Instant, now: Instant) -> f64 {
    unix(SystemTime::now()) + at.saturating_duration_since(now).as_secs_f64()
}

pub(super) fn exit_status(report: &ExitReport) -> ExitStatus {
    let (operation, call, origin) = match &report.call {
        Some((operation, call, origin)) => (Some(operation.clone()), Some(*call), Some(origin.to_string())),
        None => (None, None, None),
    };
    ExitStatus {
        reason: report.reason.as_str().to_owned(),
        causes: report.causes.clone(),
        backtrace: report.backtrace.iter().map(ToString::to_string).collect(),
        operation,
        call,
        origin,
        at: unix(report.at),
    }
}
