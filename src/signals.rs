//! What signals ask of the process. The only file that names signal-hook.
//!
//! The first SIGTERM or SIGINT is a request to stop in order; the second, of either kind, ends the process at once,
//! from within the signal handler, so that it works whatever hangs. SIGHUP is noted and otherwise ignored.

use std::{
    io,
    os::unix::net::UnixStream as StdStream,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};
use tokio::{io::AsyncReadExt as _, net::UnixStream};

/// Exit code of a process that was told twice.
const IMPATIENT: i32 = 1;

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    terminate: UnixStream,
    interrupt: UnixStream,
    hangup: UnixStream,
}

impl Signals {
    /// Takes over the process's signals. Needs a runtime.
    ///
    /// # Errors
    /// The kernel's, where it refuses a handler or a descriptor.
    pub fn install() -> io::Result<Self> {
        let told_before = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // The order matters: the first signal must find the flag down, and then raises it.
            flag::register_conditional_shutdown(signal, IMPATIENT, told_before.clone())?;
            flag::register(signal, told_before.clone())?;
        }
        Ok(Self { terminate: stream(SIGTERM)?, interrupt: stream(SIGINT)?, hangup: stream(SIGHUP)? })
    }

    /// Waits for the first request to stop and returns the signal's name.
    ///
    /// # Errors
    /// The kernel's, where signals can no longer be received.
    pub async fn stop(&mut self) -> io::Result<&'static str> {
        loop {
            tokio::select! {
                read = self.terminate.read_u8() => return read.map(|_byte| "SIGTERM"),
                read = self.interrupt.read_u8() => return read.map(|_byte| "SIGINT"),
                read = self.hangup.read_u8() => {
                    read?;
                    tracing::info!("SIGHUP is ignored: the configuration is read at the start only");
                }
            }
        }
    }
}

/// A stream that has a byte for each signal.
fn stream(signal: i32) -> io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    pipe::register(signal, write)?;
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}
