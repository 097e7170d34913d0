//! The threads that connections to servers live on: a tokio runtime of its own beside the workers, which is there when the
//! first binding needs it.
//!
//! A connection is shared by all workers and outlives each of them, so it cannot live on one.

use std::{
    future::Future,
    io,
    sync::Arc,
    task::{Poll, ready},
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, JoinHandle},
};

use super::BindingError;

/// Threads at most: what is done there is moving bytes; the work is on the workers and in the servers.
const MAX_THREADS: usize = 4;

/// Access to the threads; clones share them.
#[derive(Clone, Default)]
pub struct Io(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Option<Runtime>>);

impl Io {
    /// A handle to the runtime, which is started if this is the first to ask.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn handle(&self) -> io::Result<Handle> {
        let mut runtime = self.0.0.lock();
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let started = Builder::new_multi_thread().worker_threads(threads).thread_name("io").enable_all().build()?;
        Ok(runtime.insert(started).handle().clone())
    }

    /// The same for a binding, which the error names.
    ///
    /// # Errors
    /// As above.
    pub(super) fn handle_for(&self, binding: &Arc<str>) -> Result<Handle, BindingError> {
        self.handle().map_err(|source| BindingError::Thread { binding: Arc::clone(binding), thread: "io", source })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without waiting: it may be dropped where blocking is not allowed, and what runs there is nobody's any more.
        if let Some(runtime) = self.0.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Io")
    }
}

/// Work on those threads; it ends when this is dropped.
pub(super) struct Running<T>(JoinHandle<T>);

/// Starts work there, to be waited for on a worker.
pub(super) fn run<T: Send + 'static>(io: &Handle, work: impl Future<Output = T> + Send + 'static) -> Running<T> {
    Running(io.spawn(work))
}

impl<T> Future for Running<T> {
    /// The outcome; the error is that of a panic, whose message the log has.
    type Output = Result<T, JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(std::pin::Pin::new(&mut self.0).poll(cx)))
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn work_ends_when_nobody_waits_for_it() {
        struct Told(std::sync::mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(()).ok();
            }
        }
        let (ended, heard) = std::sync::mpsc::channel();
        let io = Io::default();
        let told = Told(ended);
        let running = run(&io.handle().unwrap(), async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
        drop(running);
        heard.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn it_may_be_dropped_inside_a_runtime() {
        let io = Io::default();
        io.handle().unwrap();
        Builder::new_current_thread().build().unwrap().block_on(async move { drop(io) });
    }
}
