//! A guest call, and one with a host call in it, on the caller's stack: `WapcHost` against the crate `wapc`.

#[path = "../../harness/mod.rs"]
mod harness;

use std::{cell::RefCell, process::ExitCode};

use bytes::Bytes;
use harness::{Contender, Failure, Report, race};
use wapcd_peer_benches::{ECHO, HOST_ECHO, guest, own, payload, peer, raw};

/// Of the peer's time; wasmtime alone takes 0.20.
const GOAL: f64 = 0.40;

fn main() -> Result<ExitCode, Failure> {
    let guest = guest()?;
    let own = RefCell::new(own::host(&own::compile(&guest)?)?);
    let peer = peer::host(&peer::prepare(&guest)?)?;
    let mut raw = raw::prepare(&guest)?.start()?;
    let mut report = Report::new("a call with a plain callback, of the time of wapc 2.2.0 (WapcHost)");
    for (operation, size, measure) in [
        (ECHO, 0, "echo, 0 B"),
        (ECHO, 1024, "echo, 1 KiB"),
        (HOST_ECHO, 0, "host call, 0 B"),
        (HOST_ECHO, 1024, "host call, 1 KiB"),
    ] {
        let payload = Bytes::from(payload(size));
        let laps = race(vec![
            Contender::new("wapcd", || {
                drop(own.borrow_mut().call(operation, payload.clone())?);
                Ok(())
            }),
            Contender::new("wapc", || {
                drop(peer.call(operation, &payload)?);
                Ok(())
            }),
            Contender::new("wapcd from a slice", || {
                drop(own.borrow_mut().call(operation, Bytes::copy_from_slice(&payload))?);
                Ok(())
            }),
            Contender::new("raw wasmtime", || {
                drop(raw.call(operation, payload.clone())?);
                Ok(())
            }),
        ])?;
        report.claim(measure, GOAL, &laps);
    }
    Ok(report.finish())
}
