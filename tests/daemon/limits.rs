//! How much a module takes: its rate limit, and that a flood of one is not felt by another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    harness::{Daemon, eventually, module},
};

#[test]
fn calls_over_the_rate_are_refused_at_once_and_told_when_to_come_again() {
    let daemon =
        Daemon::start(&(module("few", "rate_limit = { calls = 3, per = \"1m\", burst = 3 }") + &module("any", "")));
    for n in 1..=3 {
        assert_eq!(daemon.call("few", "number", b"").text(), n.to_string());
    }
    for _ in 0..5 {
        let refused = daemon.call("few", "number", b"");
        assert_eq!((refused.status, refused.kind().as_str()), (429, "rate-limited"));
        let again: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&again), "{again}");
        assert!(refused.detail().contains("`few`"), "{}", refused.detail());
    }
    let status = daemon.module("few");
    assert_eq!((status.calls_ok, status.calls_refused, status.calls.get("rate_limited")), (3, 5, Some(&5)));
    assert_eq!(daemon.call("any", "echo", b"free").text(), "free");
}

#[test]
fn a_rate_is_kept_over_time_whoever_calls() {
    const PER_SECOND: f64 = 50.0;
    let daemon = Daemon::start(&module("few", "rate_limit = { calls = 50, per = \"1s\", burst = 5 }"));
    let start = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || {
                let mut kinds = Vec::new();
                while start.elapsed() < Duration::from_secs(1) {
                    kinds.push(client.call("few", "echo", b"").kind());
                }
                kinds
            })
        })
        .collect();
    let kinds: Vec<String> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let taken = kinds.iter().filter(|kind| *kind == "ok").count();
    assert!(kinds.iter().all(|kind| kind == "ok" || kind == "rate-limited"), "{kinds:?}");
    let most = 5.0 + start.elapsed().as_secs_f64() * PER_SECOND;
    // Where the machine lets fewer calls through than the rate does, most of them are taken.
    let least = (PER_SECOND / 2.0).min(kinds.len() as f64 / 2.0);
    assert!((least..=most).contains(&(taken as f64)), "{taken} of {}, {least} to {most}", kinds.len());
}

#[test]
fn a_guest_that_calls_a_module_over_its_rate_is_told_so() {
    let links = "links = [{ binding = \"module\", namespace = \"few\" }]";
    let daemon =
        Daemon::start(&(module("few", "rate_limit = { calls = 1, per = \"1h\", burst = 1 }") + &module("asks", links)));
    assert_eq!(daemon.call("asks", "host/module/few/echo", b"one").text(), "one");
    let refused = daemon.call("asks", "host/module/few/echo", b"two");
    assert_eq!(refused.status, 422);
    assert!(refused.detail().contains("few"), "{}", refused.detail());
    assert_eq!(daemon.module("few").calls_refused, 1);
}

/// How long calls took, shortest first.
fn times(client: &Client, module: &str, operation: &str, calls: usize) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.call(module, operation, b"").status, 200);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn a_flood_of_one_module_is_not_felt_by_the_callers_of_another() {
    // Both on one worker, so that nothing but fairness keeps them apart.
    let toml = format!("[daemon]\nworkers = 1\n{}{}", module("flooded", ""), module("calm", ""));
    let daemon = Daemon::start(&toml);
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (client, over) = (daemon.client(), Arc::clone(&over));
            thread::spawn(move || {
                let mut times = Vec::new();
                while !over.load(Relaxed) {
                    let start = Instant::now();
                    match client.call("flooded", "busy/4/echo", b"").status {
                        200 => times.push(start.elapsed()),
                        // The control API keeps places for the callers of others.
                        status => assert_eq!(status, 503),
                    }
                }
                times
            })
        })
        .collect();
    // Where its callers have no core for a while it ebbs: then once more.
    let is_there = || daemon.module("flooded").queued > 40;
    let mut calm = Vec::new();
    eventually("the flood is there, and went on all the time", || {
        eventually("the flood is there", is_there);
        calm = times(&daemon, "calm", "echo", 50);
        is_there()
    });
    over.store(true, Relaxed);
    let mut flooded: Vec<Duration> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    flooded.sort_unstable();
    // Half of each, measured in the same moment: what else runs on the machine is felt by both.
    let median = |times: &[Duration]| times[times.len() / 2];
    assert!(median(&calm) < median(&flooded) / 4, "{:?} beside {:?}", median(&calm), median(&flooded));
}
