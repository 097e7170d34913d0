//! A guest call, and one with a host call in it, on a fiber: `WapcHostAsync` against that of the crate `wapc`.

#[path = "../../harness/mod.rs"]
mod harness;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use harness::{Contender, Failure, Report, Stopwatch, race};
use tokio::runtime::{Builder, Runtime};
use wapcd_peer_benches::{ECHO, HOST_ECHO, guest, own, payload, peer, raw};

/// Of the peer's time; wasmtime alone takes 0.45.
const GOAL: f64 = 0.50;

fn main() -> Result<ExitCode, Failure> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let guest = guest()?;
    let module = own::compile(&guest)?;
    let mut own = runtime.block_on(own::host_async(&module))?;
    let mut bounded = runtime.block_on(own::host_with_deadline(&module))?;
    let peer = runtime.block_on(peer::host_async(&guest))?;
    let mut raw = runtime.block_on(raw::prepare(&guest)?.start_async())?;
    let mut report = Report::new("a call with an asynchronous callback, of the time of wapc 2.2.0 (WapcHostAsync)");
    for (operation, size, measure) in [
        (ECHO, 0, "echo, 0 B"),
        (ECHO, 1024, "echo, 1 KiB"),
        (HOST_ECHO, 0, "host call, 0 B"),
        (HOST_ECHO, 1024, "host call, 1 KiB"),
    ] {
        let payload = Bytes::from(payload(size));
        let laps = race(vec![
            Contender::timed("wapcd", |calls| {
                batch(&runtime, calls, async || {
                    drop(own.call(operation, payload.clone()).await?);
                    Ok(())
                })
            }),
            Contender::timed("wapc", |calls| {
                batch(&runtime, calls, async || {
                    drop(peer.call(operation, &payload).await?);
                    Ok(())
                })
            }),
            Contender::timed("wapcd with a deadline", |calls| {
                batch(&runtime, calls, async || {
                    drop(bounded.call(operation, payload.clone()).await?);
                    Ok(())
                })
            }),
            Contender::timed("raw wasmtime", |calls| {
                batch(&runtime, calls, async || {
                    drop(raw.call_async(operation, payload.clone()).await?);
                    Ok(())
                })
            }),
        ])?;
        report.claim(measure, GOAL, &laps);
    }
    Ok(report.finish())
}

/// Runs a batch within one task, one call after another.
fn batch(
    runtime: &Runtime,
    calls: u32,
    mut call: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    runtime.block_on(async {
        let started = Stopwatch::start();
        for _ in 0..calls {
            call().await?;
        }
        Ok(started.elapsed())
    })
}
