//! What the documents say, held against the repository and the program: paths, links, commands with their output,
//! configurations, and the shape of the code that ARCHITECTURE.md draws.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking, and documents itself by its name"
)]

mod commands;
mod configurations;
mod layers;
mod links;
mod output;
#[path = "../bindings/servers/ports.rs"]
mod ports;
mod repository;
