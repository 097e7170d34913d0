//! Supervision.
pub mod status;
