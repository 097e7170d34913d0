//! A worker that does not turn over, held from outside or blocked from inside: it is named, the other one answers, and no
//! call is answered twice or never.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

#[cfg(feature = "fault-injection")]
use rustix::process::Signal;
use wapcd::supervisor::{
    events::{Subject, What},
    status::WorkerState,
};

use crate::{
    client::Client,
    facts::{Metrics, Tally, add, assert_metrics_of, outcome},
    harness::{Daemon, eventually, module},
    held::Held,
};

/// How soon the control socket answers, whatever the workers do: long before a worker is known to stall.
const PROMPT: Duration = Duration::from_millis(500);

/// Time of every call of the modules below.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Until a hang is noticed, a second passes, and up to another until the next look. What has a deadline is given up then.
/// The rest is for a loaded machine.
const NOTICED: Duration = Duration::from_secs(10);

/// For how long native code blocks a worker: longer than all that is looked at meanwhile takes.
const BLOCKED: Duration = Duration::from_secs(20);

/// Two modules with one instance each, one on each worker, and one with an instance on both.
fn toml(binding: &str, links: &str) -> String {
    format!(
        "{binding}[defaults.limits]\ncall_timeout = \"{}ms\"\n{}{}{}",
        CALL_TIMEOUT.as_millis(),
        module("here", links),
        module("there", links),
        module("both", "instances = \"per-worker\"")
    )
}

fn worker_of(daemon: &Daemon, name: &str) -> usize {
    daemon.module(name).instances[0].worker
}

/// A call on a thread of its own, with the time that it took.
fn send(client: &Client, name: &'static str, operation: &'static str) -> JoinHandle<(String, Duration)> {
    let client = client.clone();
    thread::spawn(move || {
        let start = Instant::now();
        let response = client.call(name, operation, b"");
        (outcome(&response), start.elapsed())
    })
}

/// Looks at a daemon one of whose workers stalls, until that is over. `calls` are those to `here` under way, `release` ends
/// the stall, or waits for its end.
fn prove(daemon: &Daemon, calls: Vec<JoinHandle<(String, Duration)>>, release: impl FnOnce()) -> Tally {
    let (stalled, client) = (worker_of(daemon, "here"), daemon.client());
    assert_ne!(stalled, worker_of(daemon, "there"), "the modules share a worker");
    let calls: Vec<_> = calls.into_iter().chain((0..4).map(|_| send(&client, "here", "echo"))).collect();
    // Also before anyone has noticed.
    assert_prompt(daemon, stalled);
    for _ in 0..20 {
        assert_eq!(daemon.call("there", "echo", b"on").text(), "on");
    }
    eventually("the stall is noticed", || daemon.is_stalled(stalled));
    let status = daemon.status();
    let (own, other) = (&status.workers[stalled], &status.workers[1 - stalled]);
    assert!(own.stalled_s.is_some_and(|time| time > 1.0 && time < BLOCKED.as_secs_f64()), "{own:?}");
    assert_eq!((other.state, other.stalled_s, other.replaced), (WorkerState::Running, None, 0));
    assert_prompt(daemon, stalled);
    for (worker, expected) in [(stalled, 1.0), (1 - stalled, 0.0)] {
        let metrics = Metrics::of(daemon);
        assert_eq!(metrics.value("wapcd_worker_stalled", &[("worker", &worker.to_string())]), expected);
    }
    for _ in 0..20 {
        assert_eq!(daemon.call("both", "echo", b"on").text(), "on", "its other instance could answer");
        assert_eq!(daemon.call("there", "echo", b"on").text(), "on");
    }
    let late = send(&client, "here", "echo");
    let mut tally = Tally::new();
    for call in calls.into_iter().chain([late]) {
        let (kind, took) = call.join().unwrap();
        assert!(kind == "lost" || kind == "expired", "{kind}");
        assert!(took < CALL_TIMEOUT + NOTICED, "{kind} after {took:?}");
        *tally.entry(kind).or_default() += 1;
    }
    assert!(daemon.is_stalled(stalled), "the stall ended before the calls did");
    release();
    eventually("the worker turns over", || !daemon.is_stalled(stalled));
    let events = daemon.events_of(&Subject::Worker(stalled));
    let [first, second] = events.as_slice() else { panic!("{events:?}") };
    assert!(matches!(first.what, What::WorkerStalled { stalled_s } if stalled_s > 1.0), "{first:?}");
    assert!(matches!(second.what, What::WorkerRecovered { stalled_s } if stalled_s > 1.0), "{second:?}");
    assert_eq!(daemon.line_of(first)["message"], "worker stalled");
    assert_eq!(daemon.line_of(second)["worker"], stalled);
    assert!(daemon.events_of(&Subject::Worker(1 - stalled)).is_empty());
    assert_eq!(Metrics::of(daemon).value("wapcd_worker_stalled", &[("worker", &stalled.to_string())]), 0.0);
    tally
}

/// The status answers at once, and has the worker's time once it is known.
fn assert_prompt(daemon: &Daemon, worker: usize) {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        assert!(daemon.status().workers.len() > worker);
        start.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < PROMPT, "{best:?}");
}

/// Everything answers again, and what was counted is what callers saw.
fn assert_whole(daemon: &Daemon, mut of_here: Tally) {
    eventually("nothing runs any more", || {
        let modules = daemon.status().modules;
        modules.iter().all(|module| (module.queued, module.in_flight) == (0, 0) && !module.instances.is_empty())
    });
    for name in ["here", "there", "both"] {
        for _ in 0..5 {
            assert_eq!(daemon.call(name, "echo", b"again").text(), "again", "{name}");
        }
    }
    add(&mut of_here, Tally::from([("ok".to_owned(), 5)]));
    let metrics = Metrics::of(daemon);
    for (name, seen) in [("here", of_here), ("there", ok(45)), ("both", ok(25))] {
        let status = daemon.module(name);
        assert_eq!(crate::facts::counted(&status.calls), seen, "{name}");
        assert_metrics_of(&status, &metrics);
    }
}

fn ok(calls: u64) -> Tally {
    Tally::from([("ok".to_owned(), calls)])
}

#[test]
fn a_worker_whose_thread_is_held_is_named_and_keeps_nobody_waiting_but_its_own_callers() {
    let daemon = Daemon::start(&toml("", ""));
    let running = send(&daemon.client(), "here", "wait/2500/echo");
    eventually("the call runs", || daemon.module("here").in_flight == 1);
    let held = Held::worker(&daemon, worker_of(&daemon, "here"));
    let seen = prove(&daemon, vec![running], || drop(held));
    assert!(seen.get("lost").is_some_and(|lost| *lost >= 1), "the call that ran was lost: {seen:?}");
    assert_whole(&daemon, seen);
}

#[test]
fn a_worker_may_be_held_again_and_again_also_while_nothing_runs_on_it() {
    let daemon = Daemon::start(&toml("", ""));
    let worker = worker_of(&daemon, "here");
    let ended = || daemon.events_of(&Subject::Worker(worker)).len();
    for round in 1..=2 {
        let held = Held::worker(&daemon, worker);
        eventually("the stall is noticed", || daemon.is_stalled(worker));
        drop(held);
        eventually("the worker turns over", || !daemon.is_stalled(worker));
        assert_eq!(ended(), 2 * round);
        assert_eq!(daemon.call("here", "echo", b"back").text(), "back");
    }
    let status = daemon.module("here");
    assert_eq!((status.restarts, status.last_exit), (0, None), "a stall alone ends no instance");
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_worker_that_native_code_blocks_is_named_and_keeps_nobody_waiting_but_its_own_callers() {
    let daemon = Daemon::start(&toml("[bindings.faulty]\ntype = \"faulty\"\n", "links = [\"faulty\"]"));
    let client = daemon.client();
    let blocking = thread::spawn(move || {
        let start = Instant::now();
        let response = client.call("here", "host/faulty//block", BLOCKED.as_millis().to_string().as_bytes());
        (outcome(&response), start.elapsed())
    });
    eventually("the call runs", || daemon.module("here").in_flight == 1);
    let seen = prove(&daemon, vec![blocking], || {});
    assert!(seen.get("lost").is_some_and(|lost| *lost >= 1), "the call that blocks was lost: {seen:?}");
    assert_whole(&daemon, seen);
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_stalled_worker_that_ends_when_it_is_let_go_is_replaced_and_stalled_no_more() {
    let daemon = Daemon::start(&toml("", ""));
    let worker = worker_of(&daemon, "here");
    let held = Held::worker(&daemon, worker);
    eventually("the stall is noticed", || daemon.is_stalled(worker));
    let end = daemon.request("POST", &format!("/v1/workers/{worker}/end"), "", b"").unwrap();
    assert_eq!(end.status, 200);
    assert!(daemon.is_stalled(worker));
    drop(held);
    eventually("the worker is replaced", || daemon.status().workers[worker].replaced == 1);
    assert!(!daemon.is_stalled(worker));
    for name in ["here", "there", "both"] {
        assert_eq!(daemon.call(name, "echo", b"back").text(), "back", "{name}");
    }
    let events = daemon.events_of(&Subject::Worker(worker));
    assert!(matches!(events[0].what, What::WorkerStalled { .. }), "{events:?}");
    assert!(matches!(events[events.len() - 1].what, What::WorkerReplaced { replaced: 1 }), "{events:?}");
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_blocked_worker_keeps_neither_its_callers_nor_the_daemon_from_their_end() {
    let toml = toml(
        "[daemon]\nworkers = 2\nshutdown_grace = \"1s\"\n[bindings.faulty]\ntype = \"faulty\"\n",
        "links = [\"faulty\"]",
    );
    let mut daemon = Daemon::start(&toml);
    let client = daemon.client();
    let blocking = thread::spawn(move || outcome(&client.call("here", "host/faulty//block", b"60000")));
    eventually("the call runs", || daemon.module("here").in_flight == 1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "long before the worker turns over");
    assert_eq!(blocking.join().unwrap(), "lost");
}
