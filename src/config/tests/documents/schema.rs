//! Every key that the code reads, named as the documents name it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::config::{
    include,
    load::read_sections,
    reader::{self, Report, Section},
    tests::{FILE, user},
};

/// Sections whose keys are names.
pub(super) const NAMED: [&str; 4] = ["modules", "bindings", "groups", "triggers"];

/// Sections of which each child has keys of its type.
pub(super) const TYPED: [&str; 2] = ["bindings", "triggers"];

/// Keys that bindings of every type with a backend have.
const OF_BINDINGS: [&str; 5] = ["type", "restart", "shutdown", "health", "limits"];

/// Keys of every backend with a server.
const OF_SERVERS: [&str; 7] = ["url", "user", "password", "tls", "connect_timeout", "connections", "circuit"];

/// Keys that triggers of every type have.
const OF_TRIGGERS: [&str; 3] = ["type", "restart", "shutdown"];

/// Where a key of a binding or trigger is documented: with all of them, with servers, or with its type. `None`: what a secret
/// consists of is documented with passwords.
pub(super) fn of_type(section: &str, kind: &str, rest: &str) -> Option<String> {
    let first = rest.split('.').next().unwrap_or_default();
    match section {
        "triggers" if OF_TRIGGERS.contains(&first) => Some(format!("triggers.NAME.{rest}")),
        "triggers" if [".file", ".credential"].iter().any(|end| rest.ends_with(end)) => None,
        "bindings" if OF_BINDINGS.contains(&first) => Some(format!("bindings.NAME.{rest}")),
        "bindings" if OF_SERVERS.contains(&first) => Some(format!("bindings.server.{rest}")),
        _ => Some(format!("{section}.{kind}.{rest}")),
    }
}

/// The types of the bindings or triggers of a text, by name.
pub(in crate::config::tests) fn types(text: &str, section: &str) -> BTreeMap<String, String> {
    let table: toml::Table = toml::from_str(text).unwrap();
    let children = table[section].as_table().unwrap();
    children.iter().map(|(name, table)| (name.clone(), table["type"].as_str().unwrap().to_owned())).collect()
}

/// A path without places in lists.
fn without_places(path: &str) -> String {
    let parts = path.split('[').enumerate();
    parts.filter_map(|(at, part)| if at == 0 { Some(part) } else { Some(part.split_once(']')?.1) }).collect()
}

/// Every key of the schema, with `NAME` for the name of a module, binding, group or trigger, and `bindings.TYPE`,
/// `bindings.server` or `triggers.TYPE` for what only some have, in the order of its path.
pub(in crate::config::tests) fn schema() -> BTreeSet<String> {
    let every_key = concat!(include_str!("../design.toml"), include_str!("../every_key.toml"));
    // The reader asks for keys of both backends, whichever is chosen; both kinds of link are in the text.
    let report = Report::new(Path::new(FILE), every_key);
    let table = reader::parse(&report).unwrap();
    let root = Section::new(&report, String::new(), 0..0, &table);
    include::read(&root);
    read_sections(root, Vec::new(), &report, FILE.into(), &user());
    let asked: BTreeSet<String> = report.asked.borrow().iter().map(|path| without_places(path)).collect();
    let typed = |path: &str| TYPED.into_iter().find(|section| path.starts_with(&format!("{section}.")));
    let types = TYPED.map(|section| (section, types(every_key, section)));
    let types = BTreeMap::from(types);
    let of_types = asked.iter().filter_map(|path| {
        let section = typed(path)?;
        let (name, rest) = path.strip_prefix(section)?.strip_prefix('.')?.split_once('.')?;
        of_type(section, types[section].get(name)?, rest)
    });
    let own = |path: &&String| path.split('.').nth(1).is_none_or(|name| name == "name" || !in_names(path));
    asked
        .iter()
        .filter(|path| typed(path).is_none())
        .filter(own)
        .map(|path| {
            NAMED.iter().fold(path.clone(), |path, kind| path.replace(&format!("{kind}.name"), &format!("{kind}.NAME")))
        })
        .chain(of_types)
        // What secrets are called is not a key.
        .filter(|path| !path.starts_with("bindings.secret.secrets."))
        .collect()
}

fn in_names(path: &str) -> bool {
    NAMED.iter().any(|kind| path.split_once('.').is_some_and(|(first, _)| first == *kind))
}
