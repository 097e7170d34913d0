//! What a host call costs, beside what it is made for.
//!
//! A guest makes many host calls in one guest call, so that a guest call does not count. What happens on one thread is
//! timed there, by the time that the thread is on its core; what waits for other threads, disks and servers is measured
//! in a whole daemon without its socket, by the time that passes.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../parts/mod.rs"]
mod parts;

mod calls;
mod daemon;
mod memory;
mod modules;
mod redb;
mod stage;
mod turnstile;

use std::process::ExitCode;

use harness::{Failure, Report};

/// Runs the measures that are named among the arguments, else all.
fn main() -> Result<ExitCode, Failure> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |measure: &str| named.is_empty() || named.iter().any(|name| name == measure);
    let stage = stage::Stage::new()?;
    let report = Report::new("Host calls, beside what they are made for");
    if wanted("memory") {
        memory::measure(&stage, &report)?;
    }
    if wanted("turnstile") {
        turnstile::measure(&stage, &report)?;
    }
    if wanted("modules") {
        modules::same_worker(&stage, &report)?;
        modules::other_worker(&stage, &report)?;
    }
    if wanted("redb") {
        redb::measure(&stage, &report)?;
    }
    Ok(report.finish())
}
