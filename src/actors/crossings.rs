//! How often a call on its way wakes another thread, which placement is there to avoid: counted for tests only.
//!
//! Counted are calls that are handed to an instance on another worker than the caller's, and every wake-up of a connection,
//! of a caller, and of a guest that waits for a binding which comes from a thread other than its own. A released daemon
//! counts nothing. Beside it a test may make calls more patient than they are: what crosses then crosses also on a machine
//! that keeps no thread waiting.

#[cfg(feature = "fault-injection")]
pub(super) use self::counted::handed_to;
#[cfg(feature = "fault-injection")]
pub(super) use self::counted::patience;
#[cfg(feature = "fault-injection")]
pub(crate) use self::counted::watched;
#[cfg(feature = "fault-injection")]
pub use self::counted::{crossings, set_patience};

/// How long a call waits for an instance of its own worker.
#[cfg(not(feature = "fault-injection"))]
pub(super) fn patience() -> std::time::Duration {
    super::places::PATIENCE
}

/// Notes that an instance on that worker gets a call.
#[cfg(not(feature = "fault-injection"))]
pub(super) fn handed_to(_worker: usize) {}

/// Notes who wakes the future.
#[cfg(not(feature = "fault-injection"))]
pub(crate) fn watched<F>(future: F) -> F {
    future
}

#[cfg(feature = "fault-injection")]
mod counted {
    use std::{
        cell::Cell,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        task::{Context, Poll, Wake, Waker},
        thread::{self, ThreadId},
        time::Duration,
    };

    use crate::actors::{current_worker, places::PATIENCE};

    static CROSSINGS: AtomicU64 = AtomicU64::new(0);

    /// In milliseconds, as `PATIENCE` is.
    static PATIENT_FOR: AtomicU64 = AtomicU64::new(PATIENCE.as_millis() as u64);

    thread_local! {
        /// Whether the thread wakes somebody right now: a future in another is woken through both, and is one.
        static WAKING: Cell<bool> = const { Cell::new(false) };
    }

    /// How many there were since the process started.
    #[must_use]
    pub fn crossings() -> u64 {
        CROSSINGS.load(Relaxed)
    }

    /// Lets calls of the whole process wait so long for an instance of their own worker.
    pub fn set_patience(milliseconds: u64) {
        PATIENT_FOR.store(milliseconds, Relaxed);
    }

    pub(in crate::actors) fn patience() -> Duration {
        Duration::from_millis(PATIENT_FOR.load(Relaxed))
    }

    pub(in crate::actors) fn handed_to(worker: usize) {
        CROSSINGS.fetch_add(u64::from(current_worker() != Some(worker)), Relaxed);
    }

    pub(crate) fn watched<F: Future>(future: F) -> Watched<F> {
        Watched(Box::pin(future))
    }

    pub(crate) struct Watched<F>(Pin<Box<F>>);

    impl<F: Future> Future for Watched<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let waker =
                Waker::from(Arc::new(Origin { thread: thread::current().id(), waker: context.waker().clone() }));
            self.0.as_mut().poll(&mut Context::from_waker(&waker))
        }
    }

    /// Whoever is woken, and the thread on which it runs.
    struct Origin {
        thread: ThreadId,
        waker: Waker,
    }

    impl Wake for Origin {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            let within = WAKING.replace(true);
            CROSSINGS.fetch_add(u64::from(!within && thread::current().id() != self.thread), Relaxed);
            self.waker.wake_by_ref();
            WAKING.set(within);
        }
    }
}
