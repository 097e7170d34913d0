//! Calls with 1 MiB: how often a payload is copied between the caller and the guest.

#[path = "../../harness/mod.rs"]
mod harness;

use std::{cell::RefCell, process::ExitCode};

use bytes::Bytes;
use harness::{Contender, Failure, Report, race};
use wapcd_peer_benches::{ECHO, HOST_ECHO, guest, own, payload, peer, raw};

/// Of the peer's time.
const GOAL: f64 = 0.75;

fn main() -> Result<ExitCode, Failure> {
    let guest = guest()?;
    let own = RefCell::new(own::host(&own::compile(&guest)?)?);
    let peer = peer::host(&peer::prepare(&guest)?)?;
    let mut raw = raw::prepare(&guest)?.start()?;
    settle_allocator();
    let mut report = Report::new("a call of 1 MiB with a plain callback, of the time of wapc 2.2.0 (WapcHost)");
    let payload = Bytes::from(payload(1 << 20));
    for (operation, measure) in [(ECHO, "echo, 1 MiB"), (HOST_ECHO, "host call, 1 MiB")] {
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

/// Frees something large once. Until a program has done that, glibc gives the top of its heap back to the kernel when 2
/// MiB of it are free, and takes it again page by page at the next call. Whether that happens depends on what else lies
/// in the heap: it hits whoever frees everything at the end of a call, by chance and up to six times the call itself,
/// and says nothing about the number of copies.
fn settle_allocator() {
    drop(std::hint::black_box(vec![1_u8; 31 << 20]));
}
