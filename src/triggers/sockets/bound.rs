//! A socket that somebody listens at, and the streams that come of it.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net;

use super::Lease;

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that was accepted; it does not block.
#[derive(Debug)]
pub(in crate::triggers) enum Stream {
    /// Over TCP, from there.
    Tcp(TcpStream, SocketAddr),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// A socket that somebody listens at, with a descriptor of its own. Other users of the same socket take connections, too.
#[derive(Debug)]
pub(in crate::triggers) struct Bound {
    /// Closed before the lease is given back, so that the last user really is.
    listener: Listener,
    /// `None`: the daemon was started with it.
    lease: Option<Lease>,
}

/// A socket that somebody waits at.
#[derive(Debug)]
pub(in crate::triggers) struct Registered {
    /// Closed first, as above.
    waits: Waits,
    bound: Bound,
}

#[derive(Debug)]
enum Waits {
    Tcp(net::TcpListener),
    Unix(net::UnixListener),
}

impl Bound {
    pub(super) fn new(listener: Listener, lease: Option<Lease>) -> Self {
        Self { listener, lease }
    }

    /// Whether what waits in it will be taken by others: another user, or whoever started the daemon.
    pub(in crate::triggers) fn is_shared(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::is_shared)
    }

    /// Its port, where it has one.
    pub(in crate::triggers) fn address(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    /// Takes a connection that waits already.
    ///
    /// # Errors
    /// `WouldBlock` where none does; the kernel's.
    pub(in crate::triggers) fn accept(&self) -> io::Result<Stream> {
        match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                tcp_stream(stream, peer)
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

impl Registered {
    /// Makes a socket known to the runtime in which this is called.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::triggers) fn new(bound: Bound) -> io::Result<Self> {
        let waits = match bound.listener.try_clone()? {
            Listener::Tcp(listener) => Waits::Tcp(net::TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Waits::Unix(net::UnixListener::from_std(listener)?),
        };
        Ok(Self { waits, bound })
    }

    /// The socket.
    pub(in crate::triggers) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Takes a connection, as soon as there is one.
    ///
    /// # Errors
    /// The kernel's.
    pub(in crate::triggers) async fn accept(&self) -> io::Result<Stream> {
        match &self.waits {
            Waits::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Another runtime will wait for it.
                tcp_stream(stream.into_std()?, peer)
            }
            Waits::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

fn tcp_stream(stream: TcpStream, peer: SocketAddr) -> io::Result<Stream> {
    // An answer is written at once and whole: nothing comes that could be sent with it.
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream, peer))
}

impl Listener {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

/// Listens at a TCP port, and tells which, because 0 lets the system choose.
pub(super) fn tcp(address: SocketAddr, backlog: i32) -> io::Result<(Listener, SocketAddr)> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections of the daemon before this one, which only wait to be forgotten, do not hold the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, backlog)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((Listener::Tcp(listener), address))
}
