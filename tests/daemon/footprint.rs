//! What a daemon takes of the machine, as the machine tells it.

use std::fs;

use crate::harness::Daemon;

/// What a process takes of the machine.
#[derive(Debug)]
pub(crate) struct Footprint {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    /// KiB that are resident.
    pub(crate) memory: u64,
}

impl Footprint {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let proc = format!("/proc/{}", daemon.pid());
        let count = |what: &str| fs::read_dir(format!("{proc}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().split(' ').next().unwrap().parse().unwrap();
        Self { threads: count("task"), descriptors: count("fd"), memory }
    }
}
