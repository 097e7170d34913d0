//! The loop that knows which files there are and what runs.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    inbox::{Entry, Listing},
    news::Told,
    one::{self, Outcome, blocking},
    rest,
    shared::Shared,
    waiting::{MOST, Memory, Waiting},
};
use crate::{config::Backoff, files::fingerprint::Fingerprint, host::chain};

/// The wait for a module that takes no calls, for a directory that is gone, and for a file that cannot be moved away. A module
/// that is started again has its files within seconds. Nobody else waits for the same, so nothing is left to chance.
const WAITS: Backoff =
    Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(5), factor: 2.0, jitter: 0.0 };

/// Files that cannot be moved away before no further ones are begun: each is a call that had no visible effect yet.
const MOST_STUCK: usize = 64;

/// Between two listings of everything: ten thousand files take a few of a hundredth of a second.
const LISTING_GAP: Duration = Duration::from_millis(200);

/// Names of which was told that they are never taken; beyond these they are told again.
const MOST_TOLD: usize = 1024;

/// What the loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Take files.
    Work,
    /// Take nothing new, and end when nothing runs.
    Drain,
}

type Ended = (Arc<OsStr>, Memory, Outcome);

struct Work {
    shared: Arc<Shared>,
    waiting: Waiting,
    running: JoinSet<Ended>,
    /// When everything is to be listed.
    list_at: Option<Instant>,
    listed: Instant,
    /// How often in a row the module took no call, and until when it is left alone.
    refusals: u32,
    held: Option<Instant>,
    /// How often in a row the directory could not be looked into.
    blind: u32,
    /// What is never taken, and was told.
    told: HashSet<OsString>,
}

/// Works until it is told to drain and nothing runs.
pub(super) async fn work(shared: Arc<Shared>, mut orders: watch::Receiver<Order>) {
    let now = Instant::now();
    let mut work = Work {
        shared,
        waiting: Waiting::default(),
        running: JoinSet::new(),
        list_at: Some(now),
        listed: now,
        refusals: 0,
        held: None,
        blind: 0,
        told: HashSet::new(),
    };
    loop {
        // Whoever gave the orders is gone where there are none any more.
        let drains = *orders.borrow() == Order::Drain || orders.has_changed().is_err();
        if !drains {
            work.look().await;
            work.begin();
        } else if work.running.is_empty() {
            return;
        }
        work.shared.waiting.store(work.waiting.count(), Relaxed);
        let next = work.next().filter(|_| !drains);
        let news = work.shared.news.clone();
        tokio::select! {
            ended = work.running.join_next(), if !work.running.is_empty() => work.ended(ended),
            changed = orders.changed(), if !drains => drop(changed),
            () = news.came(), if !drains => {}
            () = until(next), if next.is_some() => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn wait(times: u32) -> Duration {
    WAITS.wait(times, 0.0)
}

impl Work {
    /// Looks at what there is to see.
    async fn look(&mut self) {
        let Told { names, all } = self.shared.news.take();
        let now = Instant::now();
        if all || self.waiting.has_room_for_more() {
            let soonest = self.listed + LISTING_GAP;
            self.list_at = Some(self.list_at.map_or(soonest, |at| at.min(soonest)));
        }
        if self.list_at.is_some_and(|at| at <= now) {
            self.list().await;
        } else if !names.is_empty() {
            self.look_at(names).await;
        }
        self.waiting.wake(Instant::now());
    }

    async fn list(&mut self) {
        let shared = Arc::clone(&self.shared);
        match blocking(move || shared.inbox.list(MOST)).await {
            Some(Ok(listing)) => {
                self.sees();
                self.take_in(listing);
            }
            Some(Err(error)) => self.is_blind(&chain(&error)),
            None => self.is_blind("looking into it panicked"),
        }
        self.listed = Instant::now();
    }

    fn take_in(&mut self, listing: Listing) {
        let names: HashSet<&OsStr> = listing.files.iter().map(|(name, _)| &**name).collect();
        self.waiting.listed(&names, listing.beyond);
        for (name, state) in listing.files {
            self.found(name, &state);
        }
        for (name, what) in listing.others {
            self.is_other(name, what);
        }
    }

    async fn look_at(&mut self, names: HashSet<OsString>) {
        let shared = Arc::clone(&self.shared);
        let looked = blocking(move || shared.inbox.look(names)).await;
        let Some(Ok(entries)) = looked else {
            // The listing says why.
            self.list_at = Some(self.list_at.map_or(Instant::now(), |at| at.min(Instant::now() + LISTING_GAP)));
            return;
        };
        for (name, entry) in entries {
            match entry {
                Entry::File(state) => self.found(name, &state),
                Entry::Other(what) => self.is_other(name, what),
                Entry::Nothing => {
                    self.told.remove(&name);
                    self.waiting.gone(&name);
                }
            }
        }
    }

    fn found(&mut self, name: OsString, state: &Fingerprint) {
        self.told.remove(&name);
        let now = Instant::now();
        let left = rest::left(state, None, (now, SystemTime::now()), **self.shared.settle.load());
        self.waiting.found(name, state, left, now);
    }

    fn is_other(&mut self, name: OsString, what: &'static str) {
        if self.told.len() >= MOST_TOLD {
            self.told.clear();
        }
        let shown = name.to_string_lossy().into_owned();
        if self.told.insert(name) {
            self.shared.hindered(shown, format!("it is {what}, and only regular files are taken"));
        }
    }

    fn sees(&mut self) {
        if std::mem::take(&mut self.blind) > 0 {
            let directory = self.shared.inbox.path.display();
            tracing::info!(trigger = &*self.shared.name, %directory, "inbox is there again");
        }
        self.list_at = None;
    }

    fn is_blind(&mut self, why: &str) {
        self.list_at = Some(Instant::now() + wait(self.blind));
        self.blind = self.blind.saturating_add(1);
        self.waiting.clear();
        if self.blind == 1 {
            let what = self.shared.inbox.path.display().to_string();
            self.shared.hindered(what, format!("the inbox cannot be looked into, which is tried again: {why}"));
        }
    }

    /// Begins with as many files as there may be at once; with one alone, where the module took none the last time.
    fn begin(&mut self) {
        let now = Instant::now();
        // A time that has passed is no time to wait for, whatever else is waited for.
        self.held = self.held.filter(|until| *until > now);
        if self.held.is_some() || self.blind > 0 {
            return;
        }
        let most = if self.refusals > 0 { 1 } else { self.shared.settings.load().concurrency as usize };
        while self.running.len() < most {
            // With too many that are only to be moved away these alone are tried: else nothing would ever be again.
            let taken = if self.waiting.stuck() < MOST_STUCK { self.waiting.take() } else { self.waiting.take_stuck() };
            let Some((name, mut memory)) = taken else { return };
            let (shared, pause) = (Arc::clone(&self.shared), wait(self.refusals));
            self.running.spawn(async move {
                let processed = AssertUnwindSafe(one::process(&shared, &name, &mut memory, pause)).catch_unwind().await;
                // The log has the panic, and the file another chance.
                let outcome = processed.unwrap_or(Outcome::Again(WAITS.max));
                (name, memory, outcome)
            });
        }
    }

    fn ended(&mut self, ended: Option<Result<Ended, JoinError>>) {
        let Some(Ok((name, memory, outcome))) = ended else { return };
        let now = Instant::now();
        if !matches!(outcome, Outcome::Unavailable(_) | Outcome::Again(_) | Outcome::Blind) {
            self.refusals = 0;
        }
        match outcome {
            Outcome::Over => self.forget(&name),
            Outcome::Other(what) => {
                self.forget(&name);
                self.is_other(name.to_os_string(), what);
            }
            Outcome::Failed(after) | Outcome::Again(after) => self.waiting.back(name, memory, Some(now + after)),
            Outcome::Unavailable(after) => {
                self.refusals = self.refusals.saturating_add(1);
                self.held = Some(now + after.clamp(WAITS.initial, WAITS.max));
                self.waiting.back(name, memory, None);
            }
            Outcome::Stuck(why) => {
                if memory.stuck == 1 {
                    let why = format!("it is processed and cannot be moved away, which is tried again: {why}");
                    self.shared.hindered(name.to_string_lossy().into_owned(), why);
                }
                let after = wait(memory.stuck);
                self.waiting.back(name, memory, Some(now + after));
            }
            Outcome::Blind => {
                self.waiting.back(name, memory, Some(now + WAITS.max));
                // If it is the directory, the listing says so.
                self.list_at = Some(now);
            }
        }
    }

    fn forget(&mut self, name: &Arc<OsStr>) {
        if self.waiting.forget(name) {
            self.shared.news.name(name.to_os_string());
        }
    }

    /// When there is something to do without being told.
    fn next(&self) -> Option<Instant> {
        let later = self.waiting.next();
        [self.held, self.list_at, later].into_iter().flatten().min()
    }
}
