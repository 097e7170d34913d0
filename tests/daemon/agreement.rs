//! Status, events, log and metrics agree: after a few seconds of everything at random, sums over all four are the same, and
//! those of the callers as well.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use rustix::process::Signal;
use serde_json::Value;
use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{BindingStatus, ModuleStatus},
};

use crate::{
    client::Client,
    facts::{Metrics, Tally, add, assert_metrics_of, counted, last_exit_in, outcome, restarts_in},
    following::{Stream, assert_whole},
    harness::{Daemon, eventually, module, pause_for},
};

const MODULES: [&str; 4] = ["single", "double", "each", "frail"];
const SPAN: Duration = Duration::from_secs(3);

fn toml() -> String {
    let keys = [
        "queue = 4",
        "instances = 2\nrate_limit = { calls = 200, per = \"1s\" }",
        "instances = \"per-worker\"\nqueue_timeout = \"20ms\"",
        "restart = { intensity = 2, reset_on_success = false, retry_failed = \"200ms\" }",
    ];
    let links = "links = [\"cache\", \"faulty\"]";
    let modules = MODULES.iter().zip(keys).map(|(name, keys)| module(name, &format!("{links}\n{keys}")));
    format!(
        "[defaults.limits]\ncall_timeout = \"200ms\"\nmemory = \"11 MiB\"\n\
         [defaults.restart]\nintensity = 10000\nbackoff = {{ initial = \"2ms\", max = \"20ms\" }}\n\
         [bindings.cache]\ntype = \"keyvalue\"\nbackend = \"memory\"\n\
         [bindings.faulty]\ntype = \"faulty\"\nrestart = {{ intensity = 10000, backoff = {{ initial = \"2ms\", max = \"20ms\" }} }}\n\
         health = {{ interval = \"1s\", timeout = \"1s\", failures = 2 }}\n{}",
        modules.collect::<String>()
    )
}

/// An operation with its payload.
fn operation(random: &mut StdRng) -> (&'static str, &'static str) {
    match random.random_range(0..1_000) {
        0..60 => ("trap", ""),
        60..80 => ("quit", "3"),
        80..85 => ("spin", ""),
        85..90 => ("grow", ""),
        90..150 => ("fail", "no"),
        150..160 => ("mute", ""),
        160..180 => ("host/faulty//panic", "as asked"),
        180..200 => ("host/faulty//panic_later", "as asked"),
        200..203 => ("host/faulty//sick", ""),
        203..206 => ("host/faulty//broken_start", ""),
        206..210 => ("host/faulty//slow", "1000"),
        210..300 => ("host/faulty//slow", "2"),
        300..400 => ("host/cache//increment", ""),
        400..420 => ("host/cache//no-such-thing", ""),
        420..430 => ("host/nobody//at-home", ""),
        430..500 => ("wait/3/echo", ""),
        _ => ("echo", "text"),
    }
}

fn caller(client: &Client, seed: u64, until: Instant) -> BTreeMap<&'static str, Tally> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tallies = BTreeMap::<&str, Tally>::new();
    while Instant::now() < until {
        let name = *MODULES.choose(&mut random).unwrap();
        let (operation, payload) = operation(&mut random);
        let kind = outcome(&client.call(name, operation, payload.as_bytes()));
        if matches!(kind.as_str(), "rate_limited" | "failed" | "busy") {
            pause_for(Duration::from_millis(2));
        }
        *tallies.entry(name).or_default().entry(kind).or_default() += 1;
    }
    tallies
}

/// Lines of the log by a field, among those with this message and restarts only.
fn restarts_logged(lines: &[Value], kind: &str, name: &str) -> Tally {
    let mut tally = Tally::new();
    for line in lines.iter().filter(|line| line["message"] == "child ended" && line[kind] == name) {
        if line["decision"].as_str().unwrap().starts_with("restart") {
            *tally.entry(line["exit_reason"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    tally
}

fn bindings(daemon: &Daemon) -> Vec<BindingStatus> {
    serde_json::from_slice(&daemon.request("GET", "/v1/bindings", "", b"").unwrap().body).unwrap()
}

/// Waits until nothing runs and nothing is about to be started.
fn wait_until_quiet(daemon: &Daemon) {
    eventually("everything has settled", || {
        let status = daemon.status();
        let idle = |module: &ModuleStatus| (module.queued, module.in_flight) == (0, 0);
        let runs = |module: &ModuleStatus| {
            let wanted = if matches!(module.name.as_str(), "double" | "each") { 2 } else { 1 };
            module.state.as_str() == "running" && module.instances.len() == wanted
        };
        status.modules.iter().all(|module| idle(module) && runs(module))
            && status.bindings.iter().all(|binding| binding.state.as_str() == "running")
    });
}

fn assert_module(daemon: &Daemon, name: &str, seen: &Tally, metrics: &Metrics) -> ModuleStatus {
    let status = daemon.module(name);
    assert_eq!(counted(&status.calls), *seen, "{name}: what callers saw");
    assert_metrics_of(&status, metrics);
    let lines = daemon.log_lines();
    assert_eq!(restarts_logged(&lines, "module", name), counted(&status.restarts_by_reason), "{name}: the log");
    status
}

#[test]
fn after_everything_at_random_status_events_log_metrics_and_callers_agree() {
    let mut daemon = Daemon::start(&toml());
    daemon.expect_panics(&["as asked"]);
    let told = Stream::open(&daemon).collect();
    let seed: u64 = std::env::var("WAPCD_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    #[allow(clippy::print_stderr, reason = "the runner shows it where the test failed")]
    {
        eprintln!("WAPCD_TEST_SEED={seed}");
    }
    let until = Instant::now() + SPAN;
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let client = daemon.client();
            thread::spawn(move || caller(&client, seed.wrapping_add(n), until))
        })
        .collect();
    let mut seen = BTreeMap::<&str, Tally>::new();
    for caller in callers {
        caller.join().unwrap().into_iter().for_each(|(name, tally)| add(seen.entry(name).or_default(), tally));
    }
    for sick in ["well", "well"] {
        // A binding that holds calls, or whose backend is closed meanwhile, may need a second word.
        let kind = outcome(&daemon.call("single", &format!("host/faulty//{sick}"), b""));
        add(seen.entry("single").or_default(), Tally::from([(kind, 1)]));
    }
    wait_until_quiet(&daemon);
    daemon.wait_for_line(daemon.events().last().unwrap().seq);
    let metrics = Metrics::of(&daemon);
    let modules: Vec<ModuleStatus> =
        MODULES.iter().map(|name| assert_module(&daemon, name, &seen[name], &metrics)).collect();
    let bindings = bindings(&daemon);
    for binding in &bindings {
        let by_outcome = metrics.by("wapcd_host_calls_total", &[("binding", &binding.name)], "outcome");
        let mut own = Tally::new();
        binding.host_calls.iter().for_each(|call| add(&mut own, Tally::from([(call.outcome.clone(), call.count)])));
        assert_eq!(own, by_outcome, "{}", binding.name);
        assert_eq!(own.get("ok").copied().unwrap_or_default(), binding.calls_ok);
        assert_eq!(own.values().sum::<u64>(), binding.calls_ok + binding.calls_failed);
        let restarts = metrics.by("wapcd_binding_restarts_total", &[("binding", &binding.name)], "reason");
        assert_eq!(restarts, counted(&binding.restarts_by_reason));
        assert_eq!(restarts_logged(&daemon.log_lines(), "binding", &binding.name), restarts);
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let told = told.join().unwrap();
    assert_whole(&told);
    assert_told(&told, &modules, &bindings);
    // Each event is one line of the log, in the same order.
    let lines: Vec<u64> = daemon.log_lines().iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(lines, told.iter().map(|event| event.seq).collect::<Vec<_>>());
    assert!(daemon.home().path().exists());
}

/// The events of each child add up to its status.
fn assert_told(told: &[Event], modules: &[ModuleStatus], bindings: &[BindingStatus]) {
    let of =
        |subject: Subject| -> Vec<Event> { told.iter().filter(|event| event.subject == subject).cloned().collect() };
    for module in modules {
        let own = of(Subject::Module(module.name.as_str().into()));
        assert_eq!(restarts_in(&own), counted(&module.restarts_by_reason), "{}", module.name);
        let exit = last_exit_in(&own).map(|(_, exit)| exit);
        assert_eq!(exit, module.last_exit.as_ref(), "{}", module.name);
        assert_chain(&own, "idle");
    }
    for binding in bindings {
        let own = of(Subject::Binding(binding.name.as_str().into()));
        assert_eq!(restarts_in(&own), counted(&binding.restarts_by_reason), "{}", binding.name);
        assert_chain(&own, "starting");
    }
}

/// Each change of state begins where the one before ended.
fn assert_chain(events: &[Event], first: &str) {
    let mut state = first.to_owned();
    for event in events {
        if let What::StateChanged { from, to, .. } = &event.what {
            assert_eq!(*from, state, "{event:?} among {events:?}");
            assert_ne!(from, to, "{event:?}");
            state.clone_from(to);
        }
    }
}
