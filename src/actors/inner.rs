//! What a module's queue holds behind its lock.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Addr;

use super::{Gate, GuestActor, Origin, QueueSettings, QueuedCall, Refusal, desk::Desk, rate::Rate};
use crate::config::RateLimit;

pub(super) struct Inner {
    /// Here, since every call takes the lock anyway.
    pub(super) settings: QueueSettings,
    /// The settings' rate limit, ready to be asked.
    rate: Option<(Rate, RateLimit)>,
    /// When the next call is due under it ...
    due: Duration,
    /// ... counted from here.
    made: Instant,
    pub(super) gate: Gate,
    /// Whether the gate refuses only what is new.
    pub(super) closing: bool,
    pub(super) waiting: VecDeque<QueuedCall>,
    pub(super) bytes: u64,
    pub(super) idle: Vec<Idle>,
    /// The live instances, busy ones included.
    pub(super) members: Vec<Arc<Desk>>,
    /// Workers that do not turn over: nearly always none.
    pub(super) stalled: Vec<usize>,
}

pub(super) struct Idle {
    pub(super) desk: Arc<Desk>,
    pub(super) addr: Addr<GuestActor>,
}

impl Inner {
    pub(super) fn new(gate: Gate, settings: QueueSettings) -> Self {
        Self {
            rate: settings.rate.map(|limit| (limit.into(), limit)),
            due: Duration::ZERO,
            made: Instant::now(),
            settings,
            gate,
            closing: false,
            waiting: VecDeque::new(),
            bytes: 0,
            idle: Vec::new(),
            members: Vec::new(),
            stalled: Vec::new(),
        }
    }

    /// Takes other settings. A rate limit that is not the same begins anew, with a full burst.
    pub(super) fn configure(&mut self, settings: QueueSettings) {
        if settings.rate != self.settings.rate {
            self.rate = settings.rate.map(|limit| (limit.into(), limit));
            self.due = Duration::ZERO;
        }
        self.settings = settings;
    }

    /// Counts a call that just came under the rate limit, or says which it would pass and when to try again.
    pub(super) fn admit(&mut self, call: &QueuedCall) -> Result<(), (RateLimit, Duration)> {
        let Some((rate, limit)) = self.rate else { return Ok(()) };
        // What the module refuses anyway it does not count.
        if self.refusal(&call.origin).is_some() {
            return Ok(());
        }
        // Calls are accepted before the lock is taken, and so not quite in the order of their times.
        let now = call.accepted.saturating_duration_since(self.made);
        self.due = rate.admit(self.due, now).map_err(|retry_after| (limit, retry_after))?;
        Ok(())
    }

    /// Why a call from there is not taken; `None` where it is.
    pub(super) fn refusal(&self, origin: &Origin) -> Option<Refusal> {
        match &self.gate {
            Gate::Open | Gate::Lazy => None,
            Gate::Finishing if matches!(origin, Origin::Module { .. }) => None,
            Gate::Finishing => Some(Refusal::ShuttingDown),
            Gate::Refusing(refusal) => Some(refusal.clone()),
        }
    }

    /// An idle instance, on the given worker where there is one; the one that was busy last, whose memory is warm.
    pub(super) fn take_idle(&mut self, worker: Option<usize>) -> Option<Idle> {
        if !self.stalled.is_empty() {
            return self.take_idle_elsewhere(worker);
        }
        let local = worker.and_then(|worker| self.idle.iter().rposition(|idle| idle.desk.worker == worker));
        match local {
            Some(at) => Some(self.idle.swap_remove(at)),
            None => self.idle.pop(),
        }
    }

    /// The same while workers stall: one that is not theirs.
    #[cold]
    fn take_idle_elsewhere(&mut self, worker: Option<usize>) -> Option<Idle> {
        let turns_over = |idle: &Idle| !self.stalled.contains(&idle.desk.worker);
        let local = |idle: &Idle| turns_over(idle) && Some(idle.desk.worker) == worker;
        let at = self.idle.iter().rposition(local).or_else(|| self.idle.iter().rposition(turns_over))?;
        Some(self.idle.swap_remove(at))
    }
}
