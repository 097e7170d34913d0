//! One trigger as a supervised child.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    LONG_WAIT,
    ending::{Ending, Who},
    module_child::Then,
    moments::wall,
    restarts::Restarts,
    status::{ExitStatus, ServiceState, TriggerStatus},
    waiters::Waiters,
};
use crate::{
    actors::ExitReport,
    config::{TimeSpan, Trigger, TriggerSettings, When},
    triggers::{Groundwork, RunningTrigger},
};

/// A trigger under supervision.
pub(super) struct TriggerChild {
    pub(super) config: Arc<Trigger>,
    pub(super) phase: TriggerPhase,
    /// It, while it is at work or ends.
    pub(super) running: Option<Arc<dyn RunningTrigger>>,
    /// Brings it when it has started, while that is under way.
    pub(super) starting: Option<oneshot::Receiver<Arc<dyn RunningTrigger>>>,
    /// What was done for its start by a reload.
    pub(super) groundwork: Option<Groundwork>,
    pub(super) restarts: Restarts,
    pub(super) last_exit: Option<ExitReport>,
    pub(super) running_since: Option<Instant>,
    /// Counts its phases, so that timers and answers of an earlier one do nothing.
    pub(super) era: u64,
    /// When it is started again.
    pub(super) next_try: Option<Instant>,
    /// The state that was last recorded as an event.
    pub(super) recorded: ServiceState,
    /// Whether it is not configured any more: it is forgotten when it has ended.
    pub(super) removed: bool,
    /// Calls that had succeeded when that was last asked.
    ok_seen: u64,
    /// Who waits until it has settled.
    waiting: Waiters,
}

/// What a trigger is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TriggerPhase {
    /// The modules that it calls, or the binding that it stands on, are on their way; since when.
    Waiting(Instant),
    /// It is being started.
    Starting,
    /// It is at work.
    Up,
    /// It finishes what it began; what comes then.
    Draining(Ended),
    /// It waits for its restart, or for its group.
    Resting,
    /// It ended as it may, or was stopped.
    Stopped,
    /// It failed.
    Failed,
}

/// What a trigger is when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Started again, when its wait is over.
    Restart,
    /// Stopped, or held for its group.
    Then(Then),
}

impl TriggerChild {
    pub(super) fn new(config: Trigger) -> Self {
        Self {
            config: Arc::new(config),
            phase: TriggerPhase::Resting,
            running: None,
            starting: None,
            groundwork: None,
            restarts: Restarts::default(),
            last_exit: None,
            running_since: None,
            era: 0,
            next_try: None,
            recorded: ServiceState::Starting,
            removed: false,
            ok_seen: 0,
            waiting: Waiters::default(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Begins another phase, which makes timers and answers of every earlier one stale.
    pub(super) fn enter(&mut self, phase: TriggerPhase) {
        self.phase = phase;
        self.era += 1;
        self.next_try = None;
        if phase != TriggerPhase::Up {
            self.running_since = None;
        }
    }

    /// Takes the trigger that was started.
    pub(super) fn started(&mut self, running: Arc<dyn RunningTrigger>) {
        self.enter(TriggerPhase::Up);
        self.ok_seen = 0;
        self.running = Some(running);
        self.running_since = Some(Instant::now());
    }

    fn calls_ok(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.facts().calls_ok)
    }

    /// Whether a call has succeeded since that was last taken.
    pub(super) fn has_succeeded(&self) -> bool {
        self.calls_ok() > self.ok_seen
    }

    /// Whether a call has succeeded since the last time.
    pub(super) fn take_succeeded(&mut self) -> bool {
        let now = self.calls_ok();
        std::mem::replace(&mut self.ok_seen, now) < now
    }

    /// Ends it, within its `shutdown`; one that is being started as soon as it has.
    pub(super) fn take_ending(&mut self) -> Option<Ending> {
        self.groundwork = None;
        let who = match self.starting.take() {
            Some(starts) => Who::Starting(starts),
            None => Who::Running(self.running.clone()?),
        };
        Some(Ending::new(who, self.config.shutdown, Arc::clone(self.name())))
    }

    /// The state as people see it.
    pub(super) fn state(&self) -> ServiceState {
        match self.phase {
            TriggerPhase::Waiting(_) | TriggerPhase::Starting => ServiceState::Starting,
            TriggerPhase::Up => ServiceState::Running,
            TriggerPhase::Draining(_) => ServiceState::Draining,
            TriggerPhase::Resting => ServiceState::Backoff,
            TriggerPhase::Stopped => ServiceState::Stopped,
            TriggerPhase::Failed => ServiceState::Failed,
        }
    }

    /// Whether nothing is under way. A restart that waits for long is not either.
    fn is_settled(&self, now: Instant) -> bool {
        match self.phase {
            TriggerPhase::Up | TriggerPhase::Stopped | TriggerPhase::Failed => true,
            TriggerPhase::Resting => self.next_try.is_some_and(|at| at.saturating_duration_since(now) > LONG_WAIT),
            TriggerPhase::Waiting(_) | TriggerPhase::Starting | TriggerPhase::Draining(_) => false,
        }
    }

    /// Waits until the trigger has settled.
    pub(super) fn settled(&mut self) -> oneshot::Receiver<()> {
        let settled = self.waiting.add();
        self.tell_settled();
        settled
    }

    /// Tells those who wait, if the trigger has settled.
    pub(super) fn tell_settled(&mut self) {
        if !self.waiting.is_empty() && self.is_settled(Instant::now()) {
            self.waiting.tell();
        }
    }

    /// Everything about the trigger but its place in the tree and whom it waits for.
    pub(super) fn status(&self, now: Instant) -> TriggerStatus {
        let settings = &self.config.settings;
        let modules: BTreeSet<&str> = settings.modules().into_iter().map(|name| &**name).collect();
        TriggerStatus {
            name: self.config.name.to_string(),
            type_name: settings.type_name().to_owned(),
            sources: sources(settings),
            timezone: timezone(settings),
            modules: modules.into_iter().map(str::to_owned).collect(),
            state: self.state(),
            group: None,
            waiting_for: Vec::new(),
            next_try: self.next_try.map(|at| wall(at, now)),
            restarts: self.restarts.total(),
            restarts_by_reason: self.restarts.by_reason(),
            restarts_in_window: 0,
            last_exit: self.last_exit.as_ref().map(ExitStatus::of),
            uptime_s: self.running_since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
            facts: self.running.as_ref().map(|running| running.facts()),
        }
    }
}

/// What the calls of a trigger come from, as configured.
fn sources(settings: &TriggerSettings) -> Vec<String> {
    match settings {
        TriggerSettings::Http(settings) => settings.listeners.iter().map(|it| it.listen.to_string()).collect(),
        TriggerSettings::Schedule(settings) => vec![match &settings.when {
            When::Cron(calendar) => calendar.expression().to_owned(),
            When::Every(time) => format!("every {}", TimeSpan::new(*time)),
        }],
        TriggerSettings::Messages(settings) => settings.topics.iter().map(ToString::to_string).collect(),
        TriggerSettings::Files(settings) => vec![settings.dir.display().to_string()],
    }
}

/// The time zone of a trigger's expression.
fn timezone(settings: &TriggerSettings) -> Option<String> {
    match settings {
        TriggerSettings::Schedule(settings) => match &settings.when {
            When::Cron(calendar) => Some(calendar.zone().to_owned()),
            When::Every(_) => None,
        },
        TriggerSettings::Http(_) | TriggerSettings::Messages(_) | TriggerSettings::Files(_) => None,
    }
}
