//! What the trigger, its loop and what it does with each file share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{inbox::Inbox, news::News};
use crate::{
    config::FilesSettings,
    triggers::{Caller, Detail, Notice, TriggerFacts, TriggerObserver},
};

/// What all parts of one trigger share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) inbox: Inbox,
    pub(super) settings: ArcSwap<FilesSettings>,
    /// How long a file rests before it is read.
    pub(super) settle: ArcSwap<Duration>,
    pub(super) caller: Caller,
    pub(super) observer: Arc<dyn TriggerObserver>,
    pub(super) news: News,
    pub(super) waiting: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    /// What failed last besides calls.
    trouble: Mutex<Option<(String, SystemTime)>>,
}

impl Shared {
    /// Nothing has happened yet.
    pub(super) fn new(
        name: Arc<str>,
        settings: FilesSettings,
        settle: Duration,
        caller: Caller,
        observer: Arc<dyn TriggerObserver>,
    ) -> Self {
        Self {
            name,
            inbox: Inbox { path: settings.dir.clone() },
            settings: ArcSwap::from_pointee(settings),
            settle: ArcSwap::from_pointee(settle),
            caller,
            observer,
            news: News::default(),
            waiting: AtomicU64::default(),
            done: AtomicU64::default(),
            failed: AtomicU64::default(),
            trouble: Mutex::default(),
        }
    }

    /// Tells that something stays where it is.
    pub(super) fn hindered(&self, what: String, why: String) {
        self.remember(format!("`{what}`: {why}"));
        self.observer.noticed(&self.name, Notice::Hindered { what, why });
    }

    /// Tells that a file failed as often as it may.
    pub(super) fn given_up(&self, what: String, why: String, kept: String) {
        self.failed.fetch_add(1, Relaxed);
        self.remember(format!("`{what}`: {why}"));
        self.observer.noticed(&self.name, Notice::GivenUp { what, why, kept: Some(kept) });
    }

    fn remember(&self, why: String) {
        *self.trouble.lock() = Some((why, SystemTime::now()));
    }

    /// What the trigger says about itself.
    pub(super) fn facts(&self) -> TriggerFacts {
        let mut facts = self.caller.facts(Detail::Files {
            waiting: self.waiting.load(Relaxed),
            done: self.done.load(Relaxed),
            failed: self.failed.load(Relaxed),
        });
        if let Some((why, at)) = self.trouble.lock().clone() {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            // The later of both.
            if facts.last_error_at.is_none_or(|call| call <= at) {
                (facts.last_error, facts.last_error_at) = (Some(why), Some(at));
            }
        }
        facts
    }
}
