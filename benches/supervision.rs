//! What a healthy module notices of a failing one on its worker, and how soon a failed instance is replaced.
//!
//! A whole daemon without its socket: one worker, the supervisor and the callers on the system's thread. Times are those
//! that pass, since waiting is what is measured; so they need a core for each of the two threads, and one for the ticker
//! now and then.

mod harness;

use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use harness::{Failure, Report, quantile};
use tokio::time::sleep;
use wapcd::{
    actors::{CallReply, CallRequest, Origin},
    bindings::Chain,
    config::{self, Environment},
    supervisor::{self, SupervisorHandle, Surroundings},
};

/// How much later the 99th percentile of calls may be beside a module that spins to its deadline, in milliseconds.
const LATER_MILLIS: f64 = 10.0;

/// From a trap's reply to the fresh instance's first answer, in milliseconds, for a guest of a megabyte.
const FRESH_MILLIS: f64 = 1.0;

/// Share of its calls per second that a module keeps beside one that crash-loops.
const SHARE: f64 = 0.9;

/// Alone and beside are measured in turns, so many of each: an odd number, so that the median is one that was seen.
const TURNS: u32 = 9;

/// How long a turn of calls is: long enough for two hundred calls that each wait for a slice.
const TURN: Duration = Duration::from_millis(500);

/// Traps after which the fresh instance is timed.
const TRAPS: usize = 201;

/// Bytes of the guest's data and of its code, a megabyte together. More code would only take longer to compile: an
/// instance maps it and copies nothing.
const DATA: usize = 896 << 10;
const CODE: usize = 128 << 10;

const CONFIGURATION: &str = r#"
[daemon]
workers = 1
state_dir = "state"
[defaults.limits]
call_timeout = "30s"
[modules.healthy]
path = "guest.wasm"
links = ["log"]
[modules.spinner]
path = "guest.wasm"
limits = { call_timeout = "100ms" }
restart = { intensity = 10000, backoff = { initial = "1ms", max = "1ms" } }
[modules.crasher]
path = "guest.wasm"
restart = { intensity = 10000 }
"#;

fn main() -> Result<ExitCode, Failure> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("guest.wasm"), guest()?)?;
    let config = config::parse(CONFIGURATION, &dir.path().join("wapcd.toml"), &Environment::from_process())?;
    let mut report = Report::new("A healthy module beside a failing one, both on the only worker");
    actix::System::new().block_on(async {
        let daemon = Daemon(supervisor::start(config, Surroundings::default()).await?);
        daemon.wait_until_started().await?;
        beside_a_spinner(&daemon, &mut report).await?;
        fresh_instance(&daemon, &mut report).await?;
        beside_a_crash_loop(&daemon, &mut report).await?;
        daemon.0.shutdown(Duration::from_secs(1), "the benchmark is over").await;
        Ok::<_, Failure>(())
    })?;
    Ok(report.finish())
}

/// Text of the guest with enough functions and data to be of its size.
fn guest() -> Result<Vec<u8>, Failure> {
    let mut padding = format!("(data (i32.const 65536) \"{}\")", "x".repeat(DATA));
    // Some 13 bytes each, with its entry in the table of functions.
    for number in 0..CODE / 13 {
        write!(padding, "(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {})))", 70_000 + number)?;
    }
    Ok(wat::parse_str(include_str!("guests/supervision.wat").replace("(;PADDING;)", &padding))?)
}

#[derive(Clone)]
struct Daemon(SupervisorHandle);

impl Daemon {
    async fn call(&self, module: &str, operation: &str) -> CallReply {
        let request = CallRequest {
            operation: operation.to_owned(),
            payload: Bytes::from_static(b"hello"),
            deadline: None,
            origin: Origin::Control,
            chain: Chain::default(),
        };
        self.0.call(module, request).await
    }

    /// Calls that wait until their module runs.
    async fn wait_until_started(&self) -> Result<(), Failure> {
        for module in ["healthy", "spinner", "crasher"] {
            self.call(module, "echo").await.outcome?;
        }
        Ok(())
    }

    /// Times of the healthy module's calls, one after the other for one turn, in milliseconds.
    async fn turn(&self, operation: &str) -> Result<Vec<f64>, Failure> {
        let (mut times, began) = (Vec::new(), Instant::now());
        while began.elapsed() < TURN {
            let called = Instant::now();
            self.call("healthy", operation).await.outcome?;
            times.push(millis(called.elapsed()));
        }
        Ok(times)
    }

    /// Calls per second of the healthy module in one turn, by so many callers.
    async fn throughput(&self, callers: usize) -> Result<f64, Failure> {
        let began = Instant::now();
        let caller = || async {
            let mut calls = 0_u32;
            while began.elapsed() < TURN {
                self.call("healthy", "echo").await.outcome?;
                calls += 1;
            }
            Ok::<_, Failure>(calls)
        };
        let calls = try_join_all((0..callers).map(|_| caller())).await?;
        Ok(f64::from(calls.iter().sum::<u32>()) / began.elapsed().as_secs_f64())
    }
}

/// Callers that keep the healthy module busy where its throughput is measured. With one, the time of a call is that of two
/// threads that wake each other, which says more about the machine than about the neighbour; eight keep both awake.
const CALLERS: usize = 8;

/// Calls a module again and again, whatever comes of it, until it is dropped.
struct Nuisance {
    calls: Rc<Cell<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Nuisance {
    fn start(daemon: &Daemon, module: &'static str, operations: &'static [&'static str]) -> Self {
        let (daemon, calls) = (daemon.clone(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&calls);
        let task = actix::spawn(async move {
            for operation in operations.iter().cycle() {
                // Failing is what it is for.
                drop(daemon.call(module, operation).await);
                counted.set(counted.get() + 1);
            }
        });
        Self { calls, task }
    }
}

impl Drop for Nuisance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beside_a_spinner(daemon: &Daemon, report: &mut Report) -> Result<(), Failure> {
    for (operation, what) in [("echo", "p99 of calls"), ("host", "p99 of calls with a host call")] {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            alone.push(quantile(daemon.turn(operation).await?, 0.99));
            let spinner = Nuisance::start(daemon, "spinner", &["spin"]);
            beside.push(quantile(daemon.turn(operation).await?, 0.99));
            drop(spinner);
            // It spins on to its deadline.
            daemon.call("spinner", "echo").await.outcome?;
        }
        let (alone, beside) = (quantile(alone, 0.5), quantile(beside, 0.5));
        report.note(&format!("{what}, alone"), alone * 1e3, "us");
        report.note(&format!("{what}, beside a spinning guest"), beside * 1e3, "us");
        report.bound(&format!("{what}, later by"), beside - alone, LATER_MILLIS, "ms");
    }
    Ok(())
}

async fn fresh_instance(daemon: &Daemon, report: &mut Report) -> Result<(), Failure> {
    let mut times = Vec::new();
    for _ in 0..TRAPS {
        if daemon.call("crasher", "trap").await.outcome.is_ok() {
            return Err("the guest did not trap".into());
        }
        let trapped = Instant::now();
        daemon.call("crasher", "echo").await.outcome?;
        times.push(millis(trapped.elapsed()));
    }
    report.bound("from a trap to the fresh instance's first answer", quantile(times.clone(), 0.5), FRESH_MILLIS, "ms");
    report.note("the same, 99th percentile", quantile(times, 0.99) * 1e3, "us");
    Ok(())
}

async fn beside_a_crash_loop(daemon: &Daemon, report: &mut Report) -> Result<(), Failure> {
    for (callers, what) in [(CALLERS, "eight callers"), (1, "one caller")] {
        let (mut alone, mut beside, mut crashes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..TURNS {
            alone.push(daemon.throughput(callers).await?);
            let crasher = Nuisance::start(daemon, "crasher", &["trap"]);
            beside.push(daemon.throughput(callers).await?);
            crashes += crasher.calls.get();
            drop(crasher);
            // A success clears the history, so that each turn sees the same crash loop.
            sleep(TURN / 10).await;
            daemon.call("crasher", "echo").await.outcome?;
        }
        // The load of the machine changes from turn to turn, so each is compared with its own neighbour.
        let shares: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
        report.note(&format!("calls of {what}, alone"), quantile(alone, 0.5), "/s");
        report.note("the same, beside a crash loop", quantile(beside, 0.5), "/s");
        report.note("crashes in such a turn", crashes as f64 / f64::from(TURNS), "");
        let share = quantile(shares, 0.5);
        match callers {
            1 => report.note("share of its calls beside a crash loop", share, ""),
            _ => report.at_least("share of its calls beside a crash loop", share, SHARE, ""),
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
