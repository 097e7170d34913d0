//! A module that computes for ever, and what calls to another module on its worker notice of it.
//!
//! Times are those for which the worker's thread had a core: what else runs on the machine is in none of them, and what
//! runs on that worker before it answers is in all.

use std::{fs, thread, time::Duration};

use crate::{
    harness::{Daemon, eventually, module},
    held::{thread_of, worker_thread},
};

/// Calls of one round.
const CALLS: usize = 100;

/// Rounds at most, of which the first good one counts: a look at the clock of a thread that runs may be a tick late.
const ROUNDS: usize = 4;

/// How much more the worker may run for the slowest but one of a hundred calls.
const MOST: Duration = Duration::from_millis(10);

fn worker_of_two() -> Daemon {
    let links = "links = [{ binding = \"echo\", namespace = \"echo\", to = \"module\" }, \"log\"]";
    Daemon::start(&format!(
        "[daemon]\nworkers = 1\n[defaults.limits]\ncall_timeout = \"1m\"\n{}{}{}",
        module("spinner", "shutdown = \"kill\""),
        module("healthy", links),
        module("echo", ""),
    ))
}

/// For how long the only worker has had a core.
fn on_core(daemon: &Daemon) -> Duration {
    let path = format!("/proc/{}/task/{}/schedstat", daemon.pid(), thread_of(daemon, &worker_thread(0)));
    let schedstat = fs::read_to_string(path).unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

/// The 99th percentile of a round of calls.
fn p99(daemon: &Daemon, operation: &str) -> Duration {
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let began = on_core(daemon);
            let response = daemon.call("healthy", operation, b"hello");
            assert_eq!(response.status, 200, "{operation}: {}", response.text());
            on_core(daemon) - began
        })
        .collect();
    times.sort();
    times[CALLS * 99 / 100 - 1]
}

/// A round alone, and the best beside a module that computes all the time.
fn best(daemon: &Daemon, operation: &str) -> (Duration, Duration) {
    let alone = p99(daemon, operation);
    let beside = thread::scope(|scope| {
        let spinner = scope.spawn(|| daemon.call("spinner", "spin", b""));
        eventually("the spinner computes", || daemon.module("spinner").in_flight == 1);
        let mut beside = Duration::MAX;
        for _ in 0..ROUNDS {
            beside = beside.min(p99(daemon, operation));
            if beside < alone + MOST {
                break;
            }
        }
        assert!(!spinner.is_finished(), "it computed all the time");
        daemon.ctl(&["stop", "spinner"]);
        assert_eq!(spinner.join().unwrap().kind(), "lost");
        daemon.ctl(&["start", "spinner"]);
        beside
    });
    (alone, beside)
}

#[test]
fn calls_beside_a_module_that_computes_for_ever_are_hardly_later() {
    let daemon = worker_of_two();
    for operation in ["echo", "host/log//info", "host/echo/echo/echo"] {
        let (alone, beside) = best(&daemon, operation);
        assert!(beside < alone + MOST, "{operation}: {beside:?} instead of {alone:?}");
    }
}
