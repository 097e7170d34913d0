//! Eight clients that call at random, and what they saw.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    cast::{Player, Role},
    client::{Client, Response},
    harness::pause_for,
};

/// How many call at one time.
pub(crate) const CALLERS: u64 = 8;

/// What an answer may take beyond the deadline of its call. The deadline is the daemon's, from acceptance to the end of
/// the guest, which follows within some milliseconds; what comes on top is not under it: to connect, to read the request,
/// to carry an answer of a megabyte, and above all that eight callers, the daemon and whatever else runs share two cores.
/// A call that no deadline ends takes for ever, so the width does not hide one.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Calls by module and outcome, as the daemon must have counted them: with those that modules made.
    pub(crate) counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Calls that were made, and answered.
    pub(crate) calls: u64,
    /// Calls that began after the daemon was told to stop, and found it gone.
    pub(crate) unheard: u64,
    /// By how much the slowest answer came after the deadline of its call.
    pub(crate) latest: Duration,
    /// The slowest answer of a module that behaves well.
    pub(crate) slowest_good: Duration,
    /// What should not have been.
    pub(crate) wrong: Vec<String>,
}

impl Seen {
    pub(crate) fn count(&self, outcome: &str) -> u64 {
        self.counts.values().filter_map(|module| module.get(outcome)).sum()
    }

    fn add(&mut self, module: &str, kind: &str) {
        let outcome = match kind {
            "payload-too-large" | "response-too-large" => "too_large".to_owned(),
            other => other.replace('-', "_"),
        };
        *self.counts.entry(module.to_owned()).or_default().entry(outcome).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        for (module, outcomes) in other.counts {
            let own = self.counts.entry(module).or_default();
            outcomes.into_iter().for_each(|(outcome, count)| *own.entry(outcome).or_default() += count);
        }
        self.calls += other.calls;
        self.unheard += other.unheard;
        self.latest = self.latest.max(other.latest);
        self.slowest_good = self.slowest_good.max(other.slowest_good);
        self.wrong.extend(other.wrong);
    }
}

/// The callers at work.
pub(crate) struct Callers {
    threads: Vec<JoinHandle<Seen>>,
    over: Arc<AtomicBool>,
    /// Set just before the daemon is told to stop.
    stopping: Arc<AtomicBool>,
}

impl Callers {
    pub(crate) fn start(client: &Client, players: &Arc<Vec<Player>>, seed: u64) -> Self {
        let (over, stopping) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let start = |n: u64| {
            let caller = Caller {
                client: client.clone(),
                players: Arc::clone(players),
                over: Arc::clone(&over),
                stopping: Arc::clone(&stopping),
                seen: Seen::default(),
            };
            thread::spawn(move || caller.run(StdRng::seed_from_u64(seed.wrapping_add(n))))
        };
        let threads = (1..=CALLERS).map(start).collect();
        Self { threads, over, stopping }
    }

    /// From now on refusals because the daemon stops are right, and end a caller.
    pub(crate) fn expect_stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    /// Waits for their last answers.
    pub(crate) fn join(self) -> Seen {
        self.over.store(true, SeqCst);
        let mut seen = Seen::default();
        for thread in self.threads {
            seen.merge(thread.join().unwrap());
        }
        seen
    }
}

struct Caller {
    client: Client,
    players: Arc<Vec<Player>>,
    over: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    seen: Seen,
}

impl Caller {
    fn run(mut self, mut random: StdRng) -> Seen {
        let players = Arc::clone(&self.players);
        while !self.over.load(SeqCst) {
            let player = &players[random.random_range(0..players.len())];
            if !self.call(player, &mut random) {
                break;
            }
        }
        self.seen
    }

    /// Makes one call; `false` when the daemon takes no more.
    fn call(&mut self, player: &Player, random: &mut StdRng) -> bool {
        let line = player.role.line(&player.name, random);
        // Looked at before: a call that began before the stop is one that must be answered.
        let (stopping, began) = (self.stopping.load(SeqCst), Instant::now());
        let answer = self.client.try_call(&player.name, &line.operation, &line.payload);
        let took = began.elapsed();
        let what = format!("{} {} after {took:?}", player.name, line.operation);
        match answer {
            Ok(answer) => {
                let good = !line.echoes || answer.status != 200 || answer.body == line.payload;
                if !good {
                    self.seen.wrong.push(format!("{what}: another answer than its payload"));
                }
                self.answered(player, &answer, took, &what)
            }
            Err(_gone) if stopping => {
                self.seen.unheard += 1;
                false
            }
            Err(error) => self.lost(&what, &error),
        }
    }

    fn answered(&mut self, player: &Player, answer: &Response, took: Duration, what: &str) -> bool {
        let kind = answer.kind();
        let refused = kind == "shutting-down";
        self.seen.calls += 1;
        self.seen.add(&player.name, &kind);
        if let (Role::Ask(inner), "ok") = (player.role, kind.as_str()) {
            self.seen.add(inner, "ok");
        }
        if player.role.behaves() {
            self.seen.slowest_good = self.seen.slowest_good.max(took);
        }
        let late = took.saturating_sub(player.role.deadline());
        self.seen.latest = self.seen.latest.max(late);
        let expected = if refused { self.stopping.load(SeqCst) } else { player.role.allows(&kind) };
        if !expected || late > SLACK {
            self.seen.wrong.push(format!("{what}: {kind}: {}", answer.text().chars().take(300).collect::<String>()));
        }
        if kind == "failed" || kind == "stopped" {
            // A refusal is quick; calls that run shall not be the exception.
            pause_for(Duration::from_millis(5));
        }
        !refused
    }

    fn lost(&mut self, what: &str, error: &io::Error) -> bool {
        self.seen.wrong.push(format!("{what}: no answer: {error}"));
        false
    }
}
