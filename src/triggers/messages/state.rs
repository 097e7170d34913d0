//! What the tasks of a trigger share.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use crate::{
    actors::{CallFailure, Modules},
    bindings::messaging::{Broker, Trouble},
    config::MessagesSettings,
    triggers::{Caller, Detail, Notice, TriggerContext, TriggerEnd, TriggerFacts, TriggerObserver},
};

/// What it is that is not heard, where messages of a stream are not.
pub(super) const STREAM: &str = "stream";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It takes messages.
    Hearing,
    /// It ends what it has.
    Draining,
    /// It ends everything.
    Stopped,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) received: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) given_up: AtomicU64,
    /// Counted by the subscriptions, when it happens.
    pub(super) lost: Arc<AtomicU64>,
}

/// What the tasks of a trigger share.
pub(super) struct Shared {
    name: Arc<str>,
    /// Replaced by a reload, as far as that does not make the trigger begin anew.
    settings: RwLock<Arc<MessagesSettings>>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) caller: Caller,
    modules: Modules,
    observer: Arc<dyn TriggerObserver>,
    /// One for each call that may run.
    pub(super) permits: Arc<Semaphore>,
    pub(super) counts: Counts,
    /// Whether messages that fail cannot be put elsewhere, so that this is logged once.
    pub(super) stuck: AtomicBool,
    deaf: Mutex<Deaf>,
    phase: watch::Sender<Phase>,
    /// Whether everything that it had has ended.
    done: watch::Sender<bool>,
    /// Why it has ended by itself.
    ended: watch::Sender<Option<TriggerEnd>>,
}

/// What it does not hear, and why.
#[derive(Default)]
struct Deaf {
    /// Why, by what is not heard.
    why: BTreeMap<String, String>,
    /// Whether that was told.
    told: bool,
}

impl Shared {
    pub(super) fn new(
        name: &Arc<str>,
        settings: MessagesSettings,
        broker: Arc<dyn Broker>,
        context: &TriggerContext,
    ) -> Self {
        let heard: Vec<String> = match settings.durable {
            Some(_) => vec![STREAM.to_owned()],
            None => settings.topics.iter().map(ToString::to_string).collect(),
        };
        let why = heard.into_iter().map(|topic| (topic, "it has only just begun".to_owned())).collect();
        Self {
            name: Arc::clone(name),
            permits: Arc::new(Semaphore::new(settings.concurrency as usize)),
            settings: RwLock::new(Arc::new(settings)),
            broker,
            caller: Caller::new(name, context.modules.clone()),
            modules: context.modules.clone(),
            observer: Arc::clone(&context.observer),
            counts: Counts::default(),
            stuck: AtomicBool::new(false),
            deaf: Mutex::new(Deaf { why, told: false }),
            phase: watch::Sender::new(Phase::Hearing),
            done: watch::Sender::new(false),
            ended: watch::Sender::new(None),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The settings of the moment.
    pub(super) fn settings(&self) -> Arc<MessagesSettings> {
        Arc::clone(&self.settings.read())
    }

    pub(super) fn adjust(&self, settings: MessagesSettings) {
        *self.settings.write() = Arc::new(settings);
    }

    /// Goes on to a later phase; an earlier one is past.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = (*now).max(phase);
            later
        });
    }

    pub(super) fn is_hearing(&self) -> bool {
        *self.phase.borrow() == Phase::Hearing
    }

    /// Waits until it is in that phase, or past it.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives as long as this.
        self.phase.subscribe().wait_for(|now| *now >= phase).await.map(drop).unwrap_or_default();
    }

    /// Does something until the trigger is stopped.
    pub(super) async fn unless_stopped(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.reached(Phase::Stopped) => {}
        }
    }

    /// Notes that everything has ended, once every permit is back.
    pub(super) async fn finish(&self) {
        let all = self.settings().concurrency;
        // Nobody closes it.
        let _all = self.permits.acquire_many(all).await;
        self.done.send_replace(true);
    }

    pub(super) async fn drained(&self) {
        self.done.subscribe().wait_for(|done| *done).await.map(drop).unwrap_or_default();
    }

    /// Ends it by itself.
    fn end(&self, end: TriggerEnd) {
        self.ended.send_replace(Some(end));
    }

    /// Ends it because what takes its messages panicked, whose message the log has: nobody hears anything any more.
    pub(super) fn lost(&self) {
        self.end(TriggerEnd::Fault("what takes its messages panicked".to_owned()));
        self.done.send_replace(true);
    }

    /// Ends it where the binding has; else `false`.
    pub(super) fn end_with_binding(&self) -> bool {
        let has_stopped = self.broker.trouble() == Some(Trouble::Stopped);
        if has_stopped {
            self.end(TriggerEnd::WithBinding(format!("binding `{}` has stopped", self.settings().binding)));
        }
        has_stopped
    }

    pub(super) async fn ended(&self) -> TriggerEnd {
        let mut ended = self.ended.subscribe();
        // Who waits has the sender.
        match ended.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Why the module takes no calls now.
    pub(super) fn refusal(&self) -> Option<CallFailure> {
        self.modules.refusal(&self.settings().target.module)
    }

    /// Notes that something is heard.
    pub(super) fn hears(&self, what: &str) {
        let mut deaf = self.deaf.lock();
        deaf.why.remove(what);
        let again = deaf.why.is_empty() && std::mem::take(&mut deaf.told);
        drop(deaf);
        if again {
            self.tell(Notice::Connection { lost: None });
        }
    }

    /// Notes that something is not heard, and tells so where everything was before.
    pub(super) fn misses(&self, what: &str, why: String) {
        let mut deaf = self.deaf.lock();
        deaf.why.insert(what.to_owned(), why.clone());
        let is_news = !std::mem::replace(&mut deaf.told, true);
        drop(deaf);
        if is_news {
            self.tell(Notice::Connection { lost: Some(why) });
        }
    }

    pub(super) fn tell(&self, notice: Notice) {
        self.observer.noticed(&self.name, notice);
    }

    pub(super) fn facts(&self) -> TriggerFacts {
        let Counts { received, redelivered, given_up, lost } = &self.counts;
        let why = self.deaf.lock().why.values().next().cloned();
        self.caller.facts(Detail::Messages {
            connected: why.is_none() && self.is_hearing(),
            why,
            received: received.load(Relaxed),
            redelivered: redelivered.load(Relaxed),
            given_up: given_up.load(Relaxed),
            lost: lost.load(Relaxed),
        })
    }
}
