//! What a trigger gets from the daemon.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{Sockets, TriggerObserver};
use crate::{
    actors::{Modules, WorkerHandles},
    bindings::{Io, messaging::Broker},
    config::Watch,
};

/// The daemon, as triggers see it. Cheap to clone.
#[derive(Clone)]
pub struct TriggerContext {
    /// Everybody who can be called.
    pub modules: Modules,
    /// The threads that guests run on.
    pub workers: WorkerHandles,
    /// The threads that connections to servers, and whatever belongs to no worker, live on.
    pub io: Io,
    /// Who carries the messages of the binding that the trigger stands on; `None` where it stands on none.
    pub broker: Option<Arc<dyn Broker>>,
    /// Where it may write.
    pub state_dir: PathBuf,
    /// Where systemd put credentials.
    pub credentials: Option<PathBuf>,
    /// How changes of files are noticed.
    pub watch: Watch,
    /// Sockets that connections come in at.
    pub sockets: Arc<Sockets>,
    /// Hears what happens.
    pub observer: Arc<dyn TriggerObserver>,
}

impl fmt::Debug for TriggerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerContext").finish_non_exhaustive()
    }
}
