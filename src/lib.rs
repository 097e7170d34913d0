//! wapcd keeps waPC WebAssembly guests running.
//!
//! [`host`] is a library of its own: programs can embed it without the daemon, and it knows nothing of the rest. The other
//! modules are the daemon, for its two commands; ARCHITECTURE.md says which of them may know which.

pub mod actors;
pub mod bindings;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
mod files;
pub mod host;
pub mod logging;
pub mod service;
pub mod signals;
pub mod single_call;
pub mod supervisor;
pub mod triggers;
pub mod web;

/// Runs the program of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
