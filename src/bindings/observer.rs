//! Who hears what happens in bindings besides their answers.

use std::{sync::Arc, time::SystemTime};

use crate::host::HostCallError;

/// Hears what happens in bindings. Called from any thread; never blocks.
pub trait Observer: Send + Sync + 'static {
    /// What [`BindingFactory::backend`](super::BindingFactory::backend) says of this binding is another than before.
    fn backend_changed(&self, binding: &Arc<str>, now: &BackendStatus);

    /// A host call was answered with `not_granted` or `not_allowed`.
    fn denied(&self, denial: Denial<'_>);

    /// A module is gone, and what was noted about it may be forgotten.
    fn module_removed(&self, module: &str);
}

/// A host call that is not allowed.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'d> {
    /// Name of the module that asked.
    pub module: &'d Arc<str>,
    /// Id of its instance.
    pub instance: u64,
    /// Id of the guest call.
    pub call: u64,
    /// The binding, as the guest named it where it has no link, else as the configuration does.
    pub binding: &'d str,
    /// The operation, cut where it is long.
    pub operation: &'d str,
    /// Why not: the error that the guest reads.
    pub error: &'d HostCallError,
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deaf;

impl Observer for Deaf {
    fn backend_changed(&self, _: &Arc<str>, _: &BackendStatus) {}

    fn denied(&self, _: Denial<'_>) {}

    fn module_removed(&self, _: &str) {}
}

/// How a binding stands with the server or process behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendStatus {
    /// The state.
    pub state: BackendState,
    /// Since when.
    pub since: SystemTime,
    /// Why it is not connected.
    pub why: Option<String>,
    /// When it is tried next.
    pub next_try: Option<SystemTime>,
    /// Tries that have failed since it was connected last.
    pub tries: u32,
}

/// How a cache in front of a backend does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Reads that it answered, since the backend was opened.
    pub hits: u64,
    /// Reads that it could not answer.
    pub misses: u64,
    /// Bytes that it holds, as it counts them.
    pub bytes: u64,
    /// Entries that it holds.
    pub entries: u64,
}

/// Whether calls reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendState {
    /// It is tried for the first time; calls wait for what comes of it.
    Connecting,
    /// Calls go to it.
    Connected,
    /// Calls are answered with `unavailable`, and it is tried again and again.
    Disconnected,
}

impl BackendState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Connecting, Self::Connected, Self::Disconnected];

    /// The name in JSON, tables, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}
