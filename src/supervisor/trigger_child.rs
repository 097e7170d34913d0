//! One trigger as a supervised child.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    LONG_WAIT,
    module_child::{Restarts, Then, exit_status, wall},
    status::{ServiceState, TriggerStatus},
};
use crate::{
    actors::ExitReport,
    config::{Shutdown, TimeSpan, Trigger, TriggerSettings, When},
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
    waiting: Vec<oneshot::Sender<()>>,
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
            waiting: Vec::new(),
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
        Some(Ending { who, budget: self.config.shutdown, name: Arc::clone(self.name()) })
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
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        self.tell_settled();
        receiver
    }

    /// Tells those who wait, if the trigger has settled.
    pub(super) fn tell_settled(&mut self) {
        if !self.waiting.is_empty() && self.is_settled(Instant::now()) {
            for waiting in self.waiting.drain(..) {
                // One that has gone does not want to know.
                waiting.send(()).ok();
            }
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
            last_exit: self.last_exit.as_ref().map(exit_status),
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

/// A trigger that is to end.
pub(super) struct Ending {
    who: Who,
    budget: Shutdown,
    name: Arc<str>,
}

/// Who is to end.
enum Who {
    Running(Arc<dyn RunningTrigger>),
    /// What it began in its first moments ends as all else: it is not cut off.
    Starting(oneshot::Receiver<Arc<dyn RunningTrigger>>),
}

/// A trigger that ends with the daemon.
pub(super) enum Leaving {
    /// By that.
    Now(Ending),
    /// Its end began earlier.
    Already(UnderWay),
}

impl Leaving {
    /// Ends it, or waits for its end, no longer than `most`.
    pub(super) async fn end(self, most: Duration) {
        match self {
            Self::Now(ending) => ending.end_unless_cut(Some(most), std::future::pending()).await,
            Self::Already(under_way) => under_way.end(most).await,
        }
    }
}

/// An end that has begun, to be waited for by whoever did not begin it. Dropping it changes nothing.
pub(super) struct UnderWay {
    /// Ends it at once.
    cut: oneshot::Sender<()>,
    over: oneshot::Receiver<()>,
}

impl UnderWay {
    /// Whether that has ended.
    pub(super) fn is_over(&mut self) -> bool {
        self.over.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }

    /// Waits for that, but no longer than `most`: then it is cut short.
    async fn end(self, most: Duration) {
        let Self { cut, mut over } = self;
        // An error says that it is over, too.
        if tokio::time::timeout(most, &mut over).await.is_err() && cut.send(()).is_ok() {
            over.await.unwrap_or_default();
        }
    }
}

impl Ending {
    /// Ends it within its `shutdown`, known to others that may have to wait for that too.
    pub(super) fn watched(self) -> (impl Future<Output = ()> + use<>, UnderWay) {
        let ((cut, is_cut), (ended, over)) = (oneshot::channel(), oneshot::channel());
        let under_way = UnderWay { cut, over };
        let end = async move {
            let is_cut = async {
                if is_cut.await.is_err() {
                    // Nobody will.
                    std::future::pending().await
                }
            };
            self.end_unless_cut(None, is_cut).await;
            // Mostly nobody waits.
            ended.send(()).unwrap_or_default();
        };
        (end, under_way)
    }

    /// Lets it finish what it began, and waits for that no longer than its `shutdown`, or `most`, or until that is cut short.
    async fn end_unless_cut(self, most: Option<Duration>, is_cut: impl Future<Output = ()>) {
        let Self { who, budget, name } = self;
        let budget = match budget {
            Shutdown::Kill => Some(Duration::ZERO),
            Shutdown::After(budget) => Some(most.map_or(budget, |most| most.min(budget))),
            Shutdown::Infinity => most,
        };
        let mut known = None;
        let drained = async {
            let running = match who {
                Who::Running(running) => running,
                // One that does not start has nothing to end.
                Who::Starting(starts) => starts.await.ok()?,
            };
            let drained = running.drain();
            known = Some(running);
            drained.await;
            Some(())
        };
        let over = async {
            match budget {
                None => std::future::pending().await,
                Some(budget) => tokio::time::sleep(budget).await,
            }
        };
        let is_whole = tokio::select! {
            biased;
            _ = drained => true,
            () = over => false,
            () = is_cut => false,
        };
        if !is_whole && budget.is_none_or(|budget| !budget.is_zero()) {
            let after_ms = budget.map(|budget| budget.as_millis() as u64);
            tracing::warn!(trigger = &*name, after_ms, "trigger is ended before all that it began has");
        }
        // One that starts later is stopped by whoever hears of that.
        if let Some(running) = known {
            running.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use parking_lot::Mutex;

    use super::*;
    use crate::triggers::{Detail, TriggerEnd, TriggerFacts};

    /// Notes what it is told.
    #[derive(Default)]
    struct Noted(Mutex<Vec<&'static str>>);

    impl RunningTrigger for Noted {
        fn adjust(&self, _: Arc<Trigger>, _: Groundwork) {}

        fn facts(&self) -> TriggerFacts {
            let detail = Detail::Files { waiting: 0, done: 0, failed: 0 };
            TriggerFacts {
                calls_ok: 0,
                calls_failed: 0,
                calls_running: 0,
                last_error: None,
                last_error_at: None,
                detail,
            }
        }

        fn drain(&self) -> BoxFuture<'static, ()> {
            self.0.lock().push("drain");
            Box::pin(std::future::ready(()))
        }

        fn stop(&self) {
            self.0.lock().push("stop");
        }

        fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
            Box::pin(std::future::pending())
        }
    }

    /// Never ends what it began.
    #[derive(Default)]
    struct Endless(Noted);

    impl RunningTrigger for Endless {
        fn adjust(&self, _: Arc<Trigger>, _: Groundwork) {}

        fn facts(&self) -> TriggerFacts {
            self.0.facts()
        }

        fn drain(&self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn stop(&self) {
            self.0.stop();
        }

        fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
            Box::pin(std::future::pending())
        }
    }

    fn ending(who: Who, budget: Shutdown) -> Ending {
        Ending { who, budget, name: "t".into() }
    }

    #[actix::test]
    async fn one_that_is_being_started_is_drained_as_soon_as_it_has() {
        let (hand, starts) = oneshot::channel::<Arc<dyn RunningTrigger>>();
        let end = actix::spawn(ending(Who::Starting(starts), Shutdown::After(Duration::from_secs(60))).watched().0);
        tokio::task::yield_now().await;
        assert!(!end.is_finished(), "it waits for the start");
        let started = Arc::new(Noted::default());
        assert!(hand.send(Arc::clone(&started) as Arc<dyn RunningTrigger>).is_ok(), "somebody wants it");
        assert!(end.await.is_ok());
        assert_eq!(*started.0.lock(), ["drain", "stop"]);
    }

    #[actix::test]
    async fn nobody_waits_for_a_start_longer_than_the_end_may_take() {
        let (hand, starts) = oneshot::channel::<Arc<dyn RunningTrigger>>();
        ending(Who::Starting(starts), Shutdown::After(Duration::from_millis(1))).watched().0.await;
        assert!(hand.send(Arc::new(Noted::default())).is_err(), "whoever started it hears that it is not wanted");
    }

    #[actix::test]
    async fn the_end_of_the_daemon_waits_for_one_that_ends_already_and_cuts_it_short_in_time() {
        let (hand, starts) = oneshot::channel::<Arc<dyn RunningTrigger>>();
        let (end, under_way) = ending(Who::Starting(starts), Shutdown::Infinity).watched();
        actix::spawn(end);
        let waits = actix::spawn(Leaving::Already(under_way).end(Duration::from_secs(60)));
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "it waits for the start that the other end waits for");
        assert!(hand.send(Arc::new(Noted::default())).is_ok());
        assert!(waits.await.is_ok());

        let endless = Arc::new(Endless::default());
        let (end, mut under_way) = ending(Who::Running(Arc::clone(&endless) as _), Shutdown::Infinity).watched();
        let end = actix::spawn(end);
        tokio::task::yield_now().await;
        assert!(!under_way.is_over());
        Leaving::Already(under_way).end(Duration::from_millis(1)).await;
        assert_eq!(*endless.0.0.lock(), ["stop"]);
        assert!(end.await.is_ok());
    }
}
