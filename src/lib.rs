//! wapcd keeps waPC WebAssembly guests running.
pub mod actors;
pub mod bindings;
pub mod config;
pub mod host;
pub mod supervisor;
