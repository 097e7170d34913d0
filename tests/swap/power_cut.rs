//! kill -9 in the middle of swaps and reloads: the next start comes up with all of one code, and nothing that was
//! acknowledged is lost.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use wapcd::supervisor::status::ModuleState;

use crate::{
    client::{Client, Response},
    guest,
    harness::{Daemon, Home, pause_for},
    stage::{module, put, sized},
};

/// The builds that take each other's place.
const BUILDS: [u32; 2] = [1, 2];

/// The configuration, with or without a module that comes and goes.
fn toml(extra: bool) -> String {
    let extra = if extra { module("extra", "").replace("extra.wasm", "writer.wasm") } else { String::new() };
    format!(
        "[daemon]\nworkers = 2\n[watch]\nsettle = \"50ms\"\n[bindings.store]\ntype = \"keyvalue\"\n{}{}{extra}",
        module("victim", ""),
        module("writer", "links = [\"store\"]"),
    )
}

/// What a daemon has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    /// The last value of the number.
    number: AtomicU64,
    swaps: AtomicU64,
    reloads: AtomicU64,
}

/// Counts a request that was done; whether there is someone who answered.
fn counted(answer: std::io::Result<Response>, count: &AtomicU64) -> bool {
    let done = answer.as_ref().is_ok_and(|answer| answer.status == 200);
    count.fetch_add(u64::from(done), SeqCst);
    answer.is_ok()
}

/// Does something again and again until the daemon is gone.
fn until_gone(mut once: impl FnMut() -> bool + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || while once() {})
}

/// Increments a durable number; the last answer is what was acknowledged.
fn increment(client: Client, acknowledged: Arc<Acknowledged>) -> JoinHandle<()> {
    until_gone(move || {
        let Ok(answer) = client.try_call("writer", "incr", b"{\"key\":\"n\"}") else { return false };
        if answer.status == 200 {
            acknowledged.number.store(value(&answer.text()), SeqCst);
        }
        answer.status == 200
    })
}

fn value(text: &str) -> u64 {
    text.trim_start_matches("{\"value\":").trim_end_matches('}').parse().unwrap()
}

/// Swaps by the file and by an operator in turn.
fn swap(client: Client, file: PathBuf, acknowledged: Arc<Acknowledged>) -> JoinHandle<()> {
    let mut number = 0;
    until_gone(move || {
        number += 1;
        let bytes = guest::build(BUILDS[number / 2 % 2]);
        if number % 2 == 0 {
            put(&file, bytes);
            pause_for(Duration::from_millis(20));
            return client.request("GET", "/v1/status", "", b"").is_ok();
        }
        counted(client.request("POST", "/v1/modules/victim/swap", "", &bytes), &acknowledged.swaps)
    })
}

/// Lets a module come and go.
fn reload(client: Client, config: PathBuf, texts: [Vec<u8>; 2], acknowledged: Arc<Acknowledged>) -> JoinHandle<()> {
    let mut number = 0;
    until_gone(move || {
        number += 1;
        put(&config, &texts[number % 2]);
        counted(client.request("POST", "/v1/reload", "", b""), &acknowledged.reloads)
    })
}

/// The configuration as the harness writes it.
fn texts(home: &Home) -> [Vec<u8>; 2] {
    [true, false].map(|extra| {
        home.configure(&toml(extra));
        fs::read(home.config()).unwrap()
    })
}

/// What must hold after a start, whatever there was before.
fn assert_whole(daemon: &Daemon, acknowledged: u64, told: &str) {
    let status = daemon.module("victim");
    assert_eq!((status.state, status.instances.len()), (ModuleState::Running, 1), "{told}: {status:?}");
    let build = daemon.call("victim", "build", b"").text();
    let runs = BUILDS.into_iter().find(|number| guest::name(*number) == build);
    let hash = runs.map(|number| guest::sha256(&guest::build(number)));
    assert!(hash.is_some() && hash == status.sha256, "{told}: build {build}, {status:?}");
    let file = fs::read(daemon.home().path().join("victim.wasm")).unwrap();
    assert_eq!(status.differs.is_some(), status.sha256 != Some(guest::sha256(&file)), "{told}: {status:?}");

    let extra = fs::read_to_string(daemon.home().config()).unwrap().contains("[modules.extra]");
    let names: Vec<_> = daemon.status().modules.into_iter().map(|module| module.name).collect();
    assert_eq!(names.contains(&"extra".to_owned()), extra, "{told}: {names:?}");

    let answer = daemon.call("writer", "incr", b"{\"key\":\"n\"}");
    assert_eq!(answer.status, 200, "{told}: {}", answer.text());
    // One increment may have been done whose answer nobody got any more.
    let next = value(&answer.text());
    assert!((acknowledged + 1..=acknowledged + 2).contains(&next), "{told}: {next} after {acknowledged}");
    assert_eq!(daemon.status().configuration.last_error, None, "{told}");
}

#[test]
fn after_a_kill_in_the_middle_of_swaps_and_reloads_all_of_one_code_runs_and_nothing_is_lost() {
    let seed = std::env::var("WAPCD_TEST_SEED").map_or_else(|_unset| rand::random(), |seed| seed.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let mut home = Home::new("");
    home.write("victim.wasm", guest::build(1));
    home.write("writer.wasm", guest::build(9));
    let texts = texts(&home);
    let acknowledged = Arc::new(Acknowledged::default());
    let rounds = sized(8, 50);
    let done = |count: &AtomicU64| count.load(SeqCst);
    let mut round = 0;
    // A daemon that did nothing of it would have nothing to lose: on a slow machine it gets more rounds for that.
    while round < rounds
        || (done(&acknowledged.swaps).min(done(&acknowledged.reloads)) <= rounds && round < 10 * rounds)
    {
        round += 1;
        let daemon = home.start();
        let busy = [
            increment(daemon.client(), Arc::clone(&acknowledged)),
            swap(daemon.client(), daemon.home().path().join("victim.wasm"), Arc::clone(&acknowledged)),
            reload(daemon.client(), daemon.home().config(), texts.clone(), Arc::clone(&acknowledged)),
        ];
        let time = Duration::from_micros(random.random_range(20_000..500_000));
        pause_for(time);
        home = daemon.kill();
        busy.into_iter().for_each(|busy| busy.join().unwrap());

        let daemon = home.start();
        assert_whole(
            &daemon,
            acknowledged.number.load(SeqCst),
            &format!("round {round} of seed {seed}, after {time:?}"),
        );
        let next = daemon.call("writer", "incr", b"{\"key\":\"n\"}");
        acknowledged.number.store(value(&next.text()), SeqCst);
        home = daemon.kill();
    }
    let (swaps, reloads) = (done(&acknowledged.swaps), done(&acknowledged.reloads));
    assert!(swaps > rounds && reloads > rounds, "{swaps} swaps and {reloads} reloads in {round} rounds");
}
