//! Host services that guests may call.
mod call;
pub use call::{BindingCall, Caller, Chain};
