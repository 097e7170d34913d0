//! Hostile bytes to the compiler and the checks behind it.

#![no_main]
#![allow(dead_code, reason = "the other target uses the rest of the shared file")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a finding is a panic")]

#[path = "../../tests/host/hostile_guest.rs"]
mod hostile_guest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile_guest::hostile_module(data));
