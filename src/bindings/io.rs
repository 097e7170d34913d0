//! The threads that connections to servers live on: a tokio runtime of its own beside the workers, which is there when the
//! first binding needs it.
//!
//! A connection is shared by all workers and outlives each of them, so it cannot live on one. Triggers accept here, too.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, JoinHandle},
};

use super::BindingError;

/// Threads at most: what is done there is moving bytes; the work is on the workers and in the servers.
const MAX_THREADS: usize = 4;

/// The shortest timer that there is: it ends only when a thread has asked the system for what happened.
const TICK: Duration = Duration::from_millis(1);

/// Access to the threads; clones share them.
#[derive(Clone, Default)]
pub struct Io(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Option<Threads>>);

struct Threads {
    runtime: Runtime,
    /// How often somebody looked.
    looks: u64,
    /// Number of the last look with which a timer was begun.
    begun: u64,
    /// Number of the last timer that came to its end.
    ended: Arc<AtomicU64>,
}

/// What the threads had done by the time that somebody looked. What is the same at two looks hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoTurn {
    /// All of them together: the number of the last timer that came to its end. Whichever of them waits for the system does
    /// so for timers and connections alike, so without timers nothing is accepted.
    Together(u64),
    /// One of them waits for work; the number of the look, which is another each time.
    Waits(u64),
    /// One of them works.
    Works {
        /// How often it has begun and ended to wait for work.
        waits: u64,
        /// For how long it had worked when it last looked for what to do next.
        worked: Duration,
    },
}

impl Io {
    /// A handle to the runtime, which is started if this is the first to ask.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn handle(&self) -> io::Result<Handle> {
        let mut threads = self.0.0.lock();
        if let Some(threads) = &*threads {
            return Ok(threads.runtime.handle().clone());
        }
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let runtime = Builder::new_multi_thread().worker_threads(count).thread_name("io").enable_all().build()?;
        let handle = runtime.handle().clone();
        *threads = Some(Threads { runtime, looks: 0, begun: 0, ended: Arc::default() });
        Ok(handle)
    }

    /// Looks what the threads have done until now, and lets them do something for the next look: first what they do together,
    /// then each of them. None where there are no threads yet.
    #[must_use]
    pub fn turns(&self) -> Vec<IoTurn> {
        self.0.0.lock().as_mut().map(Threads::turns).unwrap_or_default()
    }

    /// The same for a binding, which the error names.
    ///
    /// # Errors
    /// As above.
    pub(super) fn handle_for(&self, binding: &Arc<str>) -> Result<Handle, BindingError> {
        self.handle().map_err(|source| BindingError::Thread { binding: Arc::clone(binding), thread: "io", source })
    }
}

impl Threads {
    fn turns(&mut self) -> Vec<IoTurn> {
        self.looks += 1;
        let ended = self.ended.load(Relaxed);
        // One at a time: where none comes to its end, no more are begun.
        if ended == self.begun {
            self.begun = self.looks;
            let (begun, told) = (self.begun, Arc::clone(&self.ended));
            self.runtime.spawn(async move {
                tokio::time::sleep(TICK).await;
                told.store(begun, Relaxed);
            });
        }
        let metrics = self.runtime.metrics();
        let thread = |thread| match metrics.worker_park_unpark_count(thread) {
            // Each wait is counted when it begins and when it ends.
            waits if waits % 2 == 1 => IoTurn::Waits(self.looks),
            waits => IoTurn::Works { waits, worked: metrics.worker_total_busy_duration(thread) },
        };
        std::iter::once(IoTurn::Together(ended)).chain((0..metrics.num_workers()).map(thread)).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without waiting: it may be dropped where blocking is not allowed, and what runs there is nobody's any more.
        if let Some(Threads { runtime, .. }) = self.0.get_mut().take() {
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

    use std::time::Instant;

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
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    /// Looks again and again until what two looks after each other say of each thread, and before those of all together,
    /// is as wanted: whether it hangs.
    fn wait_for(io: &Io, wanted: impl Fn(&[bool]) -> bool) {
        let mut before = io.turns();
        let start = Instant::now();
        loop {
            #[allow(clippy::disallowed_methods, reason = "a test's own thread, which no guest shares")]
            std::thread::sleep(Duration::from_millis(50));
            let now = io.turns();
            let hang: Vec<_> = before.iter().zip(&now).map(|(before, now)| before == now).collect();
            if wanted(&hang) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{before:?} {now:?}");
            before = now;
        }
    }

    #[test]
    fn a_thread_that_hangs_is_seen_and_so_is_that_all_do() {
        let io = Io::default();
        assert_eq!(io.turns(), []);
        let threads = io.handle().unwrap().metrics().num_workers();
        let nobody = |hang: &[bool]| hang.len() == threads + 1 && !hang.contains(&true);
        wait_for(&io, nobody);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for hanging in 1..=threads {
            let held = Arc::clone(&held);
            io.handle().unwrap().spawn(async move { held.lock().recv().ok() });
            // Until all of them do, the others go on with what they do together.
            let all = hanging == threads;
            wait_for(&io, |hang| {
                hang.split_first().is_some_and(|(together, each)| {
                    *together == all && each.iter().filter(|hangs| **hangs).count() == hanging
                })
            });
        }
        drop(release);
        wait_for(&io, nobody);
    }

    #[test]
    fn it_may_be_dropped_inside_a_runtime() {
        let io = Io::default();
        io.handle().unwrap();
        Builder::new_current_thread().build().unwrap().block_on(async move { drop(io) });
    }
}
