//! Catching panics of bindings and backends.
//!
//! Whoever catches one throws away the value that panicked, which is why unwind safety is asserted here.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

use crate::host::panic_message;

/// Runs `work`; a panic becomes its message.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

/// Waits for `work`; a panic becomes its message.
pub(super) async fn catch_future<F: Future>(work: F) -> Result<F::Output, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| panic_message(&*panic))
}
