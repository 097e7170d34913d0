//! A worker whose thread ends while calls run: what lived on it is started again on the thread that takes its place, each
//! call ends once, and the other worker notices nothing.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use wapcd::supervisor::{
    events::{Subject, What},
    status::{ModuleState, ServiceState},
};

use crate::{
    client::Client,
    facts::{Metrics, Tally, add, assert_metrics_of, counted, outcome, restarts_in},
    footprint::Footprint,
    harness::{Daemon, Home, eventually, module, pause_for},
};

/// Modules of the menu: one on each worker, one on both, and one that fails all the time.
const CALLED: [&str; 4] = ["here", "there", "both", "frail"];

/// So many of the callers call it.
const FRAIL_CALLERS: u64 = 2;

/// How often the thread is ended while the callers of a phase call, and how long they do between.
const ENDS: u64 = 3;
const BETWEEN: Duration = Duration::from_millis(150);

/// A guest that takes its time to start, and answers `late`.
const LATE: &str = r#"(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "late")
  (func (export "_start")
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 100000000))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))))
  (func (export "__guest_call") (param i32 i32) (result i32)
    (call $response (i32.const 512) (i32.const 4))
    (i32.const 1)))"#;

fn start() -> Daemon {
    let frail = "restart = { intensity = 10000, backoff = { initial = \"20ms\", max = \"60ms\", jitter = 0.5 } }";
    let links = "links = [\"faulty\"]";
    let home = Home::new(&format!(
        "[bindings.faulty]\ntype = \"faulty\"\n[defaults.restart]\nintensity = 10000\n[defaults.limits]\ncall_timeout = \"20s\"\n{}{}{}{}\
         [modules.late]\npath = \"late.wasm\"\ninstances = \"per-worker\"\n",
        module("here", links),
        module("there", links),
        module("both", &format!("instances = \"per-worker\"\n{links}")),
        module("frail", frail),
    ));
    home.write("late.wasm", wat::parse_str(LATE).unwrap());
    let daemon = home.start();
    daemon.wait_for_instances("late", 2);
    daemon.wait_for_instances("both", 2);
    daemon
}

fn end(daemon: &Daemon, worker: usize) {
    let response = daemon.request("POST", &format!("/v1/workers/{worker}/end"), "", b"").unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Ends a worker's thread and waits for the one that takes its place.
fn replace(daemon: &Daemon, worker: usize) {
    let before = daemon.status().workers[worker].replaced;
    end(daemon, worker);
    eventually("the worker is replaced", || daemon.status().workers[worker].replaced == before + 1);
}

fn wait_until_whole(daemon: &Daemon) {
    eventually("everything runs again", || {
        daemon.status().modules.iter().all(|module| {
            let wanted = if matches!(module.name.as_str(), "both" | "late") { 2 } else { 1 };
            (module.state, module.instances.len()) == (ModuleState::Running, wanted)
                && (module.queued, module.in_flight) == (0, 0)
        })
    });
}

/// Calls without pause until the time is over; counts by module and outcome.
fn caller(client: &Client, n: u64, until: Instant) -> BTreeMap<&'static str, Tally> {
    let mut tallies = BTreeMap::<&str, Tally>::new();
    let mut round = n * 1_000;
    while Instant::now() < until {
        round += 1;
        // Calls of the one that fails wait most of the time, and only two callers shall.
        let called = if n < FRAIL_CALLERS { &CALLED[..] } else { &CALLED[..3] };
        let name = called[usize::try_from(round).unwrap() % called.len()];
        let operation = match (name, round % 5) {
            ("frail", 0..3) => "trap",
            (_, 0) => "wait/5/echo",
            (_, 1) => "busy/2/echo",
            ("here" | "there" | "both", 2) => "host/faulty//echo",
            _ => "echo",
        };
        let payload = round.to_le_bytes();
        let response = client.call(name, operation, &payload);
        let kind = outcome(&response);
        assert!(matches!(kind.as_str(), "ok" | "lost" | "trapped"), "{name} {operation}: {kind}: {}", response.text());
        if kind == "ok" {
            assert_eq!(response.body, payload, "{name} {operation}: the answer of another call");
        }
        *tallies.entry(name).or_default().entry(kind).or_default() += 1;
    }
    tallies
}

/// Eight callers while a worker's thread is ended some times.
fn phase(daemon: &Daemon, worker: usize) -> BTreeMap<&'static str, Tally> {
    let until = Instant::now() + BETWEEN * u32::try_from(ENDS + 1).unwrap();
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let client = daemon.client();
            thread::spawn(move || caller(&client, n, until))
        })
        .collect();
    for _ in 0..ENDS {
        pause_for(BETWEEN);
        replace(daemon, worker);
    }
    let mut tallies = BTreeMap::<&str, Tally>::new();
    for caller in callers {
        for (name, tally) in caller.join().unwrap() {
            add(tallies.entry(name).or_default(), tally);
        }
    }
    tallies
}

#[test]
fn a_worker_that_ends_under_load_is_replaced_and_each_call_ends_once() {
    let daemon = start();
    let worker_of = |name: &str| daemon.module(name).instances[0].worker;
    let homes = [("here", worker_of("here")), ("there", worker_of("there"))];
    assert_ne!(homes[0].1, homes[1].1, "the modules share a worker");
    let mut seen = BTreeMap::<&str, Tally>::new();
    for round in 0..4 {
        let worker = round % 2;
        let phase = phase(&daemon, worker);
        for (name, home) in homes {
            let only_ok = counted(&phase[name]).keys().all(|kind| kind == "ok");
            assert!(home == worker || only_ok, "worker {worker} ended, and {name} on {home} lost calls: {phase:?}");
        }
        phase.into_iter().for_each(|(name, tally)| add(seen.entry(name).or_default(), tally));
        wait_until_whole(&daemon);
        for name in ["here", "there", "both", "late"] {
            let answer = daemon.call(name, "echo", b"late");
            assert_eq!(answer.outcome(), (200, "late".to_owned()), "{name} after the end of worker {worker}");
            add(seen.entry(name).or_default(), Tally::from([("ok".to_owned(), 1)]));
        }
    }
    let (status, metrics) = (daemon.status(), Metrics::of(&daemon));
    for worker in &status.workers {
        let index = worker.index.to_string();
        assert_eq!(worker.replaced, 2 * ENDS);
        assert_eq!(metrics.value("wapcd_worker_replacements_total", &[("worker", &index)]) as u64, 2 * ENDS);
        assert_eq!(metrics.value("wapcd_worker_instances", &[("worker", &index)]) as usize, worker.instances);
    }
    for module in &status.modules {
        assert_eq!(counted(&module.calls), seen[module.name.as_str()], "{}", module.name);
        assert_metrics_of(&daemon.module(&module.name), &metrics);
        // One in back-off has nothing that could end.
        let restarted = module.restarts_by_reason.get("panicked").is_some_and(|restarts| *restarts >= ENDS);
        assert!(restarted || module.name == "frail", "{module:?}");
    }
    let faulty = status.bindings.iter().find(|binding| binding.name == "faulty").unwrap();
    assert_eq!((faulty.restarts, faulty.state), (0, ServiceState::Running), "its backend has not ended: {faulty:?}");
    let of = |kind: &str| -> u64 { seen.values().filter_map(|tally| tally.get(kind)).sum() };
    assert!(of("lost") > 0 && of("ok") > 20, "too few calls, or none there when a thread ended: {seen:?}");
}

#[test]
fn the_end_of_a_worker_is_told_in_status_events_and_log() {
    let daemon = start();
    let worker = daemon.module("here").instances[0].worker;
    replace(&daemon, worker);
    wait_until_whole(&daemon);
    let events = daemon.events_of(&Subject::Worker(worker));
    let [replaced] = events.as_slice() else { panic!("{events:?}") };
    assert!(matches!(replaced.what, What::WorkerReplaced { replaced: 1 }), "{replaced:?}");
    assert_eq!(daemon.line_of(replaced)["message"], "worker replaced");
    let here = daemon.module("here");
    let exit = here.last_exit.unwrap();
    assert_eq!((exit.reason.as_str(), exit.call), ("panicked", None));
    assert!(exit.causes[0].contains("worker") && exit.causes[0].contains("ended"), "{exit:?}");
    assert_eq!(here.instances[0].worker, worker, "it is started where it was");
    assert_eq!(restarts_in(&daemon.events_of(&Subject::Module("here".into()))), here.restarts_by_reason);
    let there = daemon.module("there");
    assert_eq!((there.restarts, there.last_exit), (0, None));
}

#[test]
fn the_end_of_a_worker_reaches_modules_that_wait_for_their_next_try_or_start() {
    let daemon = start();
    for round in 0..6 {
        let worker = round % 2;
        for _ in 0..3 {
            daemon.call("frail", "trap", b"");
        }
        // Fresh instances of this module are on their way on both workers.
        let client = daemon.client();
        let restart = thread::spawn(move || client.request("POST", "/v1/modules/late/restart", "", b"").unwrap());
        pause_for(Duration::from_millis(20));
        replace(&daemon, worker);
        assert_eq!(restart.join().unwrap().status, 200);
        wait_until_whole(&daemon);
        assert_eq!(daemon.call("late", "", b"").text(), "late");
        assert_eq!(daemon.call("frail", "echo", b"well").text(), "well");
    }
}

#[test]
fn fifty_ends_leave_no_thread_no_descriptor_and_no_memory_behind() {
    let daemon = start();
    let round = |n: usize| {
        // Without waiting for what starts on the new thread: the next end meets it there.
        replace(&daemon, n % 2);
        daemon.call("both", "echo", b"");
    };
    (0..10).for_each(round);
    wait_until_whole(&daemon);
    let before = Footprint::of(&daemon);
    (0..50).for_each(round);
    wait_until_whole(&daemon);
    eventually("threads and descriptors are as many as before", || {
        let after = Footprint::of(&daemon);
        after.threads <= before.threads && after.descriptors <= before.descriptors
    });
    let after = Footprint::of(&daemon);
    assert!(after.memory < before.memory + before.memory / 10, "{before:?} became {after:?}");
    let status = daemon.status();
    assert_eq!(status.workers.iter().map(|worker| worker.replaced).sum::<u64>(), 60);
}
