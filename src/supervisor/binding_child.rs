//! One binding as a supervised child: its backend, opened once, and an actor on every worker.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use actix::{Actor, Addr, Recipient};

use super::{
    module_child::Then,
    moments::{unix, wall},
    restarts::Restarts,
    status::{BackendStatus, BindingStatus, CacheStatus, ExitStatus, HostCallCount, LoadStatus, ServiceState},
};
use crate::{
    actors::{ExitReport, Workers},
    bindings::{
        BackendState, BindingActor, BindingCall, BindingCounters, BindingExited, BindingFactory, Hold, Observer,
        Refuse, Serve, Turnstile, operations,
    },
    config::{Binding, BindingSettings::Process, Shutdown},
};

/// A binding under supervision.
pub(super) struct BindingChild {
    pub(super) config: Arc<Binding>,
    pub(super) counters: Arc<BindingCounters>,
    /// Its actor on each worker.
    actors: Vec<Addr<BindingActor>>,
    pub(super) phase: BindingPhase,
    /// The backend while it is open.
    pub(super) factory: Option<Arc<dyn BindingFactory>>,
    /// The way to the backend.
    pub(super) turnstile: Arc<Turnstile>,
    /// Who hears what happens in its actors.
    observer: Arc<dyn Observer>,
    /// Workers on which nothing serves until a restart at this time.
    pub(super) backoff: BTreeMap<usize, Instant>,
    pub(super) restarts: Restarts,
    pub(super) last_exit: Option<ExitReport>,
    pub(super) running_since: Option<Instant>,
    /// Counts openings and closings, so that timers and answers of an earlier one do nothing.
    pub(super) era: u64,
    /// When it is started again.
    pub(super) next_try: Option<Instant>,
    /// The state that was last recorded as an event.
    pub(super) recorded: ServiceState,
    /// Health checks that have failed in a row.
    pub(super) sick: u32,
    /// Whether a health check has not been answered yet.
    pub(super) checking: bool,
    /// Held while a backend is opened or closed: a file belongs to one at a time.
    pub(super) closing: Closing,
    /// Whether it is not configured any more: it is forgotten when its backend has been closed.
    pub(super) removed: bool,
    /// Counts its settings, so that what follows from earlier ones ends.
    pub(super) settings: u64,
}

/// Held by whoever opens or closes a backend.
pub(super) type Closing = Arc<tokio::sync::Mutex<()>>;

/// An open backend that is to be closed.
pub(super) struct Backend {
    name: Arc<str>,
    factory: Arc<dyn BindingFactory>,
    budget: Shutdown,
    closing: Closing,
}

impl Backend {
    /// Closes it on a thread that may block, and waits no longer than its `shutdown`. What takes longer goes on, and keeps
    /// the next one from being opened until it is done.
    pub(super) async fn close(self) {
        let Self { name, factory, budget, closing } = self;
        let held = closing.lock_owned().await;
        let closing = tokio::task::spawn_blocking(move || {
            let _held = held;
            factory.stop();
        });
        let closed = match budget {
            Shutdown::Kill => return,
            Shutdown::Infinity => closing.await.map_err(|error| error.to_string()),
            Shutdown::After(budget) => match tokio::time::timeout(budget, closing).await {
                Ok(closed) => closed.map_err(|error| error.to_string()),
                Err(_elapsed) => Err(format!("it takes longer than {} ms", budget.as_millis())),
            },
        };
        if let Err(error) = closed {
            tracing::error!(binding = &*name, error, "binding's backend did not close");
        }
    }
}

/// What a binding is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BindingPhase {
    /// Its backend is being opened.
    Opening,
    /// It answers, on some workers at least.
    Serving,
    /// Its backend is being closed; what comes then.
    Closing(Closed),
    /// Nothing is open until a restart.
    Waiting,
    /// Nothing is open, because it ended as it may.
    Stopped,
    /// Nothing is open, because it failed.
    Failed,
}

/// What a binding is when its backend has been closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Opened again, when its wait is over.
    Reopen,
    /// Stopped, or held for its group.
    Then(Then),
}

impl BindingChild {
    /// Starts an actor on every worker, which holds calls until the backend is open.
    pub(super) fn new(
        index: usize,
        config: Binding,
        workers: &Workers,
        supervisor: &Recipient<BindingExited>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let counters = Arc::new(BindingCounters::new(operations(&config.settings)));
        let mut child = Self {
            turnstile: Turnstile::new(config.limits.clone()),
            config: Arc::new(config),
            observer,
            counters,
            actors: Vec::new(),
            phase: BindingPhase::Waiting,
            factory: None,
            backoff: BTreeMap::new(),
            restarts: Restarts::default(),
            last_exit: None,
            running_since: None,
            era: 0,
            next_try: None,
            recorded: ServiceState::Starting,
            sick: 0,
            checking: false,
            closing: Closing::default(),
            removed: false,
            settings: 0,
        };
        child.actors =
            (0..workers.count()).filter_map(|worker| child.actor_on(index, worker, workers, supervisor)).collect();
        child
    }

    fn actor_on(
        &self,
        index: usize,
        worker: usize,
        workers: &Workers,
        supervisor: &Recipient<BindingExited>,
    ) -> Option<Addr<BindingActor>> {
        let (name, counters, supervisor) =
            (Arc::clone(&self.config.name), Arc::clone(&self.counters), supervisor.clone());
        let observer = Arc::clone(&self.observer);
        let make = move |_: &mut actix::Context<BindingActor>| {
            BindingActor::new(index, name, worker, counters, supervisor, observer)
        };
        Some(BindingActor::start_in_arbiter(&workers.handle(worker)?, make))
    }

    /// Puts a fresh actor on a worker whose old one is gone, in the state of the others.
    pub(super) fn renew(
        &mut self,
        index: usize,
        worker: usize,
        workers: &Workers,
        supervisor: &Recipient<BindingExited>,
    ) {
        let Some(fresh) = self.actor_on(index, worker, workers, supervisor) else { return };
        if let Some(actor) = self.actors.get_mut(worker) {
            *actor = fresh;
        }
        self.backoff.remove(&worker);
        match (self.phase, &self.factory) {
            (BindingPhase::Serving, Some(_)) => self.serve(Some(worker)),
            (BindingPhase::Stopped | BindingPhase::Failed, _) => self.refuse(),
            _ => {}
        }
    }

    /// Whether the actor on a worker is there.
    pub(super) fn is_connected(&self, worker: usize) -> bool {
        self.actors.get(worker).is_some_and(Addr::connected)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// The actor on a worker.
    pub(super) fn actor(&self, worker: usize) -> Option<Recipient<BindingCall>> {
        self.actors.get(worker).map(|actor| actor.clone().recipient())
    }

    /// Takes a backend that was opened, and lets all workers answer from it.
    pub(super) fn opened(&mut self, backend: Arc<dyn BindingFactory>) {
        let limits = self.config.limits.clone();
        // What answers at once never has more than a call for each worker.
        let counts = self.config.settings.has_backend() && !backend.answers_at_once();
        self.turnstile = if counts { Turnstile::new(limits) } else { Turnstile::open(limits) };
        self.factory = Some(backend);
        self.running_since = Some(Instant::now());
        self.serve(None);
    }

    /// Lets one worker, or all, answer from the open backend. Notices like the others: rare, and not to be lost.
    pub(super) fn serve(&mut self, worker: Option<usize>) {
        let Some(factory) = &self.factory else { return };
        for (at, actor) in self.actors.iter().enumerate() {
            if worker.is_none_or(|worker| worker == at) {
                self.backoff.remove(&at);
                actor.do_send(Serve { backend: Arc::clone(factory), turnstile: Arc::clone(&self.turnstile) });
            }
        }
    }

    /// Lets calls wait on every worker.
    pub(super) fn hold(&self) {
        for actor in &self.actors {
            actor.do_send(Hold);
        }
    }

    /// Answers every call with `unavailable`, and why.
    pub(super) fn refuse(&self) {
        let why = match &self.last_exit {
            // What a program said last may be about another module: it is in the causes, which operators see.
            Some(_) if self.phase == BindingPhase::Failed && matches!(self.config.settings, Process(_)) => {
                "it has failed: its program ended too often, or does not start".to_owned()
            }
            Some(exit) if self.phase == BindingPhase::Failed => format!("it has failed: {}", exit.causes.join(": ")),
            _ => "it is stopped".to_owned(),
        };
        for actor in &self.actors {
            actor.do_send(Refuse(why.clone()));
        }
    }

    /// Begins another opening or closing, which makes timers and answers of every earlier one stale.
    pub(super) fn enter(&mut self, phase: BindingPhase) {
        self.phase = phase;
        self.era += 1;
        self.next_try = None;
        self.sick = 0;
        self.checking = false;
        self.backoff.clear();
        if phase != BindingPhase::Serving {
            self.running_since = None;
        }
    }

    /// Takes the backend out, to be closed.
    pub(super) fn take_backend(&mut self) -> Option<Backend> {
        let (name, closing) = (Arc::clone(&self.config.name), Arc::clone(&self.closing));
        Some(Backend { name, factory: self.factory.take()?, budget: self.config.shutdown, closing })
    }

    /// Whether calls reach what is behind it.
    pub(super) fn is_connected_to_backend(&self) -> bool {
        let backend = self.factory.as_ref().filter(|_| self.phase == BindingPhase::Serving);
        backend.is_some_and(|backend| backend.backend().is_none_or(|now| now.state == BackendState::Connected))
    }

    /// The state as people see it.
    pub(super) fn state(&self) -> ServiceState {
        match self.phase {
            BindingPhase::Opening => ServiceState::Starting,
            BindingPhase::Serving if self.backoff.is_empty() => ServiceState::Running,
            BindingPhase::Serving | BindingPhase::Waiting => ServiceState::Backoff,
            BindingPhase::Closing(_) => ServiceState::Draining,
            BindingPhase::Stopped => ServiceState::Stopped,
            BindingPhase::Failed => ServiceState::Failed,
        }
    }

    /// When it, or its actor on some worker, is started again.
    pub(super) fn next_restart(&self) -> Option<Instant> {
        self.backoff.values().min().copied().or(self.next_try)
    }

    /// Everything about the binding but its place in the tree.
    pub(super) fn status(&self, now: Instant) -> BindingStatus {
        let counts = self.counters.read();
        let host_call = |(operation, outcome, count): &(&str, &str, u64)| HostCallCount {
            operation: (*operation).to_owned(),
            outcome: (*outcome).to_owned(),
            count: *count,
        };
        BindingStatus {
            name: self.config.name.to_string(),
            type_name: self.config.settings.type_name().to_owned(),
            state: self.state(),
            group: None,
            next_try: self.next_restart().map(|at| wall(at, now)),
            calls_ok: counts.calls_ok,
            calls_failed: counts.calls_failed,
            host_calls: counts.host_calls.iter().map(host_call).collect(),
            restarts: self.restarts.total(),
            restarts_by_reason: self.restarts.by_reason(),
            restarts_in_window: 0,
            last_exit: self.last_exit.as_ref().map(ExitStatus::of),
            backend: self.factory.as_ref().and_then(|backend| backend.backend()).map(backend_status),
            load: self.config.settings.has_backend().then(|| load_status(&self.turnstile)),
            cache: self.factory.as_ref().and_then(|backend| backend.cache()).map(cache_status),
            uptime_s: self.running_since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
        }
    }
}

fn backend_status(now: crate::bindings::BackendStatus) -> BackendStatus {
    BackendStatus {
        state: now.state.as_str().to_owned(),
        since: unix(now.since),
        why: now.why,
        next_try: now.next_try.map(unix),
        tries: now.tries,
    }
}

fn load_status(turnstile: &Turnstile) -> LoadStatus {
    let load = turnstile.load();
    LoadStatus { running: load.running as u64, waiting: load.waiting as u64, refused: load.refused }
}

fn cache_status(now: crate::bindings::CacheStatus) -> CacheStatus {
    let crate::bindings::CacheStatus { hits, misses, bytes, entries } = now;
    CacheStatus { hits, misses, entries, bytes }
}

/// The report of a binding's actor that panicked.
pub(super) fn panic_report(exit: &BindingExited) -> ExitReport {
    use crate::actors::{ExitReason, Origin};
    let mut report = ExitReport::new(ExitReason::Panicked, vec![exit.panic.clone()]);
    report.at = SystemTime::now();
    report.call = exit
        .caller
        .clone()
        .map(|(module, instance, call, operation)| (operation, call, Origin::Module { module, instance }));
    report
}
