//! How servers behind bindings are reached.

use std::{path::PathBuf, time::Duration};

use super::Backoff;

/// How a server is reached, and what is done while it is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where it is; several where the backend knows clusters. Never with credentials.
    pub urls: Vec<String>,
    /// Who the daemon is to it.
    pub user: Option<String>,
    /// How the daemon proves that.
    pub password: Option<SecretSource>,
    /// How the connection is secured, where the URL says that it is.
    pub tls: TlsFiles,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Connections, shared by all workers.
    pub connections: u32,
    /// What is done when it fails.
    pub circuit: Circuit,
}

/// Where a secret is; the configuration never has the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of this file, without a line end at its end; absolute path.
    File(PathBuf),
    /// A credential of this name that systemd handed to the service, in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Files of TLS, all in PEM; without `ca` the system's authorities are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to trust, in place of the system's authorities.
    pub ca: Option<PathBuf>,
    /// The daemon's certificate, where the server asks for one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// When calls are refused at once, and how the server is tried meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Circuit {
    /// After so many failures in a row.
    pub failures: u32,
    /// How long to wait between two tries.
    pub backoff: Backoff,
}
