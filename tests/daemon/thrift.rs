//! What the daemon does not waste: the processor while nothing happens, memory while guests fail, and the operator's
//! time while every worker computes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, thread,
    time::{Duration, Instant},
};

use crate::harness::{Daemon, eventually, module, pause_for};

/// Nanoseconds that each thread of a process has run.
fn processor_times(pid: u32) -> BTreeMap<OsString, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap);
    let time = |task: fs::DirEntry| {
        // A thread may end in between.
        let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((task.file_name(), schedstat.split(' ').next()?.parse().ok()?))
    };
    tasks.filter_map(time).collect()
}

/// Nanoseconds that the threads of a process run within such a time. Those that end in it are left out, so that what they
/// had run before is nobody's gain.
fn run_within(pid: u32, time: Duration) -> u64 {
    let before = processor_times(pid);
    pause_for(time);
    let after = processor_times(pid);
    after.iter().map(|(thread, time)| time.saturating_sub(before.get(thread).copied().unwrap_or_default())).sum()
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_idle_daemon_with_a_hundred_modules_uses_less_than_a_thousandth_of_a_core() {
    let toml: String = (0..100).map(|n| module(&format!("m{n}"), "")).collect();
    let daemon = Daemon::start(&toml);
    // Each has been at work, so that whatever work leaves behind is there.
    for n in 0..100 {
        assert_eq!(daemon.call(&format!("m{n}"), "echo", b"").status, 200);
    }
    assert_eq!(daemon.call("m0", "trap", b"").kind(), "trapped");
    eventually("the connections are closed", || run_within(daemon.pid(), Duration::from_millis(200)) < 200_000);
    let share = || {
        let start = Instant::now();
        run_within(daemon.pid(), Duration::from_secs(4)) as f64 / start.elapsed().as_nanos() as f64
    };
    // What an idle daemon does it does always: connections that end late, and neighbours, are in some of the times only.
    let mut shares = Vec::new();
    while shares.last().is_none_or(|share| *share >= 0.001) {
        shares.push(share());
        assert!(shares.len() < 8, "shares of a core: {shares:?}");
    }
}

#[test]
fn two_thousand_traps_leave_no_memory_behind() {
    let daemon = Daemon::start(&module(
        "menu",
        "restart = { intensity = 10000, period = \"1s\", backoff = { initial = \"0s\" } }",
    ));
    let trap = |times: usize| (0..times).for_each(|_| assert_eq!(daemon.call("menu", "trap", b"").kind(), "trapped"));
    trap(300);
    let before = resident(daemon.pid());
    trap(1700);
    let after = resident(daemon.pid());
    assert_eq!(daemon.call("menu", "number", b"").text(), "1");
    assert_eq!(daemon.module("menu").restarts, 2000);
    // An instance that stayed would leave its stack and pages: more than 20 KiB each, 34 MiB in all.
    assert!(after < before + 3000, "{before} KiB before, {after} KiB after");
}

#[test]
fn the_control_socket_answers_while_every_worker_computes() {
    let spinning = "instances = \"per-worker\"\nlimits = { call_timeout = \"1m\" }\nshutdown = \"kill\"";
    let daemon = Daemon::start(&(module("spins", spinning) + &module("menu", "")));
    let spins: Vec<_> = (0..2)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || client.call("spins", "spin", b"").kind())
        })
        .collect();
    eventually("both workers compute", || daemon.module("spins").in_flight == 2);
    for _ in 0..5 {
        daemon.status();
        // A guest on the same worker gets its turns as well.
        assert_eq!(daemon.call("menu", "echo", b"me too").text(), "me too");
    }
    assert_eq!(daemon.module("spins").in_flight, 2, "they computed all the time");
    daemon.ctl(&["stop", "spins"]);
    for spin in spins {
        assert_eq!(spin.join().unwrap(), "lost");
    }
}
