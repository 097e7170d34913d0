//! The protocol once more, on the interpreter: the tests of `tests/host/`, whose engines see by the name of this program how
//! guests are to run (`tests/host/guest.rs`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../host/main.rs"]
mod host;

use host::{alone, deadline, fairness, guest, hostile_guest, hosts, lines, scripted};
