//! The protocol of `docs/protocol.md`, row by row: each test names its row in a line comment, and `.ci/protocol-rows`
//! lists rows without a test.
//!
//! `guest.rs` writes the guests, `hosts.rs` runs a test with both kinds of callback, `lines.rs` catches what guests and
//! the host log, `alone.rs` gives a test a process of its own. The other modules are the rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod alone;
pub(crate) mod changed_limits;
pub(crate) mod guest;
pub(crate) mod hosts;
pub(crate) mod lines;

pub(crate) mod console;
pub(crate) mod deadline;
pub(crate) mod engines;
pub(crate) mod fairness;
pub(crate) mod fresh;
pub(crate) mod host_calls;
pub(crate) mod hostile;
pub(crate) mod hostile_guest;
pub(crate) mod identity;
pub(crate) mod idle;
pub(crate) mod limits;
pub(crate) mod load;
pub(crate) mod outcome;
pub(crate) mod pauses;
pub(crate) mod pointers;
pub(crate) mod pool;
pub(crate) mod pool_full;
pub(crate) mod replace;
pub(crate) mod scripted;
pub(crate) mod signatures;
pub(crate) mod start;
pub(crate) mod wasi;
pub(crate) mod wasi_abi;
