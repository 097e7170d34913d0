//! `system`: clocks, random bytes, identifiers, and who this is.

use wapc_guest::prelude::*;

use crate::host::{ask, text, words};

/// Answers milliseconds since 1970; this clock may jump.
pub fn now(_payload: &[u8]) -> CallResult {
    text(ask("system", "now", [])?.int("unix_ms")?)
}

/// Answers nanoseconds of a clock that never goes back.
pub fn monotonic(_payload: &[u8]) -> CallResult {
    text(ask("system", "monotonic", [])?.int("ns")?)
}

/// `LENGTH`: answers so many bytes, fit for keys, as hexadecimal digits.
pub fn random(payload: &[u8]) -> CallResult {
    let [length] = words(payload)?;
    let length: u32 = length.parse()?;
    let answer = ask("system", "random", [("length", length.into())])?;
    text(answer.bytes("bytes")?.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Answers an identifier that nothing else has; of version 7, so that later ones are sorted behind it.
pub fn uuid(_payload: &[u8]) -> CallResult {
    text(ask("system", "uuid", [("version", 7.into())])?.text("uuid")?)
}

/// Answers the name of this module and the generation of its code.
pub fn identity(_payload: &[u8]) -> CallResult {
    let answer = ask("system", "identity", [])?;
    text(format!("{} {}", answer.text("module")?, answer.int("generation")?))
}
