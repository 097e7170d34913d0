//! Swaps without end: what the process needs stays as it is.

use std::fs;

use crate::{
    guest::{self, Build},
    harness::{Daemon, Home},
    load::figure,
    stage::{self, module, sized},
};

/// Swaps after which everything that is needed once is there.
const WARM: usize = 100;

/// Growth that is allowed, in percent.
const GROWTH: u64 = 5;

/// What the process needs after a swap.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Resident memory in KiB.
    memory: u64,
    mappings: u64,
    descriptors: u64,
}

fn needs(pid: u32) -> Needs {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let rollup = read("smaps_rollup");
    let memory = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    Needs {
        memory: memory.split_whitespace().next().unwrap().parse().unwrap(),
        mappings: read("maps").lines().count() as u64,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
    }
}

fn median(seen: &[Needs], of: impl Fn(&Needs) -> u64) -> u64 {
    let mut numbers: Vec<_> = seen.iter().map(of).collect();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn swaps_without_end_leave_memory_mappings_and_descriptors_as_they_are() {
    let swaps = sized(300, 20_000);
    // Compiled code of the size of a small real guest, so that a generation that stays would be seen.
    let builds = [1, 2].map(|number| Build { size: 5_000, ..Build::default() }.make(number));
    let home = Home::new(&format!("[watch]\nmode = \"off\"\n{}", module("swapped", "")));
    home.write("swapped.wasm", &builds[0]);
    let daemon = home.start();
    let seen: Vec<_> = (1..=swaps).map(|number| swap_and_look(&daemon, &builds[number % 2], number)).collect();

    let tenth = (swaps - WARM) / 10;
    let (first, last) = (&seen[WARM..WARM + tenth], &seen[swaps - tenth..]);
    let compare = |what: &str, of: fn(&Needs) -> u64| {
        let (before, after) = (median(first, of), median(last, of));
        assert!(after * 100 <= before * (100 + GROWTH), "{what}: {before} after {WARM} swaps, {after} after {swaps}");
        (before, after)
    };
    let memory = compare("KiB of resident memory", |needs| needs.memory);
    let mappings = compare("mappings", |needs| needs.mappings);
    compare("descriptors", |needs| needs.descriptors);
    figure(&format!(
        "{swaps} swaps: resident memory {} KiB after the first {WARM} and {} KiB at the end, mappings {} and {}",
        memory.0, memory.1, mappings.0, mappings.1
    ));
    assert_eq!(stage::running_build(&daemon, "swapped"), guest::name(if swaps.is_multiple_of(2) { 1 } else { 2 }));
}

/// The odd swaps bring the second build, the even ones the first back.
fn swap_and_look(daemon: &Daemon, build: &[u8], number: usize) -> Needs {
    let report = stage::swapped(daemon, "swapped", build);
    assert!(report.changed && report.module.generation == number as u64 + 1, "swap {number}: {report:?}");
    assert_eq!(daemon.call("swapped", "count", b"").text(), "1");
    needs(daemon.pid())
}
