//! Bindings against the real things behind them: servers that are started, killed, paused and cut off by the tests.
//!
//! Each type has one suite of conformance, which every backend of it passes unchanged, and tests of the faults that its
//! servers can have. `servers` is the harness that they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../daemon/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod client;
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod daemon;
mod harness;
mod servers;

mod blob;
mod examples;
mod http_client;
mod keyvalue;
mod messaging;
mod messaging_faults;
mod messaging_flood;
mod operated;
mod sql;
mod sql_faults;
