//! Bindings against the real things behind them: servers that are started, killed, paused and cut off by the tests.
//!
//! Each type has one suite of conformance, which every backend of it passes unchanged, and tests of the faults that its
//! servers can have. `servers` is the harness that they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
#[path = "../daemon/client.rs"]
#[path = "../daemon/harness.rs"]
mod blob;
mod client;
mod daemon;
mod examples;
#[allow(dead_code, reason = "what no suite uses yet is there for the next")]
mod harness;
mod operated;
#[allow(dead_code, reason = "what no suite uses yet is there for the next")]
mod servers;

mod messaging;
mod messaging_faults;
mod messaging_flood;
