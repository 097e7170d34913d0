//! One file for each section of the configuration: which keys it has, which type and bounds each, and what it becomes.
//!
//! A reader takes the section and the values that hold where it is silent, and gives the checked values. What can only be
//! said about several sections together (a link names a binding) is decided in `check`.

pub(super) mod bindings;
pub(super) mod control;
pub(super) mod daemon;
pub(super) mod drop_in;
pub(super) mod groups;
mod health;
mod hooks;
pub(super) mod limits;
pub(super) mod links;
pub(super) mod logging;
pub(super) mod metrics;
pub(super) mod module;
mod module_config;
pub(super) mod names;
mod rate_limit;
pub(super) mod restart;
pub(super) mod root;
mod shutdown;
mod swap;
pub(super) mod triggers;
pub(super) mod wasi;
pub(super) mod watch;
