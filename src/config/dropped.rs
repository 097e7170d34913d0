//! The module of a file in the drop-in directory: what the configuration gives every module, and what the file `NAME.toml`
//! beside it says. Reads no file, and asks nothing about who may write there.

use std::path::Path;

use super::{
    bounds, check,
    error::{ConfigError, ConfigErrorKind, ConfigErrors},
    model::{Config, Declared, Module},
    reader::{self, Report, Section},
    sections::{module, names},
    size::Size,
};

/// Makes the module of the wasm file `NAME.wasm`, and of the text of `NAME.toml` with its path, where there is one.
///
/// The text is the content of a module's table: `links = [...]`, `limits.memory = "..."`, `[restart]`. Without it the module
/// has the defaults of the configuration, and no links.
///
/// # Errors
///
/// Every problem of the name and of the text. Besides what is wrong in any module, `path` and `wasi` are refused, and links
/// to bindings that `[drop_in] links` does not list.
pub fn dropped(name: &str, wasm: &Path, toml: Option<(&Path, &str)>, config: &Config) -> Result<Module, ConfigErrors> {
    check_name(name).map_err(|found| bad_file(wasm, found, names::expected()))?;
    let base = Module {
        declared: Declared::Dropped,
        limits: config.defaults.limits.clone(),
        restart: config.defaults.restart.clone(),
        engine: config.daemon.engine,
        ..Module::with_defaults(name, wasm)
    };
    let Some((path, text)) = toml else {
        return Ok(base);
    };
    if text.len() as u64 > bounds::DROPPED_TEXT {
        let most = Size::new(bounds::DROPPED_TEXT);
        return Err(bad_file(path, format!("{} bytes", text.len()), format!("at most {most}")).into());
    }
    let report = Report::new(path, text);
    let table = reader::parse(&report).unwrap_or_default();
    let mut written = module::read_dropped(Section::new(&report, String::new(), 0..0, &table), base);
    check::engines([&mut written], &config.daemon);
    let module = check::dropped(written, config);
    ConfigErrors::from_files(vec![report.into_errors()])?;
    Ok(module)
}

/// Says what is wrong with the name that a dropped file gives its module, such as the character in it that is not allowed.
///
/// # Errors
///
/// A text without a subject: `the character 'G' in a name`.
pub fn check_name(name: &str) -> Result<(), String> {
    names::fault_of_file(name).map_or(Ok(()), Err)
}

fn bad_file(file: &Path, found: String, expected: String) -> ConfigError {
    ConfigError {
        file: file.to_owned(),
        position: None,
        key_path: String::new(),
        kind: ConfigErrorKind::BadValue,
        found,
        expected,
        hint: None,
        source: None,
    }
}
