//! Followers of a real daemon's events: what they are told is whole and in order, ends with the daemon, and one that does
//! not read hurts nobody.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use wapcd::supervisor::events::{Event, Subject, What};

use crate::{
    client::Client,
    facts::restarts_in,
    harness::{Daemon, command, eventually, module, pause_for},
};

/// Longer than any test follows.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream of events that was asked for.
pub(crate) struct Stream(BufReader<UnixStream>);

impl Stream {
    pub(crate) fn open(client: &Client) -> Self {
        let mut stream = UnixStream::connect(&client.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /v1/events?follow=true HTTP/1.1\r\nHost: wapcd\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// Every document until the daemon ends the stream, which it must do in order: a connection that breaks is no end.
    pub(crate) fn read_to_end(self) -> Vec<Value> {
        let mut lines = self.0.lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
        let (mut documents, mut ended) = (Vec::new(), false);
        // A chunk holds whole lines, so that what is no document is the size of one, or between two.
        for line in lines.by_ref().skip_while(|line| !line.is_empty()) {
            match line.as_str() {
                "0" => ended = true,
                line if line.starts_with('{') => documents.push(serde_json::from_str(line).unwrap()),
                _ => {}
            }
            if ended {
                break;
            }
        }
        assert!(ended, "the connection broke after {:?}", documents.last());
        documents
    }

    /// The same in the background.
    pub(crate) fn collect(self) -> thread::JoinHandle<Vec<Event>> {
        thread::spawn(move || self.read_to_end().into_iter().map(|it| serde_json::from_value(it).unwrap()).collect())
    }
}

/// Checks that nothing is missing from the first event on.
pub(crate) fn assert_whole(events: &[Event]) {
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event.seq, at as u64 + 1, "{event:?}");
    }
    assert!(events.windows(2).all(|two| two[0].at <= two[1].at + 0.001), "times go back");
    assert!(matches!(events[0].what, What::DaemonStarted { .. }), "{:?}", events[0]);
}

/// Runs `wapcctl events --follow`, whose output is read all the time; it follows when this returns.
fn wapcctl(daemon: &Daemon, arguments: &[&str]) -> thread::JoinHandle<Output> {
    let mut command = command(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(&daemon.client().socket).args(["events", "--follow"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut from = child.stdout.take().unwrap();
    // What has been is told first.
    let mut stdout = vec![0];
    from.read_exact(&mut stdout).unwrap();
    thread::spawn(move || {
        from.read_to_end(&mut stdout).unwrap();
        Output { stdout, ..child.wait_with_output().unwrap() }
    })
}

fn toml() -> String {
    format!(
        "[defaults.restart]\nintensity = 10000\nbackoff = {{ initial = \"1ms\", max = \"1ms\" }}\n{}{}",
        module("bad", ""),
        module("good", "")
    )
}

#[test]
fn followers_are_told_everything_in_order_until_the_daemon_has_stopped() {
    let mut daemon = Daemon::start(&toml());
    let early: Vec<_> = (0..3).map(|_| Stream::open(&daemon).collect()).collect();
    let (json, text) = (wapcctl(&daemon, &["--json"]), wapcctl(&daemon, &["--module", "bad"]));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || {
                for _ in 0..40 {
                    client.call("bad", "trap", b"");
                    client.call("good", "echo", b"");
                }
            })
        })
        .collect();
    let late = Stream::open(&daemon).collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    daemon.ctl(&["restart", "good"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let told: Vec<Vec<Event>> = early.into_iter().chain([late]).map(|follower| follower.join().unwrap()).collect();
    assert_whole(&told[0]);
    assert!(told.iter().all(|events| *events == told[0]), "followers were told different things");
    assert_eq!(restarts_in(&told[0]), [("trapped".to_owned(), 160)].into());
    let drains = told[0].iter().find(|event| matches!(event.what, What::DaemonDraining { .. }));
    assert!(drains.is_some(), "{:?}", told[0].last());
    // Every event of the log, and nothing more.
    let logged = daemon.log_lines().iter().filter(|line| line["seq"].is_u64()).count();
    assert_eq!(logged, told[0].len());

    let json = json.join().unwrap();
    let (said, printed) = (String::from_utf8(json.stderr).unwrap(), String::from_utf8(json.stdout).unwrap());
    assert_eq!((json.status.code(), said.as_str()), (Some(0), "wapcctl: the daemon has stopped\n"));
    let printed: Vec<Event> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed, told[0]);
    let text = text.join().unwrap();
    let printed = String::from_utf8(text.stdout).unwrap();
    let of_bad = told[0].iter().filter(|event| event.subject == Subject::Module("bad".into())).count();
    assert_eq!((text.status.code(), printed.lines().count()), (Some(0), of_bad));
    assert!(printed.lines().all(|line| line.contains("  module bad  ")), "{printed}");
}

#[test]
fn a_follower_that_does_not_read_hurts_nobody_and_is_told_what_it_missed() {
    let mut daemon = Daemon::start(&toml());
    let idle: Vec<Stream> = (0..4).map(|_| Stream::open(&daemon)).collect();
    let reading = Stream::open(&daemon).collect();
    let hurried = |daemon: &Daemon| {
        let start = Instant::now();
        daemon.status();
        start.elapsed()
    };
    // Each trap is told with its operation, which makes the events large, and the log is pushed through several times.
    let operation = format!("trap{}", "x".repeat(2_000));
    for _ in 0..3 {
        for _ in 0..400 {
            assert_eq!(daemon.call("bad", &operation, b"").kind(), "trapped");
        }
        let best = (0..5).map(|_| hurried(&daemon)).min().unwrap();
        assert!(best < Duration::from_secs(2), "{best:?}");
        assert_eq!(daemon.call("good", "echo", b"on").text(), "on");
    }
    let last = daemon.events().last().unwrap().seq;
    assert!(last > 2_000, "{last}");
    // One of those begins to read; the others never do, also while the daemon stops.
    let mut idle = idle.into_iter();
    let behind = idle.next().map(|stream| thread::spawn(move || stream.read_to_end())).unwrap();
    pause_for(Duration::from_millis(300));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "within a shorter time than its grace");
    // The workers have ended long before the server gives the others up.
    assert!(!daemon.log().contains("worker replaced"), "a worker was replaced in the stop");
    let (told, whole) = (behind.join().unwrap(), reading.join().unwrap());
    assert_whole(&whole);
    let mut seq = 0;
    let mut lost = 0;
    for document in &told {
        let missed = document["lost"].as_u64();
        lost += missed.unwrap_or_default();
        seq += missed.unwrap_or(1);
        assert!(missed.is_some() || document["seq"] == seq, "{document} is not the {seq}th");
    }
    assert!(lost > 0, "a follower that slept missed nothing");
    assert_eq!(seq, whole.last().unwrap().seq);
    drop(idle);
}

#[test]
fn a_follower_that_goes_away_frees_its_place() {
    let daemon = Daemon::start(&toml());
    let refused = || {
        let mut streams = Vec::new();
        loop {
            let mut stream = Stream::open(&daemon);
            let mut head = String::new();
            stream.0.read_line(&mut head).unwrap();
            if head != "HTTP/1.1 200 OK\r\n" {
                return (head, streams);
            }
            streams.push(stream);
            assert!(streams.len() < 10_000, "followers are not bounded");
        }
    };
    let (head, streams) = refused();
    assert_eq!(head, "HTTP/1.1 503 Service Unavailable\r\n");
    let places = streams.len();
    drop(streams);
    eventually("all places are free again", || {
        daemon.call("bad", "trap", b"");
        refused().1.len() == places
    });
}
