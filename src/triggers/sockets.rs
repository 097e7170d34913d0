//! Sockets that the daemon was started with, found by name.

/// Sockets that the daemon was started with (`LISTEN_FDS`, `LISTEN_FDNAMES`); they stay open for the daemon's life, so that a
/// listener that goes with a reload can come back.
#[derive(Debug, Default)]
pub struct InheritedSockets {}
