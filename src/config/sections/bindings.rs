//! `[bindings.NAME]`: one binding. Each type has its own settings; what belongs to another type or backend is refused.

use std::path::Path;

use super::{health, names, restart, shutdown};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{BindingSettings, HealthCheck, KeyValueBackend, KeyValueSettings, Restart, Shutdown},
    reader::{Named, Node, Problem, Section},
};

/// Types of binding, as `type` names them.
#[derive(Clone, Copy)]
enum BindingType {
    Log,
    Module,
    KeyValue,
    #[cfg(feature = "fault-injection")]
    Faulty,
}

const TYPES: &[(&str, BindingType)] =
    &[("keyvalue", BindingType::KeyValue), ("log", BindingType::Log), ("module", BindingType::Module)];

/// Backends of a `keyvalue` binding.
#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Redb,
    Memory,
}

const BACKENDS: &[(&str, Backend)] = &[("redb", Backend::Redb), ("memory", Backend::Memory)];

/// A binding as it is written.
pub(in crate::config) struct WrittenBinding<'d> {
    /// Its name.
    pub(in crate::config) name: &'d str,
    /// Its name with its place.
    pub(in crate::config) named: Named<'d>,
    /// What its type takes; `None` where the type could not be read, which was reported.
    pub(in crate::config) settings: Option<BindingSettings>,
    /// The `path` of its database, if it is written.
    pub(in crate::config) path: Option<Node<'d>>,
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
    state_dir: &Path,
    restart: &Restart,
) -> Vec<WrittenBinding<'d>> {
    named.iter().map(|named| read(named, state_dir, restart)).collect()
}

fn read<'d>(named: &Named<'d>, state_dir: &Path, restart: &Restart) -> WrittenBinding<'d> {
    names::check(named);
    let mut binding = WrittenBinding {
        name: named.name,
        named: named.clone(),
        settings: None,
        path: None,
        restart: restart.clone(),
        shutdown: defaults::BINDING_SHUTDOWN,
        health: None,
        counts: Vec::new(),
    };
    let Some(section) = named.node.section("a table with the binding's type and settings") else {
        return binding;
    };
    let node = section.require("type", "the binding's type: \"keyvalue\", \"log\" or \"module\"");
    // With an unknown type nothing can be said about the other keys: they are neither known nor unknown.
    let Some(binding_type) = node.and_then(|node| type_of(&node)) else {
        return binding;
    };
    binding.settings = Some(match binding_type {
        BindingType::Log => BindingSettings::Log,
        BindingType::Module => BindingSettings::Module,
        BindingType::KeyValue => {
            binding.path = section.get("path");
            BindingSettings::KeyValue(keyvalue(&section, named.name, state_dir))
        }
        #[cfg(feature = "fault-injection")]
        BindingType::Faulty => BindingSettings::Faulty,
    });
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

fn keyvalue(section: &Section<'_>, name: &str, state_dir: &Path) -> KeyValueSettings {
    let backend = section.or("backend", Backend::Redb, |node| node.choice(BACKENDS));
    let path = section.or("path", defaults::redb_path(state_dir, name), |node| {
        belongs(node, backend, Backend::Redb)?;
        node.path_in(state_dir)
    });
    let max_bytes = section.or("max_bytes", defaults::KEYVALUE_MAX_BYTES, |node| {
        belongs(node, backend, Backend::Memory)?;
        node.size(&bounds::KEYVALUE_MAX_BYTES)
    });
    KeyValueSettings {
        backend: match backend {
            Backend::Redb => KeyValueBackend::Redb { path },
            Backend::Memory => KeyValueBackend::Memory { max_bytes },
        },
        max_key: section.or("max_key", defaults::KEYVALUE_MAX_KEY, |node| node.size(&bounds::KEYVALUE_MAX_KEY)),
        max_value: section.or("max_value", defaults::KEYVALUE_MAX_VALUE, |node| node.size(&bounds::KEYVALUE_MAX_VALUE)),
    }
}

/// Whether a key of one backend is written for that backend; if not, that is noted.
fn belongs(node: &Node<'_>, chosen: Backend, owner: Backend) -> Option<()> {
    if chosen == owner {
        return Some(());
    }
    let name = |backend| BACKENDS.iter().find(|(_, known)| *known == backend).map_or("", |(name, _)| name);
    node.problem(Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("a key of the backend \"{}\"", name(owner)),
        expected: format!("only keys of the backend \"{}\"", name(chosen)),
        hint: None,
    })
}

/// How its backend is restarted, stopped and asked; a binding without a backend has none of these keys.
fn supervision<'d>(section: &Section<'d>, binding: &mut WrittenBinding<'d>) {
    let Some(settings) = &binding.settings else { return };
    if !settings.has_backend() {
        for key in ["restart", "shutdown", "health"] {
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
        expected: "it only on bindings of type \"keyvalue\" with the backend \"redb\"".to_owned(),
        hint: Some("without it a backend that ends is noticed all the same".to_owned()),
    }
}
