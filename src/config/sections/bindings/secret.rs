//! A `secret` binding: `secrets`, a table from names to places.

use std::collections::BTreeMap;

use super::{Places, secret_source};
use crate::config::{
    model::{SecretSettings, SecretSource},
    reader::{Named, Node, Section},
};

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, places: Places<'_>) -> SecretSettings {
    let node = section.require("secrets", "a table from names to places, such as { api = { file = \"api.key\" } }");
    SecretSettings { secrets: node.and_then(|node| secrets(&node, places)).unwrap_or_default() }
}

fn secrets(node: &Node<'_>, places: Places<'_>) -> Option<BTreeMap<String, SecretSource>> {
    let named = node.section("a table from names to places")?.named();
    let read = |named: &Named<'_>| Some((named.name.to_owned(), secret_source::read(&named.node, places.directory)?));
    Some(named.iter().filter_map(read).collect())
}
