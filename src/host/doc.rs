//! A guest for the examples in this library's documentation, so that they can be run.

/// Answers every operation with its payload. 118 bytes of wasm, assembled from the text beside it in the tests.
pub const ECHO_GUEST: &[u8] = include_bytes!("echo.wasm");
