//! Follows the times of one schedule: waits, calls, obeys. Decides nothing about times itself.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep_until};

use super::{
    kept::Kept,
    rhythm::{Clocks, Due, Manner, Rhythm},
    seen::Seen,
};
use crate::{
    actors::{CallFailure, CallReply},
    config::{Overlap, ScheduleSettings},
    host::chain,
    triggers::{Caller, Notice, TriggerObserver},
};

/// From one line about a failed call to the next: each failure is counted, and one line says what an operator must know.
const QUIET: Duration = Duration::from_secs(10);

/// What a driver is told.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// How it goes on.
    pub(super) settings: Arc<ScheduleSettings>,
    /// Whether it begins nothing new.
    pub(super) draining: bool,
    /// How often an operator has asked for a call.
    pub(super) asked: u64,
}

/// One schedule on its way.
pub(super) struct Driver {
    trigger: Arc<str>,
    caller: Caller,
    observer: Arc<dyn TriggerObserver>,
    orders: watch::Receiver<Orders>,
    seen: Arc<Mutex<Seen>>,
    kept: Kept,
    settings: Arc<ScheduleSettings>,
    draining: bool,
    /// How often somebody had asked for a call when that was last looked at.
    asked: u64,
    /// The call that runs.
    call: Option<BoxFuture<'static, CallReply>>,
    /// When the one that waits for its end should have been.
    queued: Option<SystemTime>,
    /// When the log told of a failed call, and of how many since then it did not.
    told: Option<Instant>,
    untold: u64,
}

fn clocks() -> Clocks {
    Clocks { wall: SystemTime::now(), steady: Instant::now() }
}

fn manner(settings: &ScheduleSettings) -> Manner<'_> {
    Manner { when: &settings.when, jitter: settings.jitter, catch_up: settings.catch_up }
}

/// The end of a call; for ever where there is none.
async fn end_of(call: &mut Option<BoxFuture<'static, CallReply>>) -> CallReply {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn new(
        trigger: Arc<str>,
        caller: Caller,
        observer: Arc<dyn TriggerObserver>,
        mut orders: watch::Receiver<Orders>,
        seen: Arc<Mutex<Seen>>,
        kept: Kept,
    ) -> Self {
        let Orders { settings, draining, asked } = orders.borrow_and_update().clone();
        Self {
            trigger,
            caller,
            observer,
            orders,
            seen,
            kept,
            settings,
            draining,
            asked,
            call: None,
            queued: None,
            told: None,
            untold: 0,
        }
    }

    /// Goes on until it was told to end and what runs has ended. `done`: where a daemon before had been.
    pub(super) async fn drive(mut self, done: Option<SystemTime>) {
        let mut rhythm = self.begin(done);
        while !(self.draining && self.call.is_none() && self.kept.is_quiet()) {
            self.seen.lock().next = rhythm.next().filter(|_| !self.draining);
            tokio::select! {
                biased;
                heard = self.orders.changed() => match heard {
                    Ok(()) => self.obey(&mut rhythm),
                    Err(_) => return,
                },
                () = sleep_until(rhythm.wake().into()), if !self.draining => self.look(&mut rhythm),
                reply = end_of(&mut self.call) => self.ended(&reply),
                () = self.kept.turn() => {}
            }
        }
    }

    fn begin(&mut self, done: Option<SystemTime>) -> Rhythm {
        let (now, manner) = (clocks(), manner(&self.settings));
        let (rhythm, mut due) = match done {
            Some(done) => Rhythm::from(done, manner, now, rand::random()),
            None => (Rhythm::from_now(manner, now, rand::random()), Due::default()),
        };
        if self.settings.run_on_start {
            due.call = Some(now.wall);
        }
        self.kept.keep(self.settings.catch_up.then(|| rhythm.done()));
        self.meet(due);
        rhythm
    }

    fn look(&mut self, rhythm: &mut Rhythm) {
        let due = rhythm.look(manner(&self.settings), clocks(), rand::random());
        if due != Due::default() && self.settings.catch_up {
            self.kept.keep(Some(rhythm.done()));
        }
        self.meet(due);
    }

    fn obey(&mut self, rhythm: &mut Rhythm) {
        let Orders { settings, draining, asked } = self.orders.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.settings, settings);
        if before.when != self.settings.when {
            *rhythm = Rhythm::from_now(manner(&self.settings), clocks(), rand::random());
        } else if before.jitter != self.settings.jitter {
            rhythm.shake(manner(&self.settings), rand::random());
        }
        if before.catch_up != self.settings.catch_up || (before.when != self.settings.when && self.settings.catch_up) {
            self.kept.keep(self.settings.catch_up.then(|| rhythm.done()));
        }
        self.seen.lock().settings = Arc::clone(&self.settings);
        if draining {
            self.draining = true;
            self.queued = None;
            self.kept.hurry();
        }
        let before = std::mem::replace(&mut self.asked, asked);
        // Several may have asked since that was last looked at: each is a time of its own.
        let times = if self.draining { 0 } else { asked - before };
        for _ in 0..times {
            self.meet(Due { call: Some(SystemTime::now()), ..Due::default() });
        }
    }

    /// Does what a look at the clocks asked for.
    fn meet(&mut self, due: Due) {
        if due.missed > 0 {
            self.seen.lock().missed += due.missed;
        }
        if due.told {
            let notice = Notice::Missed { times: due.missed, caught_up: due.caught_up };
            self.observer.noticed(&self.trigger, notice);
        }
        let Some(should) = due.call else { return };
        match self.settings.overlap {
            _ if self.call.is_none() => self.call(should),
            Overlap::Queue if self.queued.is_none() => self.queued = Some(should),
            Overlap::Queue | Overlap::Skip => self.seen.lock().skipped += 1,
        }
    }

    fn call(&mut self, should: SystemTime) {
        let (caller, settings, now) = (self.caller.clone(), Arc::clone(&self.settings), SystemTime::now());
        let payload = Bytes::copy_from_slice(settings.payload.as_bytes());
        self.call = Some(Box::pin(async move { caller.call_target(&settings.target, payload).await }));
        let mut seen = self.seen.lock();
        seen.last = Some(now);
        seen.late = now.duration_since(should).unwrap_or_default();
    }

    fn ended(&mut self, reply: &CallReply) {
        self.call = None;
        if let Err(failure) = &reply.outcome {
            self.tell(failure);
        }
        if let Some(should) = self.queued.take() {
            self.call(should);
        }
    }

    fn tell(&mut self, failure: &CallFailure) {
        self.untold += 1;
        if self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        self.told = Some(Instant::now());
        let failures = std::mem::take(&mut self.untold);
        let (trigger, module, error) = (&*self.trigger, &*self.settings.target.module, chain(failure));
        tracing::warn!(
            trigger,
            module,
            operation = self.settings.target.operation,
            failures,
            error,
            "scheduled call failed"
        );
    }
}
