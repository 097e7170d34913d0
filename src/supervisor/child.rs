//! One module as a supervised child: what it is, what it should be, and the instances that it has.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use actix::Addr;
use futures_util::future::AbortHandle;
use tokio::sync::oneshot;

use super::{
    decide::History,
    loader::Loaded,
    status::{ExitStatus, InstanceStatus, ModuleState, ModuleStatus},
};
use crate::{
    actors::{ExitReport, GuestActor, ModuleQueue},
    config::Module,
};

/// A module under supervision.
pub(super) struct Child {
    pub(super) config: Arc<Module>,
    pub(super) queue: Arc<ModuleQueue>,
    pub(super) phase: Phase,
    /// Code that runs or ran last.
    pub(super) code: Option<Loaded>,
    /// Which load of the code this is; 0 before the first.
    pub(super) generation: u64,
    /// Number of the load that was asked for last.
    pub(super) load: Arc<AtomicU64>,
    pub(super) slots: Vec<Slot>,
    pub(super) history: History,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<ExitReport>,
    /// Since when the module runs.
    pub(super) running_since: Option<Instant>,
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
    /// Its instances shall run; some may be starting.
    Up,
    /// Its instances finish what they have; then it is stopped.
    Stopping,
    /// Nothing runs, because someone wanted so or it ended normally.
    Stopped,
    /// Nothing runs, because it failed.
    Failed,
}

/// The place of one instance.
pub(super) struct Slot {
    pub(super) worker: usize,
    pub(super) state: SlotState,
}

/// What is in a place.
pub(super) enum SlotState {
    Empty,
    /// The instance with this id is being started, and its start can be ended.
    Starting(u64, AbortHandle),
    /// It takes calls.
    Live(u64, Addr<GuestActor>),
    /// It finishes its call and makes way for a fresh one.
    Leaving(u64, Addr<GuestActor>),
}

impl SlotState {
    /// Whether this is the instance, starting or live.
    pub(super) fn is(&self, id: u64) -> bool {
        matches!(self, Self::Starting(instance, _) | Self::Live(instance, _) | Self::Leaving(instance, _) if *instance == id)
    }

    /// The instance that is there, with its address.
    fn instance(&self) -> Option<(u64, &Addr<GuestActor>)> {
        match self {
            Self::Live(id, addr) | Self::Leaving(id, addr) => Some((*id, addr)),
            Self::Empty | Self::Starting(..) => None,
        }
    }
}

impl Child {
    pub(super) fn new(config: Arc<Module>, queue: Arc<ModuleQueue>, workers: &[usize]) -> Self {
        let slots = workers.iter().map(|worker| Slot { worker: *worker, state: SlotState::Empty }).collect();
        Self {
            config,
            queue,
            phase: Phase::Idle,
            code: None,
            generation: 0,
            load: Arc::default(),
            slots,
            history: History::default(),
            restarts: 0,
            last_exit: None,
            running_since: None,
            waiting: Vec::new(),
        }
    }

    /// Begins another load, which makes every earlier one stale; its number.
    pub(super) fn next_load(&self) -> u64 {
        self.load.fetch_add(1, AcqRel) + 1
    }

    /// Whether no instance is starting or live.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.state, SlotState::Empty))
    }

    /// The addresses of the live instances.
    pub(super) fn live(&self) -> impl Iterator<Item = &Addr<GuestActor>> {
        self.slots.iter().filter_map(|slot| slot.state.instance()).map(|(_, addr)| addr)
    }

    /// Ends starts that are under way.
    pub(super) fn abort_starts(&self) {
        for slot in &self.slots {
            if let SlotState::Starting(_, abort) = &slot.state {
                abort.abort();
            }
        }
    }

    /// Notes that the live instances make way, so that the module counts as settled only when fresh ones are live.
    pub(super) fn mark_leaving(&mut self) {
        for slot in &mut self.slots {
            slot.state = match std::mem::replace(&mut slot.state, SlotState::Empty) {
                SlotState::Live(id, addr) => SlotState::Leaving(id, addr),
                state @ (SlotState::Empty | SlotState::Starting(..) | SlotState::Leaving(..)) => state,
            };
        }
    }

    /// Whether nothing is under way: neither a load nor a start nor a stop.
    fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Stopped | Phase::Failed => self.is_empty(),
            Phase::Up => self.slots.iter().all(|slot| matches!(slot.state, SlotState::Live(..))),
            Phase::Loading | Phase::Stopping => false,
        }
    }

    /// Waits until the module has settled.
    pub(super) fn settled(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        self.tell_settled();
        receiver
    }

    /// Tells those who wait, if the module has settled. To be called after every change.
    pub(super) fn tell_settled(&mut self) {
        if self.is_settled() {
            for waiting in self.waiting.drain(..) {
                // One that has gone does not want to know.
                waiting.send(()).ok();
            }
        }
    }

    /// The state as people see it.
    pub(super) fn state(&self) -> ModuleState {
        match self.phase {
            Phase::Idle => ModuleState::Idle,
            Phase::Loading => ModuleState::Starting,
            Phase::Up if self.live().next().is_some() => ModuleState::Running,
            Phase::Up => ModuleState::Starting,
            Phase::Stopping => ModuleState::Draining,
            Phase::Stopped if self.is_empty() => ModuleState::Stopped,
            Phase::Failed if self.is_empty() => ModuleState::Failed,
            Phase::Stopped | Phase::Failed => ModuleState::Draining,
        }
    }

    /// The module as one of many: without the backtrace of its last exit, which a page about it shows.
    pub(super) fn line(&self, now: Instant) -> ModuleStatus {
        let mut status = self.status(now);
        if let Some(exit) = &mut status.last_exit {
            exit.backtrace.clear();
        }
        status
    }

    pub(super) fn status(&self, now: Instant) -> ModuleStatus {
        let (numbers, counters) = (self.queue.numbers(), self.queue.counters());
        let instances = self.slots.iter().filter_map(|slot| {
            let (id, _) = slot.state.instance()?;
            Some(InstanceStatus { id, slot: 0, worker: slot.worker, uptime_s: 0.0, memory_bytes: 0 })
        });
        ModuleStatus {
            name: self.config.name.to_string(),
            state: self.state(),
            group: None,
            waiting_for: Vec::new(),
            next_try: None,
            path: self.config.path.display().to_string(),
            sha256: self.code.as_ref().map(|code| code.sha256.clone()),
            generation: self.generation,
            instances: instances.collect(),
            queued: numbers.calls as u64,
            queued_bytes: numbers.bytes,
            in_flight: counters.in_flight.load(Relaxed),
            calls_ok: counters.ok.load(Relaxed),
            calls_failed: counters.failed.load(Relaxed),
            calls_refused: 0,
            calls: Default::default(),
            latency: None,
            restarts: self.restarts,
            restarts_by_reason: Default::default(),
            restarts_in_window: self.history.in_window(self.config.restart.period, now),
            last_exit: self.last_exit.as_ref().map(exit_status),
            uptime_s: self.running_since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
        }
    }
}

fn exit_status(report: &ExitReport) -> ExitStatus {
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

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
