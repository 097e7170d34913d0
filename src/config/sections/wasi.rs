//! `[modules.NAME.wasi]`: what a WASI guest is given. Nothing, unless it is written here.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::config::{
    error::ConfigErrorKind,
    model::Wasi,
    reader::{Named, Node, Problem, Section},
};

/// Reads it; directories are meant against the directory of the file.
pub(super) fn read(section: Option<Section<'_>>, base: &Path) -> Wasi {
    let Some(section) = section else {
        return Wasi::default();
    };
    let wasi = Wasi {
        argv: section.or("argv", Vec::new(), argv),
        env: section.or("env", Vec::new(), env),
        preopened_dirs: section.or("preopened_dirs", Vec::new(), |node| preopened_dirs(node, base)),
        map_dirs: section.or("map_dirs", Vec::new(), |node| map_dirs(node, base)),
    };
    check_guest_paths(&section, &wasi);
    section.finish();
    wasi
}

fn argv(node: &Node<'_>) -> Option<Vec<String>> {
    let items = node.list("a list of texts, the program's name first")?;
    Some(items.iter().filter_map(|item| item.text_without_nul("a text").map(str::to_owned)).collect())
}

fn env(node: &Node<'_>) -> Option<Vec<(String, String)>> {
    let entries = node.section("a table of texts, such as { LANG = \"C\" }")?.named();
    let mut variables = Vec::new();
    for named in entries {
        if named.name.is_empty() || named.name.contains(['=', '\0']) {
            named.problem(bad_name(&named, "the name of a variable", "neither = nor NUL"));
        }
        if let Some(value) = named.node.text_without_nul("a text") {
            variables.push((named.name.to_owned(), value.to_owned()));
        }
    }
    Some(variables)
}

fn preopened_dirs(node: &Node<'_>, base: &Path) -> Option<Vec<PathBuf>> {
    let items = node.list("a list of directories")?;
    Some(items.iter().filter_map(|item| item.path_in(base)).collect())
}

/// A table from the guest's path to the directory of the host.
fn map_dirs(node: &Node<'_>, base: &Path) -> Option<Vec<(String, PathBuf)>> {
    let entries = node.section("a table from guest paths to directories, such as { \"/data\" = \"data\" }")?.named();
    let mut dirs = Vec::new();
    for named in entries {
        if named.name.is_empty() || named.name.contains('\0') {
            named.problem(bad_name(&named, "a guest's path", "no NUL"));
        }
        if let Some(directory) = named.node.path_in(base) {
            dirs.push((named.name.to_owned(), directory));
        }
    }
    Some(dirs)
}

fn bad_name(named: &Named<'_>, role: &str, without: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::BadValue,
        found: format!("{:?} as {role}", named.name),
        expected: format!("a name that is not empty and has {without} in it"),
        hint: None,
    }
}

/// A guest must not find two directories under one path.
fn check_guest_paths(section: &Section<'_>, wasi: &Wasi) {
    let own = wasi.preopened_dirs.iter().map(|path| ("preopened_dirs", path.as_path()));
    let mapped = wasi.map_dirs.iter().map(|(guest, _)| ("map_dirs", Path::new(guest)));
    let mut seen = HashSet::new();
    for (key, path) in own.chain(mapped) {
        if !seen.insert(path)
            && let Some(node) = section.get(key)
        {
            node.problem::<()>(Problem {
                kind: ConfigErrorKind::Duplicate,
                found: format!("a second directory at the guest's path `{}`", path.display()),
                expected: "every path once in `preopened_dirs` and `map_dirs` together".to_owned(),
                hint: None,
            });
        }
    }
}
