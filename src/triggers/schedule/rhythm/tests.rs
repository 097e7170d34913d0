//! Looks at clocks that run, sleep, and are set, as tables.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
