//! What a stop does to running and waiting calls: each child has its `shutdown`, whoever stops it.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use wapcd::supervisor::status::ModuleState;

use crate::{
    client::Response,
    harness::{Daemon, eventually, module},
    story::{group, ids, wait_for},
};

/// How long the running call would take, if it may.
const CALL: Duration = Duration::from_secs(4);

/// No call here waits for its deadline.
const LONG: &str = "limits = { call_timeout = \"1m\" }\n";

/// A call and how long it took.
type Call = thread::JoinHandle<(Response, Duration)>;

/// Calls `b`, so that its instance is busy for [`CALL`], and waits until it runs.
fn occupy(daemon: &Daemon) -> Call {
    let client = daemon.client();
    let start = Instant::now();
    let operation = format!("wait/{}/echo", CALL.as_millis());
    let call = thread::spawn(move || (client.call("b", &operation, b"done"), start.elapsed()));
    eventually("the call runs", || daemon.module("b").in_flight == 1);
    call
}

fn wait_in_queue(daemon: &Daemon) -> thread::JoinHandle<Response> {
    let client = daemon.client();
    let call = thread::spawn(move || client.call("b", "number", b""));
    eventually("a call waits", || daemon.module("b").queued == 1);
    call
}

/// A group of `a` and `b`, the latter with this `shutdown`.
fn pair(shutdown: &str, keys: &str) -> Daemon {
    let toml = module("a", "")
        + &module("b", &format!("{LONG}shutdown = \"{shutdown}\""))
        + &group("g", "one_for_all", &["a", "b"], keys);
    let daemon = Daemon::start(&toml);
    eventually("both run", || ids(&daemon, ["a", "b"]).iter().all(|id| *id > 0));
    daemon
}

fn trap(daemon: &Daemon) {
    assert_eq!(daemon.call("a", "trap", b"").kind(), "trapped");
}

#[test]
fn a_groups_restart_ends_a_running_call_when_its_shutdown_is_over_and_keeps_what_waits() {
    for (shutdown, kind, least, most) in [
        ("kill", "lost", Duration::ZERO, CALL),
        ("300ms", "lost", Duration::from_millis(300), CALL),
        ("infinity", "ok", CALL, Duration::MAX),
    ] {
        let daemon = pair(shutdown, "");
        let before = ids(&daemon, ["a", "b"]);
        let running = occupy(&daemon);
        let waiting = wait_in_queue(&daemon);
        trap(&daemon);
        let (answer, took) = running.join().unwrap();
        assert_eq!(answer.kind(), kind, "{shutdown}");
        assert!(took >= least && took < most, "{shutdown}: {took:?}");
        let waiting = waiting.join().unwrap();
        assert_eq!((waiting.status, waiting.text().as_str()), (200, "1"), "{shutdown}");
        let are_fresh = || ids(&daemon, ["a", "b"]).iter().zip(before).all(|(after, before)| *after > before);
        eventually("both are known to run again", are_fresh);
    }
}

#[test]
fn a_group_that_gives_up_ends_the_calls_of_its_members_when_their_shutdown_is_over() {
    for (shutdown, kind, most) in [("kill", "lost", CALL), ("200ms", "lost", CALL), ("infinity", "ok", Duration::MAX)] {
        let daemon = pair(shutdown, "intensity = 0\nretry_failed = \"never\"");
        let running = occupy(&daemon);
        let waiting = wait_in_queue(&daemon);
        trap(&daemon);
        assert_eq!(waiting.join().unwrap().kind(), "failed");
        assert!(kind == "lost" || !running.is_finished(), "what waits is told at once");
        let (answer, took) = running.join().unwrap();
        assert_eq!(answer.kind(), kind, "{shutdown}");
        assert!(took < most, "{shutdown}: {took:?}");
        wait_for(&daemon, "b", ModuleState::Failed);
    }
}

#[test]
fn an_operators_stop_ends_calls_when_the_modules_shutdown_is_over() {
    for (shutdown, kind, waiting_kind) in
        [("kill", "lost", "stopped"), ("200ms", "lost", "stopped"), ("infinity", "ok", "ok")]
    {
        let daemon = Daemon::start(&module("b", &format!("{LONG}shutdown = \"{shutdown}\"")));
        let running = occupy(&daemon);
        let waiting = wait_in_queue(&daemon);
        daemon.ctl(&["stop", "b"]);
        let (answer, took) = running.join().unwrap();
        assert_eq!((answer.kind().as_str(), took < CALL), (kind, kind == "lost"), "{shutdown}: {took:?}");
        assert_eq!(waiting.join().unwrap().kind(), waiting_kind, "{shutdown}");
        let status = daemon.module("b");
        assert_eq!((status.state, status.in_flight, status.queued), (ModuleState::Stopped, 0, 0));
    }
}

#[test]
fn the_end_of_the_daemon_leaves_each_module_its_shutdown_and_no_more() {
    let toml = module("b", &format!("{LONG}shutdown = \"200ms\"")) + &module("slow", "");
    let mut daemon = Daemon::start(&toml);
    let running = occupy(&daemon);
    let client = daemon.client();
    let slow = thread::spawn(move || client.call("slow", "wait/3000/echo", b"done"));
    eventually("the call runs", || daemon.module("slow").in_flight == 1);
    daemon.signal(Signal::TERM);
    let (ended, took) = running.join().unwrap();
    assert_eq!(ended.kind(), "lost");
    assert!(took < CALL, "{took:?}");
    assert_eq!(slow.join().unwrap().text(), "done");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn children_stop_in_the_reverse_order_of_their_start_members_in_their_groups() {
    let toml = "[bindings.cache]\ntype = \"keyvalue\"\nbackend = \"memory\"\n".to_owned()
        + &["c", "a", "b"].map(|name| module(name, "")).concat()
        + &module("alone", "")
        + &group("g", "one_for_one", &["a", "groups.inner"], "")
        + &group("inner", "one_for_one", &["b", "c"], "");
    let mut daemon = Daemon::start(&toml);
    eventually("all run", || ids(&daemon, ["a", "b", "c", "alone"]).iter().all(|id| *id > 0));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    let ends = log.lines().filter(|line| line.contains("\"to\":\"stopped\""));
    let ends: Vec<String> = ends
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["module"].as_str().or(line["binding"].as_str()).unwrap().to_owned()
        })
        .collect();
    assert_eq!(ends.get(..4), Some(["alone", "c", "b", "a"].map(str::to_owned).as_slice()), "{ends:?}");
}
