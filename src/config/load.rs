//! From a file and those that it includes, or from a text, to a checked configuration.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{
    check,
    environment::Environment,
    error::ConfigErrors,
    files,
    include::{self, Included, Pattern},
    merge,
    model::{Config, ModuleDefaults},
    reader::{self, Report, Section},
    sections::{bindings, control, daemon, drop_in, groups, logging, metrics, module, root, triggers, watch},
};

/// Reads and checks a configuration file with the files that it includes. An empty file is a valid configuration without
/// modules.
///
/// # Errors
///
/// Every problem of the files, each with its file: one cannot be read, is not TOML, or says something that is not allowed.
pub fn load(path: &Path, env: &Environment) -> Result<Config, ConfigErrors> {
    let source = env.current_dir.join(path);
    let text = files::read(path, &source)?;
    read_all(&text, path, env, |patterns| include::find(patterns, path, &source))
}

/// Checks the text of a configuration, as if it stood in a file of this path. Reads no file, also none that it includes.
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
    read_all(text, path, env, |_| Vec::new())
}

/// Checks a text and what is found where it includes something.
pub(super) fn read_all(
    text: &str,
    path: &Path,
    env: &Environment,
    find: impl FnOnce(&[Pattern<'_>]) -> Vec<Included>,
) -> Result<Config, ConfigErrors> {
    let report = Report::new(path, text);
    let table = reader::parse(&report).unwrap_or_default();
    let root = Section::new(&report, String::new(), 0..0, &table);
    let source = env.current_dir.join(path);
    let patterns = include::read(&root);
    let included = find(&patterns);
    let parsed: Vec<(Report<'_>, DeTable<'_>)> = included.iter().map(parse_included).collect();
    let parts = parsed.iter().zip(&included).map(|((report, table), included)| {
        let section = Section::new(report, String::new(), 0..0, table);
        Part { children: root::included(section, path), base: directory(&included.path) }
    });
    let config = Config {
        files: std::iter::once(source.clone()).chain(included.iter().map(|file| file.path.clone())).collect(),
        includes: patterns.iter().map(|pattern| directory(&source).join(pattern.text())).collect(),
        ..read_sections(root, parts.collect(), &report, source.clone(), env)
    };
    let mut problems = vec![report.into_errors()];
    problems.extend(parsed.into_iter().map(|(report, _)| report.into_errors()));
    problems.extend(included.into_iter().filter_map(|file| Some(file.text.err()?.into_vec())));
    ConfigErrors::from_files(problems)?;
    Ok(config)
}

/// What is not TOML has been noted, and is read on as an empty file, as is what could not be read at all.
fn parse_included(included: &Included) -> (Report<'_>, DeTable<'_>) {
    let report = Report::new(&included.named, included.text.as_deref().unwrap_or_default());
    let table = reader::parse(&report).unwrap_or_default();
    (report, table)
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// What an included file adds.
pub(super) struct Part<'d, 'p> {
    /// Its modules, bindings and groups.
    children: root::Children<'d>,
    /// The directory of the file, against which what its modules read is meant.
    base: &'p Path,
}

/// Reads every section and notes every problem; the configuration is worth something only if there is none.
pub(super) fn read_sections<'d>(
    root: Section<'d>,
    parts: Vec<Part<'d, '_>>,
    report: &Report<'_>,
    source: PathBuf,
    env: &Environment,
) -> Config {
    let sections = root::read(root);
    let daemon = daemon::read(sections.daemon, directory(&source), env, report);
    let control = control::read(sections.control, &daemon.runtime_dir, report);
    let logging = logging::read(sections.logging);
    let (limits, restart) = root::defaults(sections.defaults);
    let defaults = ModuleDefaults { limits, restart };
    let metrics = metrics::read(sections.metrics);
    let watch = watch::read(sections.watch);
    let written_drop_in = drop_in::read(sections.drop_in, &daemon.state_dir);

    let mut names = merge::Names::default();
    let (mut written_bindings, mut written_modules) = (Vec::new(), Vec::new());
    let (mut written_groups, mut written_triggers) = (Vec::new(), Vec::new());
    let main = Part { children: sections.children, base: directory(&source) };
    for part in std::iter::once(main).chain(parts) {
        let named = names.fresh(part.children);
        let places = bindings::Places { state_dir: &daemon.state_dir, directory: part.base };
        written_bindings.extend(bindings::read_all(&named.bindings, places, &defaults.restart));
        written_modules.extend(module::read_all(&named.modules, &defaults, part.base));
        written_groups.extend(groups::read_all(&named.groups));
        let (state_dir, runtime_dir) = (&*daemon.state_dir, &*daemon.runtime_dir);
        let places = triggers::Places { state_dir, runtime_dir, directory: part.base };
        written_triggers.extend(triggers::read_all(&named.triggers, places, &defaults.restart));
    }

    let bindings = check::bindings(&written_bindings, &written_modules, written_drop_in.as_ref());
    let drop_in = check::drop_in(written_drop_in, &bindings, &written_bindings);
    let groups = check::groups(written_groups, &written_modules, &written_bindings, &written_triggers);
    check::engines(&mut written_modules, &daemon);
    check::private_directories(&written_modules, &daemon);
    let kept = check::Kept {
        source: &source,
        state_dir: &daemon.state_dir,
        code_dir: &daemon.code_dir,
        runtime_dir: &daemon.runtime_dir,
        modules: &written_modules,
        bindings: &bindings,
        drop_in: drop_in.as_ref(),
    };
    check::inboxes(&written_triggers, &kept);
    let sockets = check::OwnSockets { control: &control.socket, metrics: metrics.listen };
    let triggers = check::triggers(written_triggers, &written_modules, &bindings, (drop_in.is_some(), sockets));
    let modules = check::modules(written_modules, &bindings, &written_bindings);
    Config {
        files: Vec::new(),
        includes: Vec::new(),
        source,
        daemon,
        control,
        logging,
        bindings,
        modules,
        groups,
        triggers,
        metrics,
        watch,
        drop_in,
        defaults,
    }
}
