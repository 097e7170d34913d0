//! The waPC host library.
mod callback;
mod error;
pub use callback::{HostCall, HostCallError, HostCallFuture, HostCallback, HostCallbackAsync, HostErrorKind};
pub use error::*;
