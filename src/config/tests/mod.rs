//! Tests of the configuration as a whole: what is accepted, what is refused and how, what the documents say.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod accepted;
mod bindings;
mod documents;
mod dropped;
mod files;
mod following;
mod groups;
mod hooks;
mod hostile;
mod inboxes;
mod include;
mod mistakes;
mod module_config;
mod plan;
mod routes;
mod supervision;

use std::path::Path;

use super::{Config, ConfigErrors, EngineKind, Environment, parse};

/// The file that the tests pretend to read.
const FILE: &str = "/etc/wapcd/wapcd.toml";

/// A user's environment, with four cores.
fn user() -> Environment {
    Environment {
        xdg_state_home: Some("/home/ada/state".into()),
        xdg_runtime_dir: Some("/run/user/1000".into()),
        home: Some("/home/ada".into()),
        uid: 1000,
        cores: 4,
        current_dir: "/".into(),
        ..Environment::default()
    }
}

fn check(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new(FILE), &user())
}

/// The same, with an engine of the command line.
fn with_engine(engine: EngineKind, text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new(FILE), &Environment { engine: Some(engine), ..user() })
}

fn good(text: &str) -> Config {
    check(text).unwrap_or_else(|errors| panic!("refused:\n{errors}\n--- text:\n{text}"))
}

fn bad(text: &str) -> ConfigErrors {
    match check(text) {
        Ok(config) => panic!("accepted as {config:#?}\n--- text:\n{text}"),
        Err(errors) => errors,
    }
}
