//! Swaps, dropped files and reloads with the real daemon: whatever changes, no call is lost, and a mistake changes nothing.
//!
//! A program of its own, because parts of it measure: `cargo test` runs it after and before others, never beside them,
//! and `.config/nextest.toml` says the same to nextest. `WAPCD_TEST_FULL=1` proves everything at its full size, which
//! takes an hour; `WAPCD_TEST_SEED` repeats what is random. The figures are in `target/tmp/swap.txt` after a run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod broken;
mod callers;
#[path = "../daemon/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod client;
mod config_mutations;
mod corpus;
mod dropped;
mod dropped_places;
mod drops;
mod files;
mod guest;
mod guests;
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use the rest")]
mod harness;
mod history;
mod kept;
mod load;
mod memory;
mod power_cut;
mod reload;
mod reload_refused;
mod roll_back;
mod stage;
mod told;
mod wasm;
mod watched;
