//! The contenders: wapcd's host library, the crates `wapc` and `wasmtime-provider`, and wasmtime with nothing around it.
//!
//! All three run the same guest. Callbacks return the payload they were given; a plain one has to copy it for that,
//! an asynchronous one owns it.

pub mod own;
pub mod peer;
pub mod raw;

use anyhow::Result;

/// Operation that answers with its payload.
pub const ECHO: &str = "echo";
/// Operation that passes its payload through one host call.
pub const HOST_ECHO: &str = "host_echo";

/// The guest of all contenders.
///
/// # Errors
/// Never, as long as the guest's text is well formed.
pub fn guest() -> Result<Vec<u8>> {
    Ok(wat::parse_str(include_str!("../../guests/echo.wat"))?)
}

/// A payload of so many bytes.
#[must_use]
pub fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}
