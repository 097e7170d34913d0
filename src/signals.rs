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

/// Lets SIGINT end this process at once and with success: for commands that run until a person has seen enough.
///
/// # Errors
/// The kernel's, where it refuses a handler.
pub fn end_well_on_interrupt() -> io::Result<()> {
    flag::register_conditional_shutdown(SIGINT, 0, Arc::new(AtomicBool::new(true))).map(drop)
}

/// A stream that has a byte for each signal.
fn stream(signal: i32) -> io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    pipe::register(signal, write)?;
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Set in the process that takes the signals, because a test runner should not.
    const CHILD: &str = "WAPCD_TEST_SIGNALS_CHILD";

    fn child() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signals = Signals::install().unwrap();
            say("ready");
            say(signals.stop().await.unwrap());
            // A daemon that hangs while it stops.
            std::future::pending::<()>().await;
        });
    }

    fn say(line: &str) {
        use std::io::Write as _;
        writeln!(std::io::stdout().lock(), "\nchild: {line}").unwrap();
    }

    fn heard(lines: &mut impl Iterator<Item = io::Result<String>>) -> String {
        lines.map(Result::unwrap).find_map(|line| Some(line.strip_prefix("child: ")?.to_owned())).unwrap()
    }

    fn send(child: &Child, signal: Signal) {
        kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    #[test]
    fn the_first_signal_asks_the_second_ends_and_a_hangup_does_neither() {
        if std::env::var_os(CHILD).is_some() {
            return child();
        }
        let name = "signals::tests::the_first_signal_asks_the_second_ends_and_a_hangup_does_neither";
        for (first, name_of_first, second) in
            [(Signal::TERM, "SIGTERM", Signal::INT), (Signal::INT, "SIGINT", Signal::INT)]
        {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert_eq!(heard(&mut lines), "ready");
            send(&child, Signal::HUP);
            send(&child, first);
            assert_eq!(heard(&mut lines), name_of_first);
            send(&child, second);
            assert_eq!(child.wait().unwrap().code(), Some(IMPATIENT));
        }
    }
}
