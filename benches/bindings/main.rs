//! What a host call costs, beside what it is made for.
//!
//! A guest makes many host calls in one guest call, so that a guest call does not count. What happens on one thread is
//! timed there, by the time that the thread is on its core; what waits for other threads, disks and servers is measured
//! in a whole daemon without its socket, by the time that passes.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../parts/mod.rs"]
mod parts;

#[path = "../../tests/bindings/servers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it belongs to the tests, which need more of it")]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "without its servers nothing is measured"
)]
mod servers;

mod calls;
mod clients;
mod daemon;
mod memory;
mod modules;
mod publish;
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
    let mut report = Report::new("Host calls, beside what they are made for");
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
    if wanted("publish") {
        publish::measure(&stage, &report)?;
    }
    if wanted("redb") {
        redb::measure(&stage, &report)?;
    }
    if wanted("redis") {
        clients::redis(&stage, &mut report)?;
    }
    if wanted("nats") {
        clients::nats(&stage, &mut report)?;
    }
    Ok(report.finish())
}
