//! What everything that speaks HTTP says in the same way: the control API and `http` triggers.
//!
//! * [`Problem`]: the form of every error, with the one table of its kinds; [`encoding`]: names in paths and headers.
//! * The headers that tell which call an answer is about.

pub mod encoding;
mod problem;

pub use problem::{Facts, Kind, MEDIA_TYPE, Problem, kind_of};

/// Response header: id of the call.
pub const CALL_HEADER: &str = "wapcd-call-id";
/// Response header: the module that was addressed, percent-encoded.
pub const MODULE_HEADER: &str = "wapcd-module";
/// Response header: the instance that took the call.
pub const INSTANCE_HEADER: &str = "wapcd-instance";
/// Response header: generation of the code that took the call.
pub const GENERATION_HEADER: &str = "wapcd-generation";
