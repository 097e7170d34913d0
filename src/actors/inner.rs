//! What a module's queue holds behind its lock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Addr;

use super::{
    Gate, GuestActor, Origin, QueueSettings, QueuedCall, Refusal, crossings::patience, desk::Desk, load::Loads,
    places::Places, rate::Rate,
};
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
    /// The calls that wait and the instances that are idle.
    pub(super) places: Places,
    /// Bytes of the calls that wait.
    pub(super) bytes: u64,
    /// The live instances, busy ones included.
    pub(super) members: Vec<Arc<Desk>>,
}

pub(super) struct Idle {
    pub(super) desk: Arc<Desk>,
    pub(super) addr: Addr<GuestActor>,
}

impl Inner {
    pub(super) fn new(gate: Gate, settings: QueueSettings, loads: Arc<Loads>) -> Self {
        Self {
            rate: settings.rate.map(|limit| (limit.into(), limit)),
            due: Duration::ZERO,
            made: Instant::now(),
            settings,
            gate,
            closing: false,
            places: Places::new(loads),
            bytes: 0,
            members: Vec::new(),
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

    /// The idle instance for a call that comes on that worker: one there, else the one on the least loaded worker, unless
    /// the call does better to wait at home.
    pub(super) fn take_idle(&mut self, worker: Option<usize>, accepted: Instant, now: Instant) -> Option<Idle> {
        if let Some(idle) = self.places.take_local(worker) {
            return Some(idle);
        }
        if self.places.idle() == 0 || self.is_patient(worker, accepted, now) {
            return None;
        }
        self.places.take_any()
    }

    /// Whether the call waits for the instances of its own worker, since one of them may soon be free.
    fn is_patient(&self, worker: Option<usize>, accepted: Instant, now: Instant) -> bool {
        let Some(home) = self.places.home(worker) else { return false };
        let soon = |desk: &Arc<Desk>| !desk.has_run_for(patience(), now);
        now < accepted + patience() && self.members.iter().filter(|desk| desk.worker == home).any(soon)
    }
}
