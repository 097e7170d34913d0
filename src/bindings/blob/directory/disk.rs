//! The threads that wait for the disk: a bounded number of them, and none once it is stopped.

use std::{future::Future, sync::Arc};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use crate::host::{HostCallError, HostErrorKind};

/// Operations at once: enough for a disk to put their order right and for syncs to be shared; a disk that hangs must not take
/// all of the 512 threads, on which names of hosts are resolved as well.
const AT_ONCE: usize = 32;

/// Access to those threads.
pub(super) struct Disk {
    name: Arc<str>,
    turns: Arc<Semaphore>,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Disk {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, turns: Arc::new(Semaphore::new(AT_ONCE)), running: Arc::default() }
    }

    /// Does work on a thread of its own, to be polled on the runtime of the connections. Work that has begun goes on to its
    /// end when this is dropped; what waits for its turn is forgotten.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HostCallError> + Send + 'static,
    ) -> impl Future<Output = Result<T, HostCallError>> + Send + 'static {
        let (turns, running, name) = (Arc::clone(&self.turns), Arc::clone(&self.running), Arc::clone(&self.name));
        async move {
            let stopped = || HostCallError::new(HostErrorKind::Unavailable, format!("binding `{name}` is stopped"));
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return Err(stopped()) };
            let Some(counted) = Counted::unless_closed(running, &turns) else { return Err(stopped()) };
            let done = tokio::task::spawn_blocking(move || {
                let outcome = work();
                drop(counted);
                drop(turn);
                outcome
            });
            done.await.unwrap_or_else(|ended| {
                let text = format!("binding `{name}` failed at an object");
                Err(HostCallError::with_source(HostErrorKind::Internal, text, ended))
            })
        }
    }

    /// Lets nothing begin any more, and waits for the end of what has begun.
    pub(super) fn stop(&self) {
        let mut count = self.running.count.lock();
        self.turns.close();
        while *count > 0 {
            self.running.ended.wait(&mut count);
        }
    }
}

/// One operation that has begun.
struct Counted(Arc<Running>);

impl Counted {
    fn unless_closed(running: Arc<Running>, turns: &Semaphore) -> Option<Self> {
        let mut count = running.count.lock();
        if turns.is_closed() {
            return None;
        }
        *count += 1;
        drop(count);
        Some(Self(running))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.ended.notify_all();
    }
}
