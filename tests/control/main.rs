//! The control API over a real socket, with a daemon made of memory behind it; wapcctl as a real process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod changes;
mod children;
mod described;
mod events;
mod fake;
mod generated;
mod http;
mod messages;
mod metrics;
mod openmetrics;
mod rights;
mod routes;
mod socket;
mod triggers;
mod wapcctl;
mod wapcctl_changes;
mod wapcd;
