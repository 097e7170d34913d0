//! What systemd does about a daemon that hangs, dies, or dies again and again.

use std::{fs, thread};

use nix::{
    sys::{
        ptrace,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use crate::{guests, machine::Machine};

/// A worker's thread that is held until this is dropped.
struct Held(Pid);

impl Held {
    /// Holds the first worker of the daemon whose process is `main` in the box.
    fn new(machine: &Machine, main: u32) -> Self {
        let thread = Pid::from_raw(worker_of(process_of(machine, main)));
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        let held = Self(thread);
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        // A thread that was killed is gone only when whoever held it knows.
        thread::spawn(move || waitpid(thread, Some(WaitPidFlag::__WALL)));
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A thread that is gone needs no release.
        ptrace::detach(self.0, None).unwrap_or_default();
    }
}

/// A process of the box, as it is seen from outside.
fn process_of(machine: &Machine, inside: u32) -> i32 {
    let space = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let own = space(&machine.leader().to_string());
    let inside = inside.to_string();
    let is_it = |process: &String| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        ids.split_whitespace().last() == Some(&*inside) && space(process) == own
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    processes.filter(|name| name.parse::<u32>().is_ok()).find(is_it).unwrap().parse().unwrap()
}

/// The thread of a daemon's first worker.
fn worker_of(process: i32) -> i32 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|thread| thread.unwrap());
    let is_worker = |thread: &fs::DirEntry| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name == "wapcd-worker-0\n")
    };
    threads.into_iter().find(is_worker).unwrap().file_name().to_str().unwrap().parse().unwrap()
}

pub(crate) fn watchdog(machine: &Machine) {
    machine.edit("WatchdogSec=6s");
    guests::configure(machine, &guests::counter());
    let before = guests::count(machine);
    let process = machine.main_pid();
    // A daemon that is well lives on past its watchdog's time, at work and idle.
    machine.ok("sleep 13");
    assert_eq!(machine.main_pid(), process);

    let held = Held::new(machine, process);
    machine.until("test $(systemctl show --value --property NRestarts wapcd) = 1");
    machine.until("systemctl is-active wapcd");
    drop(held);
    machine.until("journalctl --no-pager -u wapcd | grep -q 'Watchdog timeout'");
    assert_ne!(machine.main_pid(), process);
    assert_eq!(guests::count(machine), before + 1);
}

pub(crate) fn killed(machine: &Machine) {
    guests::configure(machine, &guests::counter());
    let before = guests::count(machine);
    for times in 1..=2 {
        let process = machine.main_pid();
        machine.ok(&format!("kill -KILL {process}"));
        machine.until(&format!("test $(systemctl show --value --property NRestarts wapcd) = {times}"));
        machine.until("systemctl is-active wapcd");
        assert_ne!(machine.main_pid(), process);
        assert_eq!(guests::count(machine), before + times);
    }
}

pub(crate) fn crash_loop(machine: &Machine) {
    // A group that must not fail, with a member that always does.
    let critical = "[groups.all]\nmembers = [\"doomed\"]\nintensity = 0\ncritical = true\n";
    let doomed = guests::module("doomed", "on_start = \"trap\"");
    guests::put(machine);
    machine.put("/etc/wapcd/conf.d/proof.toml", doomed + critical);
    machine.run("systemctl restart wapcd");
    machine.until(
        "systemctl is-failed wapcd && journalctl --no-pager -u wapcd | grep -q 'Start request repeated too quickly'",
    );
    // Ten starts in a minute are the limit, of which the installation may have been one: on a slow machine they are counted
    // anew in the midst of it.
    let restarts: u32 = machine.property("wapcd", "NRestarts").parse().unwrap();
    assert!((9..30).contains(&restarts), "{restarts}");
    assert_eq!(machine.property("wapcd", "ExecMainStatus"), "1");
    machine.fails("systemctl start wapcd");

    // It waits for an administrator, who mends it.
    machine.ok("rm /etc/wapcd/conf.d/proof.toml && systemctl reset-failed wapcd && systemctl start wapcd");
    assert_eq!(machine.ok("systemctl is-active wapcd"), "active");

    // Nobody tries a wrong configuration again.
    machine.put("/etc/wapcd/conf.d/proof.toml", "nonsense");
    machine.fails("systemctl restart wapcd");
    assert_eq!(machine.ok("systemctl is-failed wapcd"), "failed");
    assert_eq!(machine.property("wapcd", "ExecMainStatus"), "78");
    assert_eq!(machine.property("wapcd", "NRestarts"), "0");
}
