//! Swaps under load: no call fails, each is answered by code that was the instance's at that time, and no count is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    callers::{Answer, Callers},
    guest::{self, Build, Start},
    harness::{Daemon, Home, eventually, pause_for},
    history::History,
    stage::{self, module, put, sized},
    told::Told,
};

/// How many call at one time.
const CLIENTS: usize = 8;

/// The modules that are swapped, with so many instances each.
const MODULES: [&str; 2] = ["one", "three"];

/// The build of a swap's number, of the module of that index.
fn build_of(module: usize, swap: u32) -> u32 {
    swap * 10 + u32::try_from(module).unwrap()
}

fn start() -> (Daemon, Told) {
    let hand_over = "swap = { export = \"export\", import = \"import\" }";
    let home = Home::new(&format!(
        "[daemon]\nworkers = 2\n[watch]\nsettle = \"50ms\"\n{}{}",
        module("one", hand_over),
        module("three", &format!("instances = 3\n{hand_over}"))
    ));
    for (index, name) in MODULES.iter().enumerate() {
        home.write(&format!("{name}.wasm"), guest::build(build_of(index, 0)));
    }
    let daemon = home.start();
    daemon.wait_for_instances("three", 3);
    let told = Told::follow(&daemon);
    (daemon, told)
}

/// Swaps a module, by its file or by an operator, and waits until that is done.
fn swap(daemon: &Daemon, told: &Told, index: usize, number: u32) -> Vec<u8> {
    let (name, bytes) = (MODULES[index], guest::build(build_of(index, number)));
    if number.is_multiple_of(2) {
        let before = told.count();
        put(&daemon.home().path().join(format!("{name}.wasm")), &bytes);
        told.wait_swapped(before, name, &guest::sha256(&bytes));
    } else {
        stage::swapped(daemon, name, &bytes);
    }
    bytes
}

/// The time within which 999 of a thousand were answered, and the longest.
fn slowest(answers: &[Answer]) -> (Duration, Duration) {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    (times[times.len() * 999 / 1000], times[times.len() - 1])
}

/// The counts that the guests of a module gave are those of its calls: each instance counted without a gap, and none
/// began anew.
fn assert_counted(answers: &[Answer], module: &str) {
    let mut counts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut calls = 0;
    for answer in answers.iter().filter(|answer| answer.module == module) {
        calls += 1;
        counts.entry(answer.instance.unwrap()).or_default().insert(answer.both().1);
    }
    let sum: u64 = counts.values().map(|counts| counts.len() as u64).sum();
    assert_eq!(sum, calls, "{module}: a count was given twice");
    for (instance, counts) in counts {
        let last = counts.last().copied().unwrap_or_default();
        assert_eq!(last, counts.len() as u64, "{module}: instance {instance} lost counts or began anew");
    }
}

#[test]
fn among_swaps_under_load_no_call_fails_or_is_answered_by_other_code_than_its_own() {
    let (swaps, calls) = sized((60, 10_000), (1_000, 200_000));
    let (daemon, told) = start();
    let mut builds = BTreeMap::new();
    for index in 0..MODULES.len() {
        builds.insert(guest::sha256(&guest::build(build_of(index, 0))), guest::name(build_of(index, 0)));
    }

    let calm = Callers::start(&daemon, CLIENTS, &MODULES, "both");
    pause_for(Duration::from_secs(2));
    let calm = calm.end();

    let callers = Callers::start(&daemon, CLIENTS, &MODULES, "both");
    let began = Instant::now();
    for number in 1..=swaps / 2 {
        for index in 0..MODULES.len() {
            let bytes = swap(&daemon, &told, index, number);
            builds.insert(guest::sha256(&bytes), guest::name(build_of(index, number)));
        }
    }
    let swapping = began.elapsed();
    // A slow machine swaps quicker than it calls.
    while callers.made() + (calm.len() as u64) < calls && began.elapsed() < swapping * 20 {
        pause_for(Duration::from_millis(20));
    }
    let stormy = callers.end();

    let all: Vec<_> = calm.iter().chain(&stormy).cloned().collect();
    assert!(all.len() as u64 >= calls, "only {} calls", all.len());
    eventually("every swap is told", || MODULES.iter().all(|module| told.swaps(0, module).len() == swaps as usize / 2));
    let history = History::new(&told.all());
    let faults: Vec<_> = all.iter().filter_map(|answer| history.fault(answer, &builds)).collect();
    assert!(
        faults.is_empty(),
        "{} of {} answers:\n{}",
        faults.len(),
        all.len(),
        faults[..faults.len().min(20)].join("\n")
    );
    for module in MODULES {
        assert_eq!(history.count(module), swaps as usize / 2 + 1, "{module}");
        assert!(told.failures(0, module).is_empty());
        assert_counted(&all, module);
        let status = daemon.module(module);
        assert_eq!((status.calls_failed, status.calls_refused, status.restarts), (0, 0, 0), "{module}");
    }

    let ((calm_999, calm_longest), (storm_999, storm_longest)) = (slowest(&calm), slowest(&stormy));
    figure(&format!(
        "{swaps} swaps in {swapping:.1?} under {CLIENTS} clients, {} calls: longest call {storm_longest:.1?}, 99.9 % within \
         {storm_999:.1?}; without swaps {calm_longest:.1?} and {calm_999:.1?} of {} calls",
        all.len(),
        calm.len()
    ));
}

#[test]
fn a_swap_whose_state_is_not_handed_over_keeps_the_old_code_and_its_count() {
    let (daemon, told) = start();
    for n in 1..=5 {
        assert_eq!(daemon.call("one", "count", b"").text(), n.to_string());
    }
    let refusing = Build { wants_no_state: true, ..Build::default() }.make(7);
    let refused = stage::swap(&daemon, "one", &refusing);
    assert_eq!((refused.status, refused.kind().as_str()), (422, "swap-failed"), "{}", refused.text());
    assert!(refused.detail().contains("import") && refused.detail().contains("ill"), "{}", refused.detail());
    let trapping = Build { traps: true, ..Build::default() }.make(8);
    assert_eq!(stage::swap(&daemon, "one", &trapping).kind(), "swap-failed");
    let dying = Build { start: Start::Traps, ..Build::default() }.make(8);
    assert_eq!(stage::swap(&daemon, "one", &dying).kind(), "swap-failed");
    assert_eq!(daemon.call("one", "both", b"").text(), "00000000 6");
    assert_eq!((told.swaps(0, "one").len(), daemon.module("one").restarts), (0, 0));

    // Code that does not give its state away cannot be replaced by code that wants it.
    let keeping = Build { keeps_state: true, ..Build::default() }.make(9);
    stage::swapped(&daemon, "one", &keeping);
    assert_eq!(daemon.call("one", "both", b"").text(), "00000009 7");
    let next = stage::swap(&daemon, "one", &guest::build(10));
    assert!(next.detail().contains("export") && next.detail().contains("ill"), "{}", next.detail());
    assert_eq!(daemon.call("one", "both", b"").text(), "00000009 8");
}

/// Adds a line to the figures of this run and shows it.
pub(crate) fn figure(line: &str) {
    use std::io::Write as _;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap.txt");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
    #[allow(clippy::print_stdout, reason = "the figures of the run, which runners show when asked")]
    {
        println!("{line}");
    }
}

#[test]
fn a_large_guest_takes_over_without_holding_up_the_calls() {
    let (daemon, told) = start();
    for size in sized(vec![100_000], vec![100_000, 2_000_000]) {
        let bytes = Build { size, ..Build::default() }.make(5);
        let callers = Callers::start(&daemon, 2, &["three"], "both");
        let (before, began) = (told.count(), Instant::now());
        put(&daemon.home().path().join("one.wasm"), &bytes);
        told.wait_swapped(before, "one", &guest::sha256(&bytes));
        eventually("it answers", || daemon.call("one", "build", b"").text() == guest::name(5));
        let (took, answers) = (began.elapsed(), callers.end());
        assert!(answers.iter().all(|answer| answer.status == 200));
        let (_, longest) = slowest(&answers);
        figure(&format!(
            "{size} bytes of code answer {took:.1?} after their rename; longest call meanwhile {longest:.1?}"
        ));
        put(&daemon.home().path().join("one.wasm"), guest::build(6));
        told.wait_swapped(before, "one", &guest::sha256(&guest::build(6)));
    }
}
