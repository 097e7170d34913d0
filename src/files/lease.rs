//! Read leases: whether any process has a file open for writing, as the kernel knows it.
//!
//! A lease also makes whoever wants to open the file for writing wait until it is given back. The kernel grants one on a local
//! file system to the file's owner and to root. It takes one away from whoever keeps it too long.

use std::{fs::File, io, os::fd::AsRawFd as _};

/// Sets the signal of a broken lease. The same number on every architecture that the daemon is built for; libc has it
/// for one only. Where the number means something else the kernel refuses it, and no lease is taken.
const F_SETSIG: libc::c_int = 10;

/// What the kernel says to the wish for a lease.
pub(super) enum Asked<'file> {
    /// Nobody has the file open for writing, and nobody can before this ends.
    Granted(Lease<'file>),
    /// Somebody has it open for writing.
    BeingWritten,
    /// It does not say: the file belongs to another user, or its file system has no leases.
    Refused,
}

/// A read lease on an open file, given back at its end.
pub(super) struct Lease<'file>(&'file File);

impl<'file> Lease<'file> {
    /// Asks for a lease; nothing waits.
    pub(super) fn take(file: &'file File) -> Asked<'file> {
        // Whoever opens the file for writing breaks the lease, and the kernel tells us so by SIGIO, whose default is to
        // end the process. SIGURG is ignored by default, and there is nothing to do but what is being done: read on.
        if control(file, F_SETSIG, libc::SIGURG).is_err() {
            return Asked::Refused;
        }
        match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
            Ok(_) => Asked::Granted(Self(file)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Asked::BeingWritten,
            Err(_) => Asked::Refused,
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // It fails only where the kernel has taken the lease away; and closing the file gives it back in any case.
        control(self.0, libc::F_SETLEASE, libc::F_UNLCK).ok();
    }
}

/// `fcntl` for commands that take a number or nothing.
fn control(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<libc::c_int> {
    #[allow(unsafe_code, reason = "leases are in no safe library that is used here")]
    // SAFETY: the descriptor is open for as long as `file` is borrowed; all commands that are given here (F_SETSIG, F_SETLEASE,
    // in tests F_GETLEASE) take an int by value or nothing, and none reads or writes memory of this process.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// What tests of reading do to a lease, and see of one.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Whether there is a read lease that nobody's opening is breaking: from that moment on it counts as given back.
    pub(in crate::files) fn is_whole(file: &File) -> io::Result<bool> {
        Ok(control(file, libc::F_GETLEASE, 0)? == libc::F_RDLCK)
    }

    /// Takes the lease away, as where there are none.
    pub(in crate::files) fn take_away(file: &File) -> io::Result<()> {
        control(file, libc::F_SETLEASE, libc::F_UNLCK).map(|_| ())
    }
}
