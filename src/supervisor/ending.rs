//! The end of one trigger: what it began is waited for, within its `shutdown`, by whoever ends it and by whoever ends the daemon
//! meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{config::Shutdown, triggers::RunningTrigger};

/// A trigger that is to end.
pub(super) struct Ending {
    who: Who,
    budget: Shutdown,
    name: Arc<str>,
}

/// Who is to end.
pub(super) enum Who {
    /// One that is at work.
    Running(Arc<dyn RunningTrigger>),
    /// One that is being started: what it began in its first moments ends as all else: it is not cut off.
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
    /// The end of a trigger, within its `shutdown`. Nothing happens before it is waited for.
    pub(super) fn new(who: Who, budget: Shutdown, name: Arc<str>) -> Self {
        Self { who, budget, name }
    }

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
    use crate::{
        config::Trigger,
        triggers::{Detail, Groundwork, TriggerEnd, TriggerFacts},
    };

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
        Ending::new(who, budget, "t".into())
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
