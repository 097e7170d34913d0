//! A `http` trigger: where it listens, and its bounds.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{super::SecretSource, Route};

/// `[triggers.NAME]` of type `http`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// Where connections come in; at least one.
    pub listeners: Vec<Listener>,
    /// Which request calls whom, in file order.
    pub routes: Vec<Arc<Route>>,
    /// Bounds of requests and connections.
    pub limits: HttpLimits,
    /// Whether each request is written to the log.
    pub access_log: bool,
    /// Whether answers say what went wrong inside.
    pub verbose_errors: bool,
}

/// Where connections come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The socket.
    pub listen: Listen,
    /// How connections are secured; `None`: not at all.
    pub tls: Option<ServerTls>,
}

/// A socket that connections come in at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket with these permission bits; absolute.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A socket of this name that the daemon was started with (`LISTEN_FDNAMES`).
    Inherited(String),
}

impl fmt::Display for Listen {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "inherited:{name}"),
        }
    }
}

/// The certificate of a listener, watched and exchanged while connections go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate with its chain, in PEM; absolute.
    pub cert: PathBuf,
    /// Its key.
    pub key: SecretSource,
}

/// `[triggers.NAME.limits]` of type `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's body.
    pub body: u64,
    /// Bytes of all bodies at once: of requests that come or are answered, and of answers that are not read yet.
    pub bodies: u64,
    /// Bytes of a request's head: its line and all headers.
    pub head: u64,
    /// Connections at once, over all listeners and workers.
    pub connections: u32,
    /// How long a request's head may take to come.
    pub head_timeout: Duration,
    /// How long a request's body may take to come.
    pub body_timeout: Duration,
    /// How long bytes of a response may wait for a client that takes none of them; over HTTP/2 also how long it may take to
    /// read a whole one.
    pub write_timeout: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
}

/// The largest bodies that every worker has room for: two that come, besides as much for small ones.
const LARGEST: u64 = 4;

impl HttpLimits {
    /// Bytes of bodies that each of so many workers may hold.
    #[must_use]
    pub fn room(&self, workers: u64) -> u64 {
        (self.bodies / workers.max(1)).max(self.body.saturating_mul(LARGEST))
    }
}
