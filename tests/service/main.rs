//! What the daemon tells a service manager, and what it takes from one: the real binary, and a manager of the tests' own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/client.rs"]
mod client;
#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/held.rs"]
mod held;

mod alive;
mod manager;
mod ready;
mod reloads;
mod stored;
