//! Chaos: the real daemon with fifty modules, of which a third fail in every way at random, and a binding that panics at
//! random, under eight callers for a minute. What was promised holds all the time, and holds at the end as at the start.
//!
//! A program of its own, because it measures: `cargo test` runs it after and before others, never beside them, and
//! `.config/nextest.toml` says the same to nextest. `WAPCD_TEST_SEED` repeats what the callers do, and
//! `WAPCD_CHAOS_SECONDS` makes them go on for longer. The figures are in `target/tmp/chaos.txt` after a run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod callers;
mod cast;
#[path = "../daemon/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod client;
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod harness;
mod verdict;
mod witness;

use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use wapcd::supervisor::status::ModuleState;

use crate::{
    callers::Callers,
    cast::Player,
    harness::{Daemon, Home, eventually, pause_for},
    verdict::Verdict,
    witness::{Watch, ask_status, follow, needs, operator, settled, yardstick},
};

/// How long the callers go on before the daemon is stopped.
const SPAN: Duration = Duration::from_secs(60);

/// How long they go on again before it is told to stop, in the middle of it.
const ENCORE: Duration = Duration::from_secs(3);

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn start(players: &[Player]) -> Daemon {
    let home = Home::new("");
    home.write("flood.wasm", wat::parse_str(include_str!("flood.wat")).unwrap());
    home.configure(&cast::toml(players));
    let daemon = home.start();
    eventually("every module runs", || {
        daemon.status().modules.iter().all(|module| module.state == ModuleState::Running)
    });
    daemon
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn among_failing_modules_and_a_panicking_binding_every_promise_is_kept() {
    let seed = number("WAPCD_TEST_SEED").unwrap_or_else(rand::random);
    let span = number("WAPCD_CHAOS_SECONDS").map_or(SPAN, Duration::from_secs);
    let players = Arc::new(cast::players());
    let mut verdict = Verdict::new(seed);
    let mut daemon = start(&players);
    let (client, pid) = (daemon.client(), daemon.pid());
    let events = follow(&client);
    let status = daemon.status();
    let load_before = load();

    let began = Instant::now();
    let callers = Callers::start(&client, &players, seed);
    let probes = ask_status(client.clone());
    let measure = yardstick(&daemon.home().path().join("yardstick.sock"), status);
    let process = Watch::start(Duration::from_millis(100), move || needs(pid));
    let helper = operator(&client, &["transient0", "temporary0"]);
    pause_for(span);
    let (probes, measure, process) = (probes.end(), measure.end(), process.end());
    verdict.note(format!("load before {load_before}, after {}", load()));
    helper.end();
    let seen = callers.join();

    verdict.calls(&seen, began.elapsed());
    verdict.counters(&settled(|| daemon.status()), &seen, &players);
    verdict.numbers(&daemon, &seen, &players);
    verdict.control_socket(&probes, &measure);
    verdict.process(&process, began, span, needs(pid));

    let callers = Callers::start(&client, &players, seed.wrapping_add(1000));
    pause_for(ENCORE);
    let late = client.clone();
    // It keeps the drain open until every connection that was made before the signal has been heard.
    let long = std::thread::spawn(move || late.call("echo0", "wait/1000/echo", b"long").outcome());
    pause_for(Duration::from_millis(200));
    callers.expect_stop();
    let told = Instant::now();
    daemon.signal(Signal::TERM);
    let exit = daemon.wait();
    let drained = told.elapsed();
    let seen_last = callers.join();
    verdict.end(exit, drained, &seen_last, long.join().unwrap());
    verdict.events(events.join().unwrap(), [&seen, &seen_last], &players);
    verdict.log(&daemon.log());

    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos.txt"), verdict.figures()).unwrap();
    verdict.give();
}
