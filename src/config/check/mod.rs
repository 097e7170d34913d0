//! What can only be said about several sections together: no two bindings write one file; `links` has what concerns links, and
//! `groups` what concerns groups and their members. Takes what the sections are in the file, gives what leaves `config`.

mod groups;
mod links;
mod private;
mod tree;

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use super::{
    error::ConfigErrorKind,
    model::{Binding, BindingSettings, KeyValueBackend},
    reader::Problem,
    sections::bindings::WrittenBinding,
};

pub(super) use self::{
    groups::groups,
    links::{drop_in, dropped, modules},
    private::private_directories,
};

/// Types that exist under their own name without being declared.
const UNDECLARED: &[BindingSettings] = &[BindingSettings::Log, BindingSettings::Module];

/// Whether a binding exists under this name without being declared.
fn is_undeclared(name: &str) -> bool {
    UNDECLARED.iter().any(|settings| settings.type_name() == name)
}

/// Checks the bindings among themselves and adds those that need no declaration.
pub(super) fn bindings(written: &[WrittenBinding<'_>]) -> Vec<Binding> {
    no_shared_database(written);
    let declared = written.iter().filter_map(declared_binding);
    let undeclared = UNDECLARED
        .iter()
        .filter(|settings| !written.iter().any(|binding| binding.name == settings.type_name()))
        .map(|settings| Binding::with_defaults(settings.type_name(), settings.clone()));
    declared.chain(undeclared).collect()
}

fn declared_binding(written: &WrittenBinding<'_>) -> Option<Binding> {
    Some(Binding {
        restart: written.restart.clone(),
        shutdown: written.shutdown,
        health: written.health,
        ..Binding::with_defaults(written.name, written.settings.clone()?)
    })
}

/// A database belongs to one binding: the second would find it locked.
fn no_shared_database(written: &[WrittenBinding<'_>]) {
    let mut seen = HashMap::new();
    for binding in written {
        let Some(BindingSettings::KeyValue(settings)) = &binding.settings else { continue };
        let KeyValueBackend::Redb { path } = &settings.backend else { continue };
        let Some(first) = seen.insert(without_detours(path), binding.name) else { continue };
        let problem = Problem {
            kind: ConfigErrorKind::Duplicate,
            found: format!("the database `{}`, which already belongs to the binding `{first}`", path.display()),
            expected: "a database of its own for every binding".to_owned(),
            hint: Some(format!("two modules can share keys by links with `shared = true` to `{first}`")),
        };
        match &binding.path {
            Some(node) => {
                node.problem::<()>(problem);
            }
            None => binding.named.problem_below("path", problem),
        }
    }
}

/// A path without `.` and `..`, to compare it by. Links of the file system are not followed: nothing is read here.
fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The first names that could stand there; a long list helps nobody.
fn list<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<&str> = names.take(SHOWN + 1).collect();
    if let Some(one_more) = names.get_mut(SHOWN) {
        *one_more = "…";
    }
    format!("{what}: {}", names.join(", "))
}
