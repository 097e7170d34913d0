//! Ports that nobody else takes, also not while their server is down.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that the system gives to clients: one of those could be taken by any connection while the server that had
/// it restarts, and a client that connects to its own port even reaches itself.
const FIRST: u16 = 12_000;

/// How many there are.
const COUNT: u16 = 20_000;

/// Ports that one process tries before it meets those of the next.
const STRIDE: u32 = 97;

/// A port of the loopback interface that is free. Each is given once by a process.
pub(crate) fn free() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(process::id().wrapping_mul(STRIDE) % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let port = FIRST + (start + GIVEN.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} of 127.0.0.1 is free", FIRST + COUNT);
}
