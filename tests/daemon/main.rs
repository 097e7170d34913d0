//! The daemon as its users meet it: the real binary, over its real socket, with real guests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(feature = "fault-injection")]
mod agreement;
mod backoff;
#[cfg(feature = "fault-injection")]
mod binding_faults;
mod chances;
mod client;
mod commands;
mod durable;
mod edges;
#[cfg(feature = "fault-injection")]
mod ends;
mod facts;
mod failures;
mod fairness;
#[cfg(feature = "fault-injection")]
mod faults;
mod following;
#[cfg(feature = "fault-injection")]
mod footprint;
mod groups;
mod guests;
mod harness;
mod health;
mod held;
mod interpreted;
mod limits;
mod links;
mod loading;
mod mixed;
mod nested;
mod operators;
mod processes;
mod queue;
mod quick;
mod restart;
mod services;
mod stalls;
mod stopping;
mod stops;
mod story;
mod thrift;
mod told;
