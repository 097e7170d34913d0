//! The `metrics` binding: what guests count, on the daemon's metrics.
//!
//! | operation | request | answer | errors besides `bad_request` |
//! |---|---|---|---|
//! | `counter` | `{name: str, labels?: {str: str}, by?: number}` | `{}` | `conflict`, `too_large` |
//! | `gauge` | `{name: str, labels?: {str: str}, set?: number, add?: number}` | `{}` | `conflict`, `too_large` |
//! | `histogram` | `{name: str, labels?: {str: str}, value: number, buckets?: [number]}` | `{}` | `conflict`, `too_large` |
//!
//! A metric `jobs` is exposed as `guest_jobs`, with the label `module`: its name can collide with none of the daemon's, and
//! equal labels of two modules are two series. What a name is (counter, gauge or histogram) is decided by the first module that
//! uses it, and holds as long as any module has a series of it; another use is a `conflict`. Ends that the exposition adds
//! itself (`_total`, `_bucket`, …) are not for names, except that a counter's `_total` is understood.
//!
//! A module may make `max_series` series; the next one is `too_large`. Series live as long as their module is configured: they
//! survive swaps, restarts of instances and of the binding, and end with the daemon or the module's removal.
//!
//! ```text
//! actor.rs ── operations.rs: payload → Metric, Change ──▶ registry.rs: GuestMetrics, one for the daemon
//!                                                             ▲ series.rs: one value, changed without a lock
//!  GET /metrics ── reads families ────────────────────────────┘
//! ```

mod actor;
mod labels;
mod names;
mod operations;
mod registry;
mod series;

use std::sync::Arc;

use self::actor::MetricsFactory;
pub use self::{
    registry::{GuestFamily, GuestMetrics, GuestSeries},
    series::{Kind, Reading},
};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::MetricsSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 3] = ["counter", "gauge", "histogram"];

/// Starts the binding over the daemon's one registry.
pub(super) fn start(
    name: Arc<str>,
    settings: &MetricsSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Ok(Arc::new(MetricsFactory::new(name, settings, Arc::clone(&context.metrics))))
}
