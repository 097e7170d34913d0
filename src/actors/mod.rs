//! Actors.
mod call;
pub use call::*;
