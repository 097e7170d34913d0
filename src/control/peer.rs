//! Who is at the other end of a connection: the user and all groups that the process had when it connected.
//!
//! `SO_PEERCRED` alone names the primary group only, and what people are given by `usermod -aG` are others. Both are what
//! the kernel noted at the connect: a process cannot say them of itself, and a change since then does not show.

use std::{io, mem, os::fd::AsRawFd as _};

use rustix::net::sockopt::socket_peercred;
use tokio::net::UnixStream;

/// Groups that are read at the first attempt; the kernel says how many there are where these do not do.
const USUAL_GROUPS: usize = 32;

/// Groups that a process can have at most (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// Who has connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) user: u32,
    /// All groups, the primary one first.
    pub(super) groups: Vec<u32>,
}

impl Peer {
    /// Reads who has connected.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = socket_peercred(stream)?;
        let mut groups = vec![credentials.gid.as_raw()];
        groups.extend(supplementary(stream)?);
        Ok(Self { user: credentials.uid.as_raw(), groups })
    }
}

/// The groups besides the primary one.
fn supplementary(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; USUAL_GROUPS];
    loop {
        match read_groups(stream, &mut groups) {
            Ok(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Err((error, count)) => {
                let larger = (groups.len() + 1..=MOST_GROUPS).contains(&count);
                if error.raw_os_error() != Some(libc::ERANGE) || !larger {
                    return Err(error);
                }
                groups.resize(count, 0);
            }
        }
    }
}

/// Reads the groups into `room` and returns how many there are. Where there are more than fit, the error is `ERANGE`, with
/// the number of them.
fn read_groups(stream: &UnixStream, room: &mut [libc::gid_t]) -> Result<usize, (io::Error, usize)> {
    let failed = |error: io::Error| (error, 0);
    let size = libc::socklen_t::try_from(mem::size_of_val(room)).map_err(|error| failed(io::Error::other(error)))?;
    let mut length = size;
    #[allow(unsafe_code, reason = "no safe library that is used here has SO_PEERGROUPS")]
    // SAFETY: the descriptor is open for as long as `stream` is borrowed. The kernel writes at most `length` bytes to the
    // second pointer, which are the bytes of `room`, borrowed mutably for the call and of a type that any bits are a value
    // of; and one `socklen_t` to the third, a live local. It keeps neither pointer. Where the groups do not fit it writes
    // none of them.
    let answer = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            room.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let count = length as usize / mem::size_of::<libc::gid_t>();
    if answer < 0 { Err((io::Error::last_os_error(), count)) } else { Ok(count.min(room.len())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn the_other_end_of_a_pair_is_this_process_with_all_its_groups() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&stream).unwrap();
        assert_eq!(peer.user, rustix::process::geteuid().as_raw());
        assert_eq!(peer.groups.first(), Some(&rustix::process::getegid().as_raw()));
        let expected: BTreeSet<u32> =
            rustix::process::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        let found: BTreeSet<u32> = peer.groups.iter().skip(1).copied().collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn groups_that_do_not_fit_are_counted() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let all = supplementary(&stream).unwrap();
        match read_groups(&stream, &mut []) {
            Ok(count) => assert_eq!((count, all.len()), (0, 0)),
            Err((error, count)) => assert_eq!((error.raw_os_error(), count), (Some(libc::ERANGE), all.len())),
        }
    }
}
