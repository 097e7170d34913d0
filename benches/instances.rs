//! Ten thousand idle instances of a guest with one page of memory: how long they take to start, and what each costs.

mod harness;

use std::{
    fs,
    num::NonZeroU64,
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use harness::{Failure, Report};
use tokio::runtime::Builder;
use wapcd::host::{
    CompiledModule, EngineSettings, HostCallbackAsync, HostOptions, Limits, MappingLimit, WapcHostAsync, WasiParams,
    WasmtimeEngine,
};

const INSTANCES: u32 = 10_000;

/// Mappings that the engine may plan with. It plans for guests of all toolchains, and ten thousand of those pass the
/// kernel's default; this guest takes fewer, which are counted below.
const MAPPINGS: NonZeroU64 = NonZeroU64::MAX;

/// All of them are ready to be called within this time.
const START_MILLIS: f64 = 1_000.0;

/// Resident memory of each, after one call each.
const KIB_EACH: f64 = 32.0;

fn main() -> Result<ExitCode, Failure> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let guest = wat::parse_str(include_str!("guests/one_page.wat"))?;
    let mappings = MappingLimit::Fixed(MAPPINGS);
    let engine = WasmtimeEngine::new(EngineSettings { instances: INSTANCES, mappings, ..EngineSettings::default() })?;
    let module = engine.compile(&guest)?;
    let mut report = Report::new("10,000 instances of a guest with one page of memory, on one thread");

    let before = Memory::now()?;
    let started = Instant::now();
    let mut hosts = runtime.block_on(start(&module))?;
    report.bound("started within", started.elapsed().as_secs_f64() * 1e3, START_MILLIS, "ms");
    let idle = Memory::now()?;
    report.note("resident memory of each, never called", idle.resident_since(&before), "KiB");

    let started = Instant::now();
    runtime.block_on(call(&mut hosts))?;
    report.note("one call each", started.elapsed().as_secs_f64() * 1e3, "ms");
    let called = Memory::now()?;
    report.bound("resident memory of each, after one call", called.resident_since(&before), KIB_EACH, "KiB");
    report.note("page tables of each, beside that", called.tables_since(&before), "KiB");
    report.note("memory mappings of the process", fs::read_to_string("/proc/self/maps")?.lines().count() as f64, "");

    let started = Instant::now();
    drop(hosts);
    report.note("dropped within", started.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(report.finish())
}

/// Starts all instances, as the daemon would: an asynchronous callback and a deadline.
async fn start(module: &CompiledModule) -> Result<Vec<WapcHostAsync>, Failure> {
    let limits = Limits { deadline: Some(Duration::from_secs(5)), ..Limits::default() };
    let options = HostOptions { limits, ..HostOptions::default() };
    let mut hosts = Vec::with_capacity(INSTANCES as usize);
    for _ in 0..INSTANCES {
        let callback: Box<HostCallbackAsync> = Box::new(|_, call| Box::pin(async move { Ok(call.payload) }));
        let provider = Box::new(module.provider(WasiParams::default()));
        hosts.push(WapcHostAsync::with_options(provider, Some(callback), options.clone()).await?);
    }
    Ok(hosts)
}

/// Calls each once with 1 KiB.
async fn call(hosts: &mut [WapcHostAsync]) -> Result<(), Failure> {
    let payload = Bytes::from(vec![1; 1024]);
    for host in hosts {
        let response = host.call("echo", payload.clone()).await?;
        if response != payload {
            return Err(format!("instance {} answered {} bytes", host.id(), response.len()).into());
        }
    }
    Ok(())
}

/// What the process uses, in KiB.
struct Memory {
    resident: f64,
    tables: f64,
}

impl Memory {
    fn now() -> Result<Self, Failure> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| -> Result<f64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.split_whitespace().next());
            Ok(value.ok_or_else(|| format!("/proc/self/status has no line `{name}`"))?.parse()?)
        };
        Ok(Self { resident: field("VmRSS:")?, tables: field("VmPTE:")? })
    }

    fn resident_since(&self, earlier: &Self) -> f64 {
        (self.resident - earlier.resident) / f64::from(INSTANCES)
    }

    fn tables_since(&self, earlier: &Self) -> f64 {
        (self.tables - earlier.tables) / f64::from(INSTANCES)
    }
}
