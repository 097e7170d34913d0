//! wapcd keeps waPC WebAssembly guests running.
pub mod actors;
pub mod bindings;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod host;
pub mod logging;
pub mod signals;
pub mod single_call;
pub mod supervisor;
