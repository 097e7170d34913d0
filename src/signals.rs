//! What signals ask of the process. The only file that names signal-hook.
//!
//! The first SIGTERM or SIGINT is a request to stop in order; the second, of either kind, ends the process at once,
//! from within the signal handler, so that it works whatever hangs. SIGHUP is a request to read the configuration again; of
//! several that come before the process looks, one is told.

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

/// What a signal asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To stop in order; the name of the signal.
    Stop(&'static str),
    /// To read the configuration again.
    Reload,
}

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

    /// Waits for the next request. Nothing is lost where the wait is given up.
    ///
    /// # Errors
    /// The kernel's, where signals can no longer be received.
    pub async fn next(&mut self) -> io::Result<Signal> {
        // Many hangups are one: what is read after the first of them is the configuration of now.
        let mut hangups = [0; 64];
        tokio::select! {
            // A stop is told before a reload that came with it.
            biased;
            read = self.terminate.read_u8() => read.map(|_byte| Signal::Stop("SIGTERM")),
            read = self.interrupt.read_u8() => read.map(|_byte| Signal::Stop("SIGINT")),
            read = self.hangup.read(&mut hangups) => match read? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Signal::Reload),
            },
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

    use rustix::process::{self, Pid, kill_process};

    use super::*;

    /// Set in the process that takes the signals, because a test runner should not.
    const CHILD: &str = "WAPCD_TEST_SIGNALS_CHILD";

    fn child() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signals = Signals::install().unwrap();
            say("ready");
            loop {
                match signals.next().await.unwrap() {
                    Signal::Reload => say("reload"),
                    Signal::Stop(name) => break say(name),
                }
            }
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

    fn send(child: &Child, signal: process::Signal) {
        kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    #[test]
    fn the_first_signal_asks_the_second_ends_and_a_hangup_asks_for_a_reload() {
        if std::env::var_os(CHILD).is_some() {
            return child();
        }
        let name = "signals::tests::the_first_signal_asks_the_second_ends_and_a_hangup_asks_for_a_reload";
        for (first, name_of_first, second) in [
            (process::Signal::TERM, "SIGTERM", process::Signal::INT),
            (process::Signal::INT, "SIGINT", process::Signal::INT),
        ] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert_eq!(heard(&mut lines), "ready");
            for _ in 0..2 {
                send(&child, process::Signal::HUP);
                assert_eq!(heard(&mut lines), "reload");
            }
            send(&child, first);
            assert_eq!(heard(&mut lines), name_of_first);
            send(&child, second);
            assert_eq!(child.wait().unwrap().code(), Some(IMPATIENT));
        }
    }
}
