//! Sockets that outlive the daemon. Whoever started it keeps a copy of each, and hands it to the next daemon, so that a client
//! who comes between the two waits instead of being refused.
//!
//! A stored socket is told from one that the daemon is always started with by its name, and found by its address.

use std::{
    fmt::{self, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
};

use sha2::{Digest as _, Sha256};

use super::{Place, bound::Listener, inherited::Inherited};

/// How the name of a stored socket begins. No socket of a unit may be called so.
const PREFIX: &str = "wapcd-stored-";

/// Bytes that the service manager takes for a name at most.
const LONGEST_NAME: usize = 255;

/// Keeps copies of sockets beyond the daemon's end. None of this waits.
pub trait SocketKeeper: fmt::Debug + Send + Sync {
    /// Keeps a copy of a socket under that name.
    fn keep(&self, name: &str, socket: BorrowedFd<'_>);

    /// Gives up what is kept under that name.
    fn forget(&self, name: &str);

    /// Whether the daemon ends, so that what is kept is for the next one.
    fn is_for_next(&self) -> bool;
}

/// A socket that an earlier daemon let keep.
#[derive(Debug)]
pub(super) struct Stored {
    /// What it is kept under.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) listener: Listener,
}

/// Parts what was stored from what the daemon was started with; names of what was stored and is of no use come last.
pub(super) fn part(all: Vec<Inherited>) -> (Vec<Stored>, Vec<Inherited>, Vec<String>) {
    let (mut stored, mut others, mut useless) = (Vec::new(), Vec::new(), Vec::new());
    for inherited in all {
        if !inherited.name.starts_with(PREFIX) {
            others.push(inherited);
            continue;
        }
        let Inherited { name, socket } = inherited;
        match socket.ok().and_then(|listener| Some((place_of(&listener)?, listener))) {
            Some((place, listener)) => stored.push(Stored { name, place, listener }),
            None => useless.push(name),
        }
    }
    (stored, others, useless)
}

/// Where a socket is.
fn place_of(listener: &Listener) -> Option<Place> {
    match listener {
        Listener::Tcp(listener) => listener.local_addr().ok().map(Place::Tcp),
        Listener::Unix(listener) => Some(Place::Unix(listener.local_addr().ok()?.as_pathname()?.to_owned())),
    }
}

/// What a socket is kept under: its address, in the characters that a name may have.
pub(super) fn name_of(place: &Place) -> String {
    let (kind, address) = match place {
        Place::Tcp(address) => ("tcp-", address.to_string().into_bytes()),
        Place::Unix(path) => ("unix-", path.as_os_str().as_bytes().to_vec()),
    };
    let mut name = format!("{PREFIX}{kind}");
    for byte in &address {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'/' | b'-' | b'_' | b'[' | b']' => {
                name.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            other => write!(name, "%{other:02X}").unwrap_or_default(),
        }
    }
    if name.len() > LONGEST_NAME {
        // Two that begin alike are still two.
        let hash: String = Sha256::digest(&address).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        name.truncate(LONGEST_NAME - 1 - hash.len());
        name.push('-');
        name.push_str(&hash);
    }
    name
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::PathBuf};

    use super::*;

    #[test]
    fn names_are_of_the_characters_that_are_allowed_and_not_too_long() {
        let tcp = |address: &str| address.parse().map(|address| name_of(&Place::Tcp(address))).unwrap_or_default();
        assert_eq!(tcp("127.0.0.1:80"), "wapcd-stored-tcp-127.0.0.1%3A80");
        assert_eq!(tcp("[::1]:80"), "wapcd-stored-tcp-[%3A%3A1]%3A80");
        let unix = |path: &[u8]| name_of(&Place::Unix(PathBuf::from(OsStr::from_bytes(path))));
        assert_eq!(unix(b"/run/wapcd/a b.sock"), "wapcd-stored-unix-/run/wapcd/a%20b.sock");
        let (long, other) = (unix(&[0xff; 107]), unix(&[&[0xff; 106][..], b"."].concat()));
        assert!(long.len() == LONGEST_NAME && long.is_ascii() && !long.contains(':'), "{long}");
        assert_ne!(long, other);
    }
}
