//! From a file or a text to a checked configuration.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    string::FromUtf8Error,
};

use super::{
    check,
    environment::Environment,
    error::{ConfigError, ConfigErrorKind, ConfigErrors},
    model::{Config, ModuleDefaults, Watch},
    reader::{self, Report, Section},
    sections::{bindings, control, daemon, groups, logging, metrics, module, root},
    size::Size,
};

/// Bytes of a configuration file at most: 100,000 modules fit; a mistaken path to a disk image does not fill the memory.
const LONGEST_FILE: u64 = 16 << 20;

/// Reads and checks a configuration file. An empty file is a valid configuration without modules.
///
/// # Errors
///
/// Every problem of the file: it cannot be read, is not TOML, or says something that is not allowed.
pub fn load(path: &Path, env: &Environment) -> Result<Config, ConfigErrors> {
    let text = read(path, &env.current_dir.join(path))?;
    parse(&text, path, env)
}

/// Checks the text of a configuration, as if it stood in a file of this path. Reads no file.
///
/// # Errors
///
/// Every problem of the text.
///
/// ```
/// use wapcd::config::{self, Environment};
/// let env = Environment { home: Some("/home/ada".into()), uid: 1000, cores: 2, ..Environment::default() };
/// let config = config::parse("[modules.greeter]\npath = \"greeter.wasm\"", "/etc/wapcd.toml".as_ref(), &env)?;
/// assert_eq!(config.modules[0].path.to_str(), Some("/etc/greeter.wasm"));
///
/// let errors = config::parse("[daemon]\nworker = 2", "/etc/wapcd.toml".as_ref(), &env).unwrap_err();
/// assert!(errors.to_string().contains("/etc/wapcd.toml:2:1: daemon.worker: found an unknown key"));
/// # Ok::<(), wapcd::config::ConfigErrors>(())
/// ```
pub fn parse(text: &str, path: &Path, env: &Environment) -> Result<Config, ConfigErrors> {
    let report = Report::new(path, text);
    let config = read_sections(&report, env.current_dir.join(path), env);
    report.finish()?;
    Ok(config)
}

/// Reads every section and notes every problem; the configuration is worth something only if there is none.
pub(super) fn read_sections(report: &Report<'_>, source: PathBuf, env: &Environment) -> Config {
    // What is not TOML has been noted, and is read on as an empty file.
    let table = reader::parse(report).unwrap_or_default();
    let sections = root::read(Section::new(report, String::new(), 0..0, &table));
    let base = source.parent().unwrap_or(Path::new("/"));

    let daemon = daemon::read(sections.daemon, base, env, report);
    let control = control::read(sections.control, &daemon.runtime_dir, report);
    let logging = logging::read(sections.logging);
    let (limits, restart) = root::defaults(sections.defaults);
    let written_bindings = bindings::read_all(sections.bindings, &daemon.state_dir, &restart);
    let defaults = ModuleDefaults { limits: limits.clone(), restart: restart.clone() };
    let written_modules = module::read_all(sections.modules, &module::ModuleDefaults { limits, restart, base });
    let written_groups = groups::read_all(sections.groups);
    let metrics = metrics::read(sections.metrics);

    let bindings = check::bindings(&written_bindings, report);
    let groups = check::groups(written_groups, &written_modules, &written_bindings);
    let modules = check::modules(written_modules, &bindings, &written_bindings);
    Config {
        files: vec![source.clone()],
        includes: Vec::new(),
        source,
        daemon,
        control,
        logging,
        bindings,
        modules,
        groups,
        metrics,
        watch: Watch::default(),
        drop_in: None,
        defaults,
    }
}

/// Reads a whole file of bounded length; errors name it as the caller did.
fn read(named: &Path, path: &Path) -> Result<String, ConfigErrors> {
    let refused = |found: &str| Err(file_error(named, found, None).into());
    let unreadable = |source: io::Error| file_error(named, describe(&source), Some(source));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return refused("a directory");
    }
    // A pipe without a writer would hang here for ever.
    if !metadata.is_file() {
        return refused("a device, pipe or socket");
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return refused(&format!("more than {}", Size::new(LONGEST_FILE)));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(named, error).into())
}

fn describe(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "no such file",
        io::ErrorKind::PermissionDenied => "a file that this user may not read",
        _ => "a file that cannot be read",
    }
}

fn file_error(file: &Path, found: &str, source: Option<io::Error>) -> ConfigError {
    ConfigError {
        file: file.to_owned(),
        position: None,
        key_path: String::new(),
        kind: ConfigErrorKind::File,
        found: found.to_owned(),
        expected: format!("a TOML file of at most {}", Size::new(LONGEST_FILE)),
        hint: None,
        source,
    }
}

/// Points at the first byte that is not UTF-8.
fn not_utf8(file: &Path, error: FromUtf8Error) -> ConfigError {
    let valid = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
    let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
    ConfigError {
        position: Some(Report::new(file, &before).position(valid)),
        expected: "UTF-8 text".to_owned(),
        ..file_error(file, &format!("the byte 0x{byte:02x}, which is not UTF-8"), None)
    }
}
