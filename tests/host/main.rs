//! The protocol of `docs/protocol.md`, row by row: each test names its row in a line comment, and `.ci/protocol-rows`
//! lists rows without a test.
//!
//! `guest.rs` writes the guests, `hosts.rs` runs a test with both kinds of callback, `lines.rs` catches what guests and
//! the host log, `alone.rs` gives a test a process of its own. The other modules are the rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod alone;
mod changed_limits;
mod guest;
mod hosts;
mod lines;

mod console;
mod deadline;
mod engines;
mod fairness;
mod fresh;
mod host_calls;
mod hostile;
mod hostile_guest;
mod identity;
mod idle;
mod limits;
mod load;
mod outcome;
mod pauses;
mod pointers;
mod pool;
mod pool_full;
mod replace;
mod scripted;
mod signatures;
mod start;
mod wasi;
mod wasi_abi;
