//! Everything at once: callers, failing guests, modules that call each other, and an operator, all at random. Whatever
//! happens, each call ends in a response or in a typed error, and nothing is left over.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    client::Client,
    harness::{Daemon, SOON, eventually, module, pause_for},
};

const MODULES: [&str; 5] = ["single", "double", "each", "lazy", "frail"];

/// Time of every call of the modules below.
const CALL_TIMEOUT: Duration = Duration::from_millis(250);

/// How long the callers go on.
const SPAN: Duration = Duration::from_secs(3);

/// What a call may end in here. `lost`, `host-panicked`, `internal` and `no-answer` are not among it.
const KINDS: [&str; 11] = [
    "ok",
    "guest-error",
    "trapped",
    "deadline-exceeded",
    "limit-exceeded",
    "exited",
    "busy",
    "expired",
    "stopped",
    "failed",
    "payload-too-large",
];

fn toml() -> String {
    let links = MODULES.map(|name| format!("{{ binding = \"module\", namespace = \"{name}\" }}")).join(", ");
    let keys = [
        "queue = 4",
        "queue = 2\ninstances = 2\non_full = \"wait\"",
        "instances = \"per-worker\"\nqueue_timeout = \"50ms\"\nqueue_bytes = \"2000 B\"",
        "lazy = true\nqueue_bytes = \"500 B\"\non_full = \"wait\"",
        "restart = { intensity = 1 }",
    ];
    let modules =
        MODULES.iter().zip(keys).map(|(name, keys)| module(name, &format!("links = [{links}, \"cache\"]\n{keys}")));
    format!(
        "[daemon]\nqueue_bytes = \"4000 B\"\n\
         [defaults.limits]\ncall_timeout = \"{}ms\"\npayload = \"1000 B\"\nmemory = \"11 MiB\"\n\
         [defaults.restart]\nintensity = 10000\n\
         [bindings.cache]\ntype = \"keyvalue\"\nbackend = \"memory\"\n{}",
        CALL_TIMEOUT.as_millis(),
        modules.collect::<String>()
    )
}

/// An operation of the menu, with up to three host calls in it.
fn operation(random: &mut StdRng, depth: u32) -> String {
    let choice = random.random_range(0..100);
    match choice {
        0..30 if depth < 3 => {
            let target = MODULES.choose(random).unwrap();
            format!("host/module/{target}/{}", operation(random, depth + 1))
        }
        30..40 if depth < 3 => format!("wait/{}/{}", random.random_range(0..40), operation(random, depth + 1)),
        40..50 if depth < 3 => format!("busy/{}/{}", random.random_range(0..10), operation(random, depth + 1)),
        50..56 => "host/cache//increment".to_owned(),
        56..62 => "trap".to_owned(),
        62..64 => "quit".to_owned(),
        64 => "spin".to_owned(),
        65 => "grow".to_owned(),
        66..70 => "fail".to_owned(),
        _ => "echo".to_owned(),
    }
}

/// Calls at random until the time is over; counts the calls by module and kind.
fn caller(client: &Client, seed: u64, until: Instant) -> BTreeMap<(&'static str, String), u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tally = BTreeMap::new();
    while Instant::now() < until {
        let name = *MODULES.choose(&mut random).unwrap();
        let operation = operation(&mut random, 0);
        let payload = vec![random.random::<u8>(); random.random_range(0..1020)];
        let start = Instant::now();
        let response = client.call(name, &operation, &payload);
        let (kind, elapsed) = (response.kind(), start.elapsed());
        assert!(KINDS.contains(&kind.as_str()), "{name} {operation}: {kind}: {}", response.text());
        assert!(elapsed < CALL_TIMEOUT + SOON, "{name} {operation}: {kind} after {elapsed:?}");
        if kind == "ok" && operation.ends_with("echo") {
            assert_eq!(response.body, payload, "{name} {operation}");
        }
        if kind == "stopped" || kind == "busy" {
            // A refusal is quick; calls that run shall not be the exception.
            pause_for(Duration::from_millis(2));
        }
        *tally.entry((name, kind)).or_default() += 1;
    }
    tally
}

/// Starts, stops and restarts modules at random until the time is over.
fn operator(client: &Client, seed: u64, until: Instant) {
    let mut random = StdRng::seed_from_u64(seed);
    while Instant::now() < until {
        let name = MODULES.choose(&mut random).unwrap();
        let action = ["start", "start", "start", "start", "restart", "restart", "stop"].choose(&mut random).unwrap();
        let path = format!("/v1/modules/{name}/{action}");
        let response = client.request("POST", &path, "", b"").unwrap();
        assert_eq!(response.status, 200, "{action} {name}: {}", response.text());
        pause_for(Duration::from_millis(random.random_range(0..30)));
    }
}

#[test]
fn whatever_happens_at_once_each_call_ends_once_and_nothing_is_left_over() {
    let daemon = Daemon::start(&toml());
    let seed: u64 = std::env::var("WAPCD_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    let until = Instant::now() + SPAN;
    let callers: Vec<_> = (1..=8)
        .map(|n| {
            let client = daemon.client();
            thread::spawn(move || caller(&client, seed.wrapping_add(n), until))
        })
        .collect();
    operator(&daemon, seed, until);
    let mut tally = BTreeMap::<(&str, String), u64>::new();
    for caller in callers {
        for (key, count) in caller.join().unwrap_or_else(|_| panic!("a caller failed with seed {seed}")) {
            *tally.entry(key).or_default() += count;
        }
    }
    eventually(&format!("everything has ended (seed {seed})"), || {
        daemon.status().modules.iter().all(|module| (module.queued, module.queued_bytes, module.in_flight) == (0, 0, 0))
    });
    let status = daemon.status();
    assert_eq!(status.queue_bytes, 0, "seed {seed}");
    for module in &status.modules {
        let count = |ok: bool| -> u64 {
            let of_module = tally.iter().filter(|((name, kind), _)| *name == module.name && (kind == "ok") == ok);
            of_module.map(|(_, count)| count).sum()
        };
        // Modules call each other as well.
        assert!(
            module.calls_ok >= count(true) && module.calls_failed + module.calls_refused >= count(false),
            "{module:?}, seed {seed}"
        );
    }
    for name in MODULES {
        daemon.ctl(&["start", name]);
        // Its time is short, and a busy machine may take longer.
        eventually(&format!("{name} answers (seed {seed})"), || daemon.call(name, "echo", b"well").text() == "well");
    }
}
