//! `[bindings.NAME]`: one binding. Each type has its own settings; what belongs to another type or backend is refused.

mod blob;
mod http_client;
mod keyvalue;
mod limits;
mod messaging;
mod process;
mod secret;
pub(super) mod secret_source;
mod server;
mod sql;

use std::path::Path;

use super::{health, names, restart, shutdown};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{BindingLimits, BindingSettings, Durability, HealthCheck, MetricsSettings, Restart, Shutdown},
    reader::{Named, Node, Problem, Section},
};

/// Types of binding, as `type` names them.
#[derive(Clone, Copy)]
enum BindingType {
    Log,
    Module,
    Config,
    System,
    Metrics,
    Secret,
    KeyValue,
    Blob,
    Sql,
    Messaging,
    HttpClient,
    Process,
    #[cfg(feature = "fault-injection")]
    Faulty,
}

const TYPES: &[(&str, BindingType)] = &[
    ("keyvalue", BindingType::KeyValue),
    ("blob", BindingType::Blob),
    ("sql", BindingType::Sql),
    ("messaging", BindingType::Messaging),
    ("http_client", BindingType::HttpClient),
    ("process", BindingType::Process),
    ("secret", BindingType::Secret),
    ("config", BindingType::Config),
    ("metrics", BindingType::Metrics),
    ("system", BindingType::System),
    ("log", BindingType::Log),
    ("module", BindingType::Module),
];

/// When a change of an embedded database is answered.
const DURABILITIES: &[(&str, Durability)] = &[("immediate", Durability::Immediate), ("eventual", Durability::Eventual)];

/// Where relative paths of bindings are meant to be.
#[derive(Clone, Copy)]
pub(in crate::config) struct Places<'p> {
    /// What is written: databases.
    pub(in crate::config) state_dir: &'p Path,
    /// What is read: certificates, secrets, programs. The directory of the file.
    pub(in crate::config) directory: &'p Path,
}

/// A binding as it is written.
pub(in crate::config) struct WrittenBinding<'d> {
    /// Its name.
    pub(in crate::config) name: &'d str,
    /// Its name with its place.
    pub(in crate::config) named: Named<'d>,
    /// What its type takes; `None` where the type could not be read, which was reported.
    pub(in crate::config) settings: Option<BindingSettings>,
    /// The `path` of its database or directory, if it is written.
    pub(in crate::config) path: Option<Node<'d>>,
    /// How much it does at once.
    pub(in crate::config) limits: BindingLimits,
    /// How it is restarted.
    pub(in crate::config) restart: Restart,
    /// How long its backend may take to end.
    pub(in crate::config) shutdown: Shutdown,
    /// When its backend is asked whether it is well.
    pub(in crate::config) health: Option<HealthCheck>,
    /// Its own keys that count restarts; none may be there in a member of a group.
    pub(in crate::config) counts: Vec<Node<'d>>,
}

/// Reads the bindings of one file, in its order; relative databases are meant against the state directory.
pub(in crate::config) fn read_all<'d>(
    named: &[Named<'d>],
    places: Places<'_>,
    restart: &Restart,
) -> Vec<WrittenBinding<'d>> {
    named.iter().map(|named| read(named, places, restart)).collect()
}

fn read<'d>(named: &Named<'d>, places: Places<'_>, restart: &Restart) -> WrittenBinding<'d> {
    names::check(named);
    let mut binding = WrittenBinding {
        name: named.name,
        named: named.clone(),
        settings: None,
        path: None,
        limits: BindingLimits::default(),
        restart: restart.clone(),
        shutdown: defaults::BINDING_SHUTDOWN,
        health: None,
        counts: Vec::new(),
    };
    let Some(section) = named.node.section("a table with the binding's type and settings") else {
        return binding;
    };
    let node = section.require("type", "the binding's type, such as \"keyvalue\"");
    // With an unknown type nothing can be said about the other keys: they are neither known nor unknown.
    let Some(binding_type) = node.and_then(|node| type_of(&node)) else {
        return binding;
    };
    binding.settings = Some(match binding_type {
        BindingType::Log => BindingSettings::Log,
        BindingType::Module => BindingSettings::Module,
        BindingType::Config => BindingSettings::Config,
        BindingType::System => BindingSettings::System,
        BindingType::Metrics => BindingSettings::Metrics(MetricsSettings {
            max_series: section.or("max_series", defaults::METRICS_SERIES, |node| node.count(&bounds::METRICS_SERIES)),
        }),
        BindingType::Secret => BindingSettings::Secret(secret::read(&section, places)),
        BindingType::KeyValue => BindingSettings::KeyValue(keyvalue::read(&section, named.name, places)),
        BindingType::Blob => BindingSettings::Blob(blob::read(&section, named.name, places)),
        BindingType::Sql => BindingSettings::Sql(sql::read(&section, named.name, places)),
        BindingType::Messaging => BindingSettings::Messaging(messaging::read(&section, places)),
        BindingType::HttpClient => BindingSettings::HttpClient(http_client::read(&section, places)),
        BindingType::Process => BindingSettings::Process(process::read(&section, places)),
        #[cfg(feature = "fault-injection")]
        BindingType::Faulty => BindingSettings::Faulty,
    });
    binding.path = named.node.entry("path");
    supervision(&section, &mut binding);
    section.finish();
    binding
}

fn type_of(node: &Node<'_>) -> Option<BindingType> {
    // Not among those that are listed: nobody but the tests shall come upon it.
    #[cfg(feature = "fault-injection")]
    if node.is_text() && node.text("a type") == Some("faulty") {
        return Some(BindingType::Faulty);
    }
    node.choice(TYPES)
}

/// Whether a key of one backend is written for that backend; if not, that is noted.
fn belongs<B: Copy + PartialEq>(node: &Node<'_>, chosen: B, owners: &[B], backends: &[(&str, B)]) -> Option<()> {
    if owners.contains(&chosen) {
        return Some(());
    }
    let name = |backend: B| backends.iter().find(|(_, known)| *known == backend).map_or("", |(name, _)| *name);
    let owners: Vec<String> = owners.iter().map(|owner| format!("\"{}\"", name(*owner))).collect();
    node.problem(Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("a key of the backend {}", owners.join(" or ")),
        expected: format!("only keys of the backend \"{}\"", name(chosen)),
        hint: None,
    })
}

/// How its backend is restarted, stopped and asked; a binding without a backend has none of these keys.
fn supervision<'d>(section: &Section<'d>, binding: &mut WrittenBinding<'d>) {
    let Some(settings) = &binding.settings else { return };
    if !settings.has_backend() {
        for key in ["restart", "shutdown", "health", "limits"] {
            section.refuse(key, || Problem {
                kind: ConfigErrorKind::Conflict,
                found: format!("`{key}` on a binding of type \"{}\"", settings.type_name()),
                expected: "it only on bindings with a backend that can fail and be stopped, such as \"keyvalue\""
                    .to_owned(),
                hint: None,
            });
        }
        return;
    }
    binding.limits = section.or("limits", binding.limits.clone(), limits::read);
    if let Some(node) = section.get("restart") {
        binding.counts = restart::counts(&node);
        binding.restart = restart::read(node.section("a table"), &binding.restart);
    }
    binding.shutdown = section.or("shutdown", binding.shutdown, shutdown::read);
    binding.health = section.get("health").and_then(|node| {
        if settings.can_be_asked() { health::of_binding(&node) } else { node.problem(cannot_be_asked()) }
    });
}

fn cannot_be_asked() -> Problem {
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: "`health` on a binding whose backend cannot be asked whether it is well".to_owned(),
        expected: "it only on bindings with a database, a directory, a server or a process behind them".to_owned(),
        hint: Some("without it a backend that ends is noticed all the same".to_owned()),
    }
}
