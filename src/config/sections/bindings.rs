//! `[bindings.NAME]`: one binding. Each type has its own settings; what belongs to another type or backend is refused.

use std::{ops::Range, path::Path};

use super::names;
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{BindingSettings, KeyValueBackend, KeyValueSettings},
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
    /// Where its name is.
    pub(in crate::config) span: Range<usize>,
    /// What its type takes; `None` where the type could not be read, which was reported.
    pub(in crate::config) settings: Option<BindingSettings>,
    /// The `path` of its database, if it is written.
    pub(in crate::config) path: Option<Node<'d>>,
}

/// Reads `[bindings]`, in file order; relative databases are meant against the state directory.
pub(in crate::config) fn read_all<'d>(section: Option<Section<'d>>, state_dir: &Path) -> Vec<WrittenBinding<'d>> {
    let named = section.map(|section| section.named()).unwrap_or_default();
    named.iter().map(|named| read(named, state_dir)).collect()
}

fn read<'d>(named: &Named<'d>, state_dir: &Path) -> WrittenBinding<'d> {
    names::check(named);
    let mut binding = WrittenBinding { name: named.name, span: named.span.clone(), settings: None, path: None };
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
