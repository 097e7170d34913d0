//! What is told of a module: its state, its next restart, and everything about it.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use super::{ModuleChild, Phase};
use crate::supervisor::{
    moments::wall,
    slot::{Slot, SlotState},
    status::{ExitStatus, InstanceStatus, Latency, ModuleState, ModuleStatus},
};

impl ModuleChild {
    /// The state as people see it.
    pub(in crate::supervisor) fn state(&self) -> ModuleState {
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

    /// The earliest restart that waits.
    pub(in crate::supervisor) fn next_restart(&self) -> Option<Instant> {
        let until = |slot: &Slot| match slot.state {
            SlotState::Backoff(until) => Some(until),
            _ => None,
        };
        self.slots.iter().filter_map(until).min().or(self.next_try)
    }

    /// Everything about the module but its place in the tree.
    pub(in crate::supervisor) fn status(&self, now: Instant) -> ModuleStatus {
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
            last_exit: self.last_exit.as_ref().map(ExitStatus::of),
            uptime_s: self.running_since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
        }
    }
}
