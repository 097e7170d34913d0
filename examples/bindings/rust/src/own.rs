//! `config` and `secret`: what the operator gave to this module.

use wapc_guest::prelude::*;

use crate::host::{ask, text, words};

/// `KEY`: answers the text at that path in `[modules.NAME.config]`, or the error `not_found`.
pub fn config_get(payload: &[u8]) -> CallResult {
    let [key] = words(payload)?;
    text(ask("config", "get", [("key", key.into())])?.text("value")?)
}

/// Answers the keys of `[modules.NAME.config]`, a line each.
pub fn config_all(_payload: &[u8]) -> CallResult {
    text(ask("config", "all", [])?.names("config")?.join("\n"))
}

/// `NAME`: answers how many bytes the secret has, and keeps it to itself.
pub fn secret_get(payload: &[u8]) -> CallResult {
    let [name] = words(payload)?;
    text(ask("secret", "get", [("name", name.into())])?.bytes("value")?.len())
}
