//! A fresh instance from a compiled module, as after every trap: `WapcHost::new` against `rehydrate` + `WapcHost::new`.

#[path = "../../harness/mod.rs"]
mod harness;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use harness::{Contender, Failure, Report, Stopwatch, race};
use wapcd_peer_benches::{ECHO, guest, own, payload, peer, raw};

/// Of the peer's time; wasmtime alone takes 0.09.
const GOAL: f64 = 0.20;

/// Instances that live at the same time where their end is not counted; every engine has room for them.
const AT_ONCE: u32 = 64;

fn main() -> Result<ExitCode, Failure> {
    let guest = guest()?;
    let own = own::compile(&guest)?;
    let peer = peer::prepare(&guest)?;
    let pooled = peer::prepare_pooled(&guest)?;
    let raw = raw::prepare(&guest)?;
    let mut report = Report::new("a fresh instance, of the time of wasmtime-provider 2.25.0");
    let laps = race(vec![
        Contender::new("wapcd", || {
            drop(own::host(&own)?);
            Ok(())
        }),
        Contender::new("wapc", || {
            drop(peer::host(&peer)?);
            Ok(())
        }),
        Contender::new("wapc on a pool", || {
            drop(peer::host(&pooled)?);
            Ok(())
        }),
        Contender::new("raw wasmtime", || {
            drop(raw.start()?);
            Ok(())
        }),
    ])?;
    report.claim("made and dropped", GOAL, &laps);
    let laps = race(vec![
        Contender::timed("wapcd", |count| made(count, || Ok(own::host(&own)?))),
        Contender::timed("wapc", |count| made(count, || Ok(peer::host(&peer)?))),
        Contender::timed("wapc on a pool", |count| made(count, || Ok(peer::host(&pooled)?))),
        Contender::timed("raw wasmtime", |count| made(count, || Ok(raw.start()?))),
    ])?;
    report.claim("made", GOAL, &laps);
    let payload = Bytes::from(payload(1024));
    let laps = race(vec![
        Contender::new("wapcd", || {
            drop(own::host(&own)?.call(ECHO, payload.clone())?);
            Ok(())
        }),
        Contender::new("wapc", || {
            drop(peer::host(&peer)?.call(ECHO, &payload)?);
            Ok(())
        }),
        Contender::new("wapc on a pool", || {
            drop(peer::host(&pooled)?.call(ECHO, &payload)?);
            Ok(())
        }),
        Contender::new("raw wasmtime", || {
            drop(raw.start()?.call(ECHO, payload.clone())?);
            Ok(())
        }),
    ])?;
    // Mostly the kernel's page faults, the same for all: nothing is claimed.
    report.compare("made, called once", &laps);
    Ok(report.finish())
}

/// The time to make so many instances, without the time to drop them.
fn made<T>(count: u32, make: impl Fn() -> Result<T, Failure>) -> Result<Duration, Failure> {
    let mut took = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        let mut hosts = Vec::with_capacity(now as usize);
        let started = Stopwatch::start();
        for _ in 0..now {
            hosts.push(make()?);
        }
        took += started.elapsed();
        left -= now;
    }
    Ok(took)
}
