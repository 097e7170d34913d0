//! The process's descriptors: as many as it may have, of which connections leave some to everybody else.

use std::{io, os::fd::AsRawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the process's descriptors, the share that connections leave: files, databases, servers and the control socket need
/// some while a port is flooded.
const LEFT_SHARE: u64 = 8;

/// As many are enough for everybody else.
const LEFT_MOST: u64 = 512;

/// Takes as many descriptors as the process may take by itself. Services get 1,024 where nobody says otherwise, for the
/// sake of programs that cannot name higher ones, and may have many times that.
///
/// # Errors
/// The kernel refuses it; the number before holds.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Whether a descriptor is one of the last, which are left to others. The kernel always gives the lowest that is free, so
/// that it tells how many there are without counting them.
pub(in crate::triggers) fn is_left_to_others(descriptor: &impl AsRawFd) -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return false };
    u64::try_from(descriptor.as_raw_fd()).is_ok_and(|descriptor| descriptor >= usable(limit))
}

/// How many of so many connections may use.
fn usable(limit: u64) -> u64 {
    limit - (limit / LEFT_SHARE).min(LEFT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_an_eighth_of_few_descriptors_and_512_of_many() {
        for (limit, expected) in [(0, 0), (7, 7), (100, 88), (1024, 896), (4096, 3584), (524_288, 523_776)] {
            assert_eq!(usable(limit), expected, "{limit}");
        }
    }
}
