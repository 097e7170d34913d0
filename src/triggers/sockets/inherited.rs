//! Sockets that the daemon was started with, as systemd hands them over.

use std::io;

use listenfd::ListenFd;
use rustix::net::sockopt;

use super::bound::Listener;

/// The name of a socket that was given none, as systemd says.
const UNNAMED: &str = "unknown";

/// Sockets that are taken: systemd keeps 4,096 of a service at most, and a process usually may have 1,024 at its start.
const MOST: u64 = 4096;

/// A socket that the daemon was started with. Several may have the same name.
#[derive(Debug)]
pub(super) struct Inherited {
    pub(super) name: String,
    /// It, or why it cannot be listened at.
    pub(super) socket: Result<Listener, String>,
}

/// Takes them. What tells of them leaves the environment, so that no child process takes them for its own; what cannot be
/// listened at is closed, since child processes would have it otherwise.
pub(super) fn take() -> Vec<Inherited> {
    // What remains of the environment is these names, which mean nothing alone.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| if name.is_empty() { UNNAMED } else { name });
    // Whoever starts a daemon with more has made a mistake, and the library would make room for as many as it is told.
    let told = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok());
    let mut sockets =
        if told.is_some_and(|count: u64| count > MOST) { ListenFd::empty() } else { ListenFd::from_env() };
    let count = sockets.len();
    let inherit = |index| Inherited {
        name: names.next().unwrap_or(UNNAMED).to_owned(),
        socket: socket(&mut sockets, index).map_err(|error| {
            close(&mut sockets, index);
            error.to_string()
        }),
    };
    (0..count).map(inherit).collect()
}

/// Closes what was handed over and is of no use, if it is still there.
fn close(sockets: &mut ListenFd, index: usize) {
    if let Ok(Some(descriptor)) = sockets.take_raw_fd(index) {
        // One that is not open is as good as closed.
        nix::unistd::close(descriptor).unwrap_or_default();
    }
}

fn socket(sockets: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // Of the wrong family it stays where it is.
    let listener = match sockets.take_tcp_listener(index) {
        Ok(found) => found.map(Listener::Tcp),
        Err(_not_tcp) => sockets.take_unix_listener(index)?.map(Listener::Unix),
    };
    let listener = listener.ok_or_else(|| io::Error::other("it is not there"))?;
    let listens = match &listener {
        Listener::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            sockopt::socket_acceptconn(socket)?
        }
        Listener::Unix(socket) => {
            socket.set_nonblocking(true)?;
            sockopt::socket_acceptconn(socket)?
        }
    };
    if listens { Ok(listener) } else { Err(io::Error::other("nobody has begun to listen at it")) }
}
