//! What was promised, held against what was seen. Everything is judged before anything fails, so that one run tells all.

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    time::{Duration, Instant},
};

use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::Status,
};

use crate::{
    callers::Seen,
    cast::{GRACE, Player, Role, key},
    harness::Daemon,
    witness::{Needs, median, percentiles},
};

/// What the control socket may take for an answer.
const PROMPT: Duration = Duration::from_millis(50);

/// How much longer than the yardstick's an answer of the daemon may wait for a core: its threads have the same way to go,
/// but stand in line behind its own workers and read the requests of the callers, too. Seen: twice as long, with seven
/// threads for each two cores, and those of the daemon ready to run all the while.
const UNLUCKY: u32 = 3;

/// Descriptors of connections that just begin or end.
const CONNECTIONS: u64 = 2;

/// Outcomes that end an instance.
const EXITS: [&str; 5] = ["trapped", "deadline_exceeded", "limit_exceeded", "exited", "host_panicked"];

/// What there is to say about a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    seed: u64,
    figures: Vec<String>,
    wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, figures: vec![format!("seed {seed}")], wrong: Vec::new() }
    }

    pub(crate) fn note(&mut self, figure: String) {
        self.figures.push(figure);
    }

    fn check(&mut self, right: bool, wrong: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(wrong());
        }
    }

    pub(crate) fn figures(&self) -> String {
        self.figures.join("\n") + "\n"
    }

    /// Fails if anything was wrong.
    pub(crate) fn give(self) {
        #[allow(clippy::print_stdout, reason = "the figures of the run, which runners show when asked")]
        {
            println!("{}", self.figures());
        }
        let first: Vec<_> = self.wrong.iter().take(40).map(String::as_str).collect();
        assert!(
            self.wrong.is_empty(),
            "{} promises broken, with WAPCD_TEST_SEED={}:\n{}\n{}",
            self.wrong.len(),
            self.seed,
            first.join("\n"),
            self.figures()
        );
    }

    /// Every call ended in one answer that it may have, in time, and everything that can happen did.
    pub(crate) fn calls(&mut self, seen: &Seen, time: Duration) {
        let mut outcomes = BTreeMap::<&str, u64>::new();
        for (outcome, count) in seen.counts.values().flatten() {
            *outcomes.entry(outcome).or_default() += count;
        }
        self.note(format!("{} calls in {:.1} s: {outcomes:?}", seen.calls, time.as_secs_f64()));
        self.note(format!("latest after its deadline {:?}, slowest good {:?}", seen.latest, seen.slowest_good));
        self.wrong.extend(seen.wrong.iter().cloned());
        for outcome in ["ok", "guest_error", "trapped", "exited", "deadline_exceeded", "limit_exceeded", "too_large"] {
            self.check(outcomes.contains_key(outcome), || format!("no call ended in `{outcome}`: no chaos"));
        }
        for outcome in ["failed", "stopped"] {
            self.check(outcomes.contains_key(outcome), || format!("no call was refused as `{outcome}`: no chaos"));
        }
    }

    /// What the status says of each module's calls is what their callers saw.
    pub(crate) fn counters(&mut self, status: &Status, seen: &Seen, players: &[Player]) {
        for (module, player) in status.modules.iter().zip(players) {
            let counted: BTreeMap<_, _> = module.calls.iter().filter(|(_, n)| **n > 0).collect();
            let expected: BTreeMap<_, _> = seen.counts.get(&player.name).into_iter().flatten().collect();
            self.check(counted == expected, || format!("{}: {counted:?} counted, {expected:?} seen", module.name));
            let calm = !player.role.behaves() || player.role == Role::Exposed || module.restarts == 0;
            self.check(calm, || format!("{} behaves and was restarted: {:?}", module.name, module.last_exit));
        }
        let total = |name: &str| status.bindings.iter().find(|binding| binding.name == name).map(|b| b.restarts);
        self.check(total("faulty").is_some_and(|restarts| restarts > 0), || "the binding never panicked".to_owned());
        for calm in ["memory", "durable"] {
            self.check(total(calm) == Some(0), || format!("binding `{calm}` was restarted"));
        }
        let restarts: u64 = status.modules.iter().map(|module| module.restarts).sum();
        self.note(format!("{restarts} restarts of modules, {} of the binding", total("faulty").unwrap_or(0)));
    }

    /// A number that was incremented once a call is as great as the number of calls.
    pub(crate) fn numbers(&mut self, daemon: &Daemon, seen: &Seen, players: &[Player]) {
        for player in players {
            let Role::Count(binding) = player.role else { continue };
            let answer = daemon.call(&player.name, &format!("host/{binding}//increment"), &key(&player.name)).text();
            let oks = seen.counts.get(&player.name).and_then(|counts| counts.get("ok")).copied().unwrap_or_default();
            let expected = format!("{{\"value\":{}}}", oks + 1);
            self.check(answer == expected, || format!("{}: {answer} after {oks} calls", player.name));
        }
    }

    /// The control socket answered in time. Where cores are short a server without any work is late as well: what it was
    /// late, at the same share of its answers, is what the machine is to blame for, and is granted.
    pub(crate) fn control_socket(&mut self, status: &[Duration], yardstick: &[Duration]) {
        let late = status.iter().filter(|took| **took > PROMPT).count();
        let (times, machine) = (percentiles(status), percentiles(yardstick));
        self.note(format!("status: {} answers, p50/p99/p99.9/max {times:?}, {late} over {PROMPT:?}", status.len()));
        self.note(format!("a server without work: {} answers, p50/p99/p99.9/max {machine:?}", yardstick.len()));
        self.check(times[0] <= PROMPT, || format!("half of the answers of the control socket took {:?}", times[0]));
        for (took, machine) in times.into_iter().zip(machine) {
            let granted = PROMPT + machine * UNLUCKY;
            self.check(took <= granted, || format!("an answer of the control socket took {took:?}, not {granted:?}"));
        }
    }

    /// Memory, threads and descriptors at the end are those after a tenth of the time.
    pub(crate) fn process(&mut self, process: &[Needs], began: Instant, span: Duration, quiet: Needs) {
        let of = |from: f64, to: f64, what: fn(&Needs) -> u64| {
            let window = began + span.mul_f64(from)..began + span.mul_f64(to);
            let seen: Vec<u64> = process.iter().filter(|needs| window.contains(&needs.at)).map(what).collect();
            (median(seen.clone()), seen.into_iter().max().unwrap_or_default())
        };
        let memory = |from, to| of(from, to, |needs| needs.memory).0;
        let (tenth, half, end) = (memory(0.08, 0.12), memory(0.48, 0.52), memory(0.96, 1.0));
        self.note(format!(
            "memory in KiB: {tenth} at a tenth, {half} at half, {end} at the end, {} after",
            quiet.memory
        ));
        for (when, memory) in [("at the end", end), ("after", quiet.memory)] {
            self.check(memory * 10 <= tenth * 11, || format!("{memory} KiB {when}, {tenth} KiB at a tenth"));
        }
        let (threads, threads_end) = (of(0.0, 0.1, |n| n.threads).1, of(0.9, 1.0, |n| n.threads).1);
        let (files, files_end) = (of(0.0, 0.1, |n| n.descriptors).0, of(0.9, 1.0, |n| n.descriptors).0);
        self.note(format!("at most {threads} threads, later {threads_end}; {files} descriptors, later {files_end}"));
        self.note(format!("after: {} threads, {} descriptors", quiet.threads, quiet.descriptors));
        self.check(threads_end <= threads, || format!("{threads_end} threads at the end, {threads} before"));
        self.check(files_end <= files + CONNECTIONS, || format!("{files_end} descriptors at the end, {files} before"));
    }

    /// The daemon drained in time, and every call that it had heard was answered.
    pub(crate) fn end(&mut self, exit: ExitStatus, drained: Duration, seen: &Seen, long: (u16, String)) {
        let refused = seen.count("shutting_down");
        self.note(format!(
            "drained in {drained:?}; {} calls around it, {refused} refused, {} after it",
            seen.calls, seen.unheard
        ));
        self.wrong.extend(seen.wrong.iter().map(|wrong| format!("while it stopped: {wrong}")));
        self.check(exit.code() == Some(0), || format!("exit after SIGTERM: {exit:?}"));
        self.check(drained <= GRACE, || format!("the drain took {drained:?}"));
        self.check(long == (200, "long".to_owned()), || format!("the long call at the stop: {long:?}"));
        self.check(refused > 0, || "nobody called while the daemon stopped".to_owned());
    }

    /// No event is missing, and each instance's end that a caller saw is one.
    pub(crate) fn events(&mut self, events: Vec<Result<Event, String>>, seen: [&Seen; 2], players: &[Player]) {
        let (events, lost): (Vec<_>, Vec<_>) = events.into_iter().partition(Result::is_ok);
        self.wrong.extend(lost.into_iter().filter_map(Result::err).map(|line| format!("in the events: {line}")));
        let events: Vec<Event> = events.into_iter().flatten().collect();
        let gaps = events.windows(2).filter(|two| two[1].seq != two[0].seq + 1).count();
        self.check(gaps == 0 && events.first().is_some_and(|first| first.seq == 1), || {
            format!("{gaps} gaps in events")
        });
        let mut exits = BTreeMap::<&str, u64>::new();
        let mut changes = BTreeMap::<String, u64>::new();
        for event in &events {
            match (&event.subject, &event.what) {
                (Subject::Module(name), What::Exited { .. }) => *exits.entry(name).or_default() += 1,
                (Subject::Module(_), What::StateChanged { from, to, .. }) => {
                    *changes.entry(format!("{from} to {to}")).or_default() += 1;
                }
                _ => {}
            }
        }
        for player in players {
            let of = |seen: &&Seen| {
                seen.counts
                    .get(&player.name)
                    .map_or(0, |counts| EXITS.iter().filter_map(|exit| counts.get(*exit)).sum::<u64>())
            };
            let told = exits.get(player.name.as_str()).copied().unwrap_or_default();
            let met: u64 = seen.iter().map(of).sum();
            self.check(told == met, || format!("{}: {told} exits in events, {met} met by callers", player.name));
        }
        self.note(format!("{} events; states of modules: {changes:?}", events.len()));
        for change in ["running to backoff", "running to failed", "failed to starting", "running to stopped"] {
            self.check(changes.contains_key(change), || format!("no module went from {change}: no chaos"));
        }
    }

    /// The only panics are those that were asked for.
    pub(crate) fn log(&mut self, log: &str) {
        let panicked = format!("\"target\":\"{}\"", wapcd::logging::PANIC_TARGET);
        let told = |line: &&str| line.contains(&panicked) || line.contains("panicked at");
        let ours = |line: &&str| told(line) && !line.contains("src/bindings/faulty/");
        let panics: Vec<String> = log.lines().filter(ours).map(str::to_owned).collect();
        self.wrong.extend(panics);
        self.note(format!("{} lines of log", log.lines().count()));
    }
}
