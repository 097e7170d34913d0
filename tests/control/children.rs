//! Processes that tests start beside each other.
//!
//! From its fork until it has become its program a child has every descriptor of this process, whatever they are marked
//! with. A socket that one test closes then is still open for a moment, and a lock still held, when another starts a child. So
//! a test for which they must be gone keeps the others from starting children meanwhile.

use std::{
    io,
    process::{Child, Command, Output, Stdio},
};

use parking_lot::{RwLock, RwLockWriteGuard};

/// Shared by those who start children, and had alone by who lets nobody.
static STARTS: RwLock<()> = RwLock::new(());

/// Starts a child; it has become its program when this returns.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starts = STARTS.read();
    command.spawn()
}

/// Runs a child to its end, with nothing to read.
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command).unwrap().wait_with_output().unwrap()
}

/// Nobody starts a child for as long as this lives: what is closed is closed.
#[must_use = "children are started again when this is dropped"]
pub(crate) fn none_starts() -> RwLockWriteGuard<'static, ()> {
    STARTS.write()
}
