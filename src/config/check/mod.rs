//! What can only be said about several sections together: no two bindings write one file; `links` has what concerns links, and
//! `groups` what concerns groups and their members. Takes what the sections are in the file, gives what leaves `config`.

mod engine;
mod groups;
mod inboxes;
mod links;
mod private;
mod routes;
mod rules;
mod tree;
mod triggers;

use std::{
    collections::{HashMap, HashSet},
    path::{Component, Path, PathBuf},
};

use super::{
    defaults::METRICS_SERIES,
    error::ConfigErrorKind,
    model::{
        Binding, BindingSettings, BlobBackend, BlobSettings, KeyValueBackend, KeyValueSettings, MetricsSettings,
        SqlBackend, SqlSettings,
    },
    reader::Problem,
    sections::{bindings::WrittenBinding, drop_in::WrittenDropIn, module::WrittenModule},
};

pub(super) use self::{
    engine::engines,
    groups::groups,
    inboxes::{Kept, inboxes},
    links::{drop_in, dropped, modules},
    private::private_directories,
    triggers::{OwnSockets, triggers},
};

/// Types that exist under their own name without being declared: always the first two, which every daemon has had, the
/// others where something links to them.
const UNDECLARED: &[BindingSettings] = &[
    BindingSettings::Log,
    BindingSettings::Module,
    BindingSettings::Config,
    BindingSettings::Metrics(MetricsSettings { max_series: METRICS_SERIES }),
    BindingSettings::System,
];

/// Whether a binding exists under this name without being declared.
fn is_undeclared(name: &str) -> bool {
    UNDECLARED.iter().any(|settings| settings.type_name() == name)
}

/// Checks the bindings among themselves and adds those that need no declaration.
pub(super) fn bindings(
    written: &[WrittenBinding<'_>],
    modules: &[WrittenModule<'_>],
    drop_in: Option<&WrittenDropIn<'_>>,
) -> Vec<Binding> {
    no_shared_place(written);
    let declared = written.iter().filter_map(declared_binding);
    let of_modules = modules.iter().flat_map(|module| &module.links).map(|link| link.to.0);
    let of_drop_in = drop_in.into_iter().flat_map(|drop_in| &drop_in.links).map(|(name, _)| &**name);
    let linked: HashSet<&str> = of_modules.chain(of_drop_in).collect();
    let is_there = |settings: &BindingSettings| {
        matches!(settings, BindingSettings::Log | BindingSettings::Module) || linked.contains(settings.type_name())
    };
    let undeclared = UNDECLARED
        .iter()
        .filter(|settings| is_there(settings))
        .filter(|settings| !written.iter().any(|binding| binding.name == settings.type_name()))
        .map(|settings| Binding::with_defaults(settings.type_name(), settings.clone()));
    declared.chain(undeclared).collect()
}

fn declared_binding(written: &WrittenBinding<'_>) -> Option<Binding> {
    Some(Binding {
        limits: written.limits.clone(),
        restart: written.restart.clone(),
        shutdown: written.shutdown,
        health: written.health,
        ..Binding::with_defaults(written.name, written.settings.clone()?)
    })
}

/// A database or a directory belongs to one binding: the second would find it locked, or other's objects in it.
fn no_shared_place(written: &[WrittenBinding<'_>]) {
    let mut seen = HashMap::new();
    for binding in written {
        let Some((what, path)) = binding.settings.as_ref().and_then(place) else { continue };
        let Some(first) = seen.insert(without_detours(path), binding.name) else { continue };
        let problem = Problem {
            kind: ConfigErrorKind::Duplicate,
            found: format!("the {what} `{}`, which already belongs to the binding `{first}`", path.display()),
            expected: format!("a {what} of its own for every binding"),
            hint: Some(format!("two modules can share what `{first}` has by their links to it")),
        };
        match &binding.path {
            Some(node) => {
                node.problem::<()>(problem);
            }
            None => binding.named.problem_below("path", problem),
        }
    }
}

/// What a binding keeps its data in, and where.
fn place(settings: &BindingSettings) -> Option<(&'static str, &Path)> {
    match settings {
        BindingSettings::KeyValue(KeyValueSettings { backend: KeyValueBackend::Redb { path, .. }, .. })
        | BindingSettings::Sql(SqlSettings { backend: SqlBackend::Sqlite { path, .. }, .. }) => {
            Some(("database", path))
        }
        BindingSettings::Blob(BlobSettings { backend: BlobBackend::Directory { path }, .. }) => {
            Some(("directory", path))
        }
        _ => None,
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
