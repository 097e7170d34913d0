//! A module that computes to its deadline, and what calls to another module on its worker notice of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    harness::{Daemon, eventually, module},
};

/// Calls of one round.
const CALLS: usize = 100;

/// Rounds alone. The best counts, as it does of those beside: a loaded machine spoils some.
const ROUNDS: usize = 4;

/// How long the module computes, for some rounds beside it.
const SPIN: Duration = Duration::from_secs(3);

/// How much later the slowest but one of a hundred calls may be.
const MOST: Duration = Duration::from_millis(10);

fn worker_of_two() -> Daemon {
    let links = "links = [{ binding = \"echo\", namespace = \"echo\", to = \"module\" }, \"log\"]";
    Daemon::start(&format!(
        "[daemon]\nworkers = 1\n[defaults.limits]\ncall_timeout = \"20s\"\n{}{}{}",
        module("spinner", &format!("limits = {{ call_timeout = \"{}s\" }}", SPIN.as_secs())),
        module("healthy", links),
        module("echo", ""),
    ))
}

/// The 99th percentile of a round of calls.
fn p99(client: &Client, operation: &str) -> Duration {
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let began = Instant::now();
            let response = client.call("healthy", operation, b"hello");
            assert_eq!(response.status, 200, "{operation}: {}", response.text());
            began.elapsed()
        })
        .collect();
    times.sort();
    times[CALLS * 99 / 100 - 1]
}

/// The best round alone, and the best beside a module that computes all the time.
fn best(daemon: &Daemon, operation: &str) -> (Duration, Duration) {
    let alone = (0..ROUNDS).map(|_| p99(daemon, operation)).min().unwrap();
    let beside = thread::scope(|scope| {
        let spinner = scope.spawn(|| daemon.call("spinner", "spin", b""));
        eventually("the spinner computes", || daemon.module("spinner").in_flight == 1);
        let mut rounds = Vec::new();
        loop {
            let round = p99(daemon, operation);
            if spinner.is_finished() {
                break;
            }
            rounds.push(round);
        }
        assert_eq!(spinner.join().unwrap().kind(), "deadline-exceeded");
        rounds.into_iter().min().unwrap()
    });
    (alone, beside)
}

#[test]
fn calls_beside_a_module_that_computes_to_its_deadline_are_hardly_later() {
    let daemon = worker_of_two();
    for operation in ["echo", "host/log//info", "host/echo/echo/echo"] {
        let (alone, beside) = best(&daemon, operation);
        assert!(beside < alone + MOST, "{operation}: {beside:?} instead of {alone:?}");
    }
}
