//! Work that blocks a thread for as long as a disk or a resolver takes: so much of it at once, and no more.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Semaphore};

use crate::host::BoxError;

/// Turns at work that blocks. What hangs must not take all of the threads for such work, of which there are 512 for everything.
#[derive(Debug, Clone)]
pub(super) struct BlockingTurns(Arc<Semaphore>);

impl BlockingTurns {
    /// So many at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Does work on a thread of this runtime that may block, when its turn has come. Its turn lasts until the work has ended,
    /// whoever waits for it; work whose turn has not come is forgotten when this is dropped.
    ///
    /// # Errors
    /// The work panicked, or the runtime has ended.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        io: &Handle,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BoxError> {
        let turn = Arc::clone(&self.0).acquire_owned().await?;
        let done = io.spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        time::Duration,
    };

    use futures_util::FutureExt as _;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn work_that_hangs_leaves_threads_to_others_also_when_nobody_waits_for_it() {
        let (turns, io) = (BlockingTurns::new(8), Handle::current());
        let (begun, begins) = mpsc::channel();
        // More than there are threads.
        let hanging: Vec<mpsc::Sender<()>> = std::iter::repeat_with(|| {
            let (end, ended) = mpsc::channel::<()>();
            let begun = begun.clone();
            let hang = turns.run(&io, move || {
                begun.send(()).unwrap();
                ended.recv().unwrap_err();
            });
            assert!(hang.now_or_never().is_none());
            end
        })
        .take(600)
        .collect();
        for _ in 0..8 {
            begins.recv_timeout(SOON).unwrap();
        }
        let other = tokio::time::timeout(SOON, io.spawn_blocking(|| 7)).await.unwrap();
        assert_eq!(other.unwrap(), 7);
        assert!(turns.run(&io, || ()).now_or_never().is_none());
        assert!(begins.try_recv().is_err(), "more than eight began");
        drop(hanging);
        tokio::time::timeout(SOON, turns.run(&io, || ())).await.unwrap().unwrap();
        // The others were forgotten before their turn.
        assert!(begins.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_turn_ends_with_its_work_however_that_ends() {
        let (turns, io) = (BlockingTurns::new(1), Handle::current());
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            turns.run::<()>(&io, || std::panic::resume_unwind(Box::new("on purpose"))).await.unwrap_err();
            let counted = Arc::clone(&count);
            let work = move || counted.fetch_add(1, SeqCst);
            tokio::time::timeout(SOON, turns.run(&io, work)).await.unwrap().unwrap();
        }
        assert_eq!(count.load(SeqCst), 3);
    }
}
