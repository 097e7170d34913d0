//! What both commands share: exit codes, payloads, and writing to standard output and error without a panic; and the arguments
//! of each.

pub mod daemon;
pub mod operator;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::ffi::OsStringExt as _,
    process::ExitCode,
};

use bytes::Bytes;

/// Exit codes, in part those of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked was done.
    Ok = 0,
    /// The operation failed.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 64,
    /// The daemon cannot be reached.
    Unreachable = 69,
    /// The daemon answers, but not to this user.
    Denied = 77,
    /// The configuration is wrong.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints help, a version or what is wrong with the arguments.
#[must_use]
pub fn usage(error: &clap::Error) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
    // Where nobody reads there is nobody to tell.
    error.print().unwrap_or_default();
    exit
}

/// The payload of a call: the given text, else standard input to its end; a terminal counts as empty, so that a
/// command never seems to hang.
///
/// # Errors
/// The kernel's, or that there is more than a guest could ever take.
pub fn payload(text: Option<OsString>) -> io::Result<Bytes> {
    if let Some(text) = text {
        return Ok(text.into_vec().into());
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(Bytes::new());
    }
    let limit = u64::from(u32::MAX);
    let mut payload = Vec::new();
    stdin.lock().take(limit + 1).read_to_end(&mut payload)?;
    if payload.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("a payload has at most {limit} bytes")));
    }
    Ok(payload.into())
}

/// Writes a guest's response to standard output, byte for byte; on a terminal its last line is ended.
///
/// # Errors
/// The kernel's.
pub fn write_response(response: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(response)?;
    if stdout.is_terminal() && response.last().is_some_and(|&last| last != b'\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Writes text to standard output.
///
/// # Errors
/// The kernel's.
pub fn write_text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a message to standard error. Where that is closed there is nobody to tell.
pub fn complain(text: &str) {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{text}").unwrap_or_default();
}

/// The exit of a command that could not write its output. A reader that had enough, as `head`, is not worth a message.
#[must_use]
pub fn cannot_write(command: &str, error: &io::Error) -> Exit {
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("{command}: cannot write to standard output: {error}"));
    }
    Exit::Failed
}
