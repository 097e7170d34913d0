//! What bindings need from the rest of the daemon.

use std::{path::PathBuf, sync::Arc};

use super::{Deaf, Io, ModuleCaller, Observer, metrics::GuestMetrics};

/// What bindings need from the rest of the daemon. Clones share it.
#[derive(Clone)]
pub struct BindingContext {
    /// The way to the modules, for the `module` binding.
    pub modules: Arc<dyn ModuleCaller>,
    /// Who hears of changes.
    pub observer: Arc<dyn Observer>,
    /// Threads for connections.
    pub io: Io,
    /// The directory of systemd's credentials, where the service was given some.
    pub credentials: Option<PathBuf>,
    /// The daemon's state directory.
    pub state_dir: PathBuf,
    /// What guests count.
    pub metrics: Arc<GuestMetrics>,
}

impl BindingContext {
    /// A context for bindings outside a daemon: nobody hears of changes, there are no credentials, and the state is kept in
    /// the working directory.
    #[must_use]
    pub fn new(modules: Arc<dyn ModuleCaller>) -> Self {
        Self {
            modules,
            observer: Arc::new(Deaf),
            io: Io::default(),
            credentials: None,
            state_dir: PathBuf::from("."),
            metrics: Arc::default(),
        }
    }
}
