//! How soon a changed file answers, what its callers notice, and how long a daemon with many modules takes to start.
//!
//! The real binary, in a process of its own, over its socket. Times are those that pass, since waiting is what is
//! measured; they need the machine for themselves more than ratios do, and what is compared is measured in turns.

#[path = "../harness/mod.rs"]
mod harness;

mod change;
mod daemon;
mod guests;
mod load;
mod rate;
mod start;

use std::{process::ExitCode, time::Duration};

use harness::{Failure, Report};

/// Sizes of the guests: that of a small program of Rust or AssemblyScript, and that of one of Go.
const SMALL: usize = 100 << 10;
const LARGE: usize = 2 << 20;

/// A module of the guest `NAME.wasm`.
fn module(name: &str) -> String {
    format!("[modules.{name}]\npath = \"{name}.wasm\"\n")
}

/// Runs the measures that are named among the arguments, else all.
fn main() -> Result<ExitCode, Failure> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |measure: &str| named.is_empty() || named.iter().any(|name| name == measure);
    let mut report = Report::new("A daemon that follows its files");
    if wanted("change") {
        change::measure(&report)?;
    }
    if wanted("load") {
        load::measure(&report)?;
    }
    if wanted("start") {
        start::measure(&mut report)?;
    }
    if wanted("rate") {
        rate::measure(&report)?;
    }
    Ok(report.finish())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
