//! Triggers: the real daemon, called by HTTP, the clock, messages and files, and by real clients.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/client.rs"]
mod client;
#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/harness.rs"]
mod harness;
#[cfg(feature = "fault-injection")]
#[allow(dead_code, reason = "the daemon's own tests use all of it")]
#[path = "../daemon/held.rs"]
mod held;
#[allow(dead_code, unused_imports, reason = "the bindings' tests use all of it")]
#[path = "../bindings/servers/mod.rs"]
mod servers;

mod broken;
mod browser;
mod clients;
mod files;
#[cfg(feature = "fault-injection")]
mod handed_over;
mod http_routes;
mod http_server;
mod http_tls;
mod init;
mod malformed;
mod messages;
mod messages_kill;
mod messages_nats;
mod messages_streams;
mod nats;
mod operated;
mod placement;
mod schedule;
mod stop_under_load;
mod under_load;
mod web;
mod wrk;
