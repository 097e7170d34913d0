//! Waiting for a guest, no longer than it may take.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use super::errand::Attended;

/// When a future has to be over.
#[derive(Clone, Copy)]
pub(super) enum Deadline {
    Never,
    At(Instant),
    After(Duration),
}

/// Awaits a future until the deadline; `None` when that came first. The future is dropped then.
///
/// A guest that answers without waiting touches no timer and no clock.
pub(super) async fn before<T>(deadline: Deadline, future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Option<T> {
    let mut future = Attended(future);
    if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await {
        return Some(value);
    }
    let at = match deadline {
        Deadline::Never => return Some(future.await),
        Deadline::At(at) => at,
        Deadline::After(limit) => match Instant::now().checked_add(limit) {
            Some(at) => at,
            None => return Some(future.await),
        },
    };
    // An answer of another task of the same worker is there before the worker looks at its timers again, and setting one costs a system
    // call where it is the next to fire.
    let mut turn = pin!(tokio::task::yield_now());
    let mut begun = false;
    let early = poll_fn(|cx| {
        if begun && let Poll::Ready(value) = Pin::new(&mut future).poll(cx) {
            return Poll::Ready(Some(value));
        }
        begun = true;
        turn.as_mut().poll(cx).map(|()| None)
    });
    if let Some(value) = early.await {
        return Some(value);
    }
    // A timeout hands back no reason beyond having passed. Boxed, since the future of every call would have room for it.
    Box::pin(tokio::time::timeout_at(at.into(), future)).await.ok()
}
