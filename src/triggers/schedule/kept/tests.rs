//! Files of schedules: whole, broken, of others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
