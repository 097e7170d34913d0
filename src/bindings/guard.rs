//! Catching panics of bindings and backends.
//!
//! Whoever catches one throws away the value that panicked, which is why unwind safety is asserted here.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use crate::host::panic_message;

/// Runs `work`; a panic becomes its message.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

/// A future that never unwinds, neither when it is polled nor when it is dropped; a panic becomes its message.
pub(super) struct Guarded<F>(Option<F>);

impl<F: Future + Unpin> Guarded<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(work))
    }

    /// Drops the work, done or not.
    pub(super) fn end(&mut self) -> Result<(), String> {
        let work = self.0.take();
        catch(|| drop(work))
    }
}

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        match catch(|| Pin::new(work).poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(self.end().map(|()| output)),
            Err(panic) => {
                // What a broken future says when it is dropped adds nothing to its panic.
                self.end().ok();
                Poll::Ready(Err(panic))
            }
        }
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        // Only a worker that ends drops work that was not ended; nobody is left to be told.
        let work = self.0.take();
        catch(|| drop(work)).ok();
    }
}
