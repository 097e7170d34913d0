//! The log of events over the socket: as a list and as a stream, and what followers may not do.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::Value;
use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::ExitStatus,
};

use crate::{
    fake::Running,
    http::{get, post},
};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

fn asked(running: &Running, action: &str) {
    let what = What::Asked { action: action.into() };
    running.fake.events.record(Subject::Module("echo".into()), what);
}

/// An event as large as a guest can make it.
fn large(running: &Running, n: usize) {
    let exit = ExitStatus {
        reason: "trapped".into(),
        causes: vec![format!("{n} {}", "x".repeat(8_000))],
        backtrace: Vec::new(),
        operation: None,
        call: None,
        origin: None,
        at: 0.0,
    };
    let what = What::Exited { instance: None, worker: None, exit, decision: "restart".into(), backoff_s: None };
    running.fake.events.record(Subject::Module("echo".into()), what);
}

/// A client that follows.
struct Follower(BufReader<UnixStream>);

impl Follower {
    fn start(running: &Running, query: &str) -> Self {
        let mut stream = UnixStream::connect(running.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /v1/events?follow=true{query} HTTP/1.1\r\nHost: w\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let head: Vec<String> =
            reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        assert!(head.iter().any(|line| line == "content-type: application/x-ndjson"), "{head:?}");
        Self(reader)
    }

    /// The documents of the next chunk; none at the end of the stream.
    fn chunk(&mut self) -> Vec<Value> {
        let mut size = String::new();
        self.0.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut text = vec![0; size + 2];
        self.0.read_exact(&mut text).unwrap();
        text[..size]
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} took too long");
        std::thread::yield_now();
    }
}

#[test]
fn what_happened_is_a_list_of_what_is_kept() {
    let running = Running::start();
    assert_eq!(get(&running.socket(), "/v1/events").body, b"[]");
    ["start", "stop", "restart"].iter().for_each(|action| asked(&running, action));
    let answer = get(&running.socket(), "/v1/events");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(serde_json::from_slice::<Vec<Event>>(&answer.body).unwrap().len(), 3);
    let some: Value = serde_json::from_slice(&get(&running.socket(), "/v1/events?after=1&limit=1").body).unwrap();
    assert_eq!((some.as_array().unwrap().len(), &some[0]["seq"], &some[0]["action"]), (1, &2.into(), &"stop".into()));
    assert_eq!(get(&running.socket(), "/v1/events?after=3&follow=false").body, b"[]");
}

#[test]
fn wrong_parameters_are_named() {
    let running = Running::start();
    for (query, named) in [
        ("after=x", "`after` cannot be `x`"),
        ("limit=-1", "`limit` cannot be `-1`"),
        ("follow=1", "`follow` cannot be `1`"),
        ("since=1", "no parameter `since`"),
        ("after=1", "`after` cannot be `1`: the last event has the number 0"),
    ] {
        let answer = get(&running.socket(), &format!("/v1/events?{query}"));
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad-request"), "{query}");
        assert!(answer.problem()["detail"].as_str().unwrap().contains(named), "{query}: {}", answer.problem());
    }
}

#[test]
fn a_follower_gets_what_is_kept_and_then_what_happens() {
    let running = Running::start();
    asked(&running, "start");
    asked(&running, "stop");
    let mut follower = Follower::start(&running, "&after=1");
    assert_eq!(follower.chunk()[0]["action"], "stop");
    asked(&running, "restart");
    let next = follower.chunk();
    assert_eq!((next.len(), &next[0]["seq"], &next[0]["subject"]["module"]), (1, &3.into(), &"echo".into()));
    let mut limited = Follower::start(&running, "&limit=2");
    assert_eq!((limited.chunk().len(), limited.chunk().len()), (2, 0));
}

#[test]
fn a_follower_that_is_too_slow_is_told_how_much_it_lost() {
    let running = Running::start();
    large(&running, 0);
    let mut follower = Follower::start(&running, "");
    assert_eq!(follower.chunk()[0]["seq"], 1);
    // More than the log keeps and the connection takes.
    (1..3_000).for_each(|n| large(&running, n));
    let (mut next, mut lost) = (2, 0);
    while next <= 3_000 {
        for document in follower.chunk() {
            if let Some(count) = document["lost"].as_u64() {
                assert!(count > 0);
                lost += count;
                next += count;
            } else {
                assert_eq!(document["seq"], next);
                next += 1;
            }
        }
    }
    assert!(lost > 0, "the log keeps fewer than it was given");
}

#[test]
fn followers_are_bounded_and_one_that_goes_makes_room() {
    let running = Running::with(|settings| settings.followers = 2);
    let mut followers = vec![Follower::start(&running, ""), Follower::start(&running, "")];
    let refused = get(&running.socket(), "/v1/events?follow=true");
    assert_eq!((refused.status, refused.kind().as_str(), refused.header("retry-after")), (503, "busy", Some("1")));
    assert_eq!(get(&running.socket(), "/v1/events").status, 200);
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
    assert_eq!(post(&running.socket(), "/v1/modules/echo/call/x", b"").status, 200);
    // Nothing happens meanwhile: that it is gone is noticed without an event to send.
    followers.pop();
    until("room for another follower", || get(&running.socket(), "/v1/events?follow=true&limit=0").status == 200);
}

#[test]
fn a_stop_ends_followers_after_the_last_event() {
    let running = Running::start();
    let mut follower = Follower::start(&running, "");
    let mut stuck = Follower::start(&running, "");
    asked(&running, "stop");
    assert_eq!((follower.chunk().len(), stuck.chunk().len()), (1, 1));
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (fake, handle) = (running.fake.clone(), running.handle);
    fake.events.record(Subject::Daemon, What::DaemonDraining { why: "the test".into() });
    runtime.block_on(handle.stop(3 * PATIENCE));
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(follower.chunk()[0]["event"], "daemon_draining");
    assert!(follower.chunk().is_empty(), "the end of the stream");
}

#[test]
fn a_stop_does_not_wait_for_a_follower_that_does_not_read() {
    let running = Running::start();
    let _follower = Follower::start(&running, "");
    // More than the connection takes.
    (0..500).for_each(|n| large(&running, n));
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(running.handle.stop(Duration::from_millis(100)));
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}
