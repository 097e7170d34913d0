//! One actor with scripted bindings and a scripted supervisor: what holds for every type.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod actors;
mod limits;
mod script;
