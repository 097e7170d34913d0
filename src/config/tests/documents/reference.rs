//! `docs/configuration.md`: its rows are the keys that exist, and its examples pass the check.

use std::collections::BTreeSet;

use super::schema::schema;
use crate::config::{
    BindingSettings, Config, KeyValueBackend,
    tests::{check, good},
};

const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md"));

/// Splits the path of a key into its section and the key.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// The rows of a section of the reference: key, default, bounds. One heading may name several sections.
pub(super) fn rows(section: &str) -> Vec<[&'static str; 3]> {
    let name = match section.split('.').collect::<Vec<_>>()[..] {
        ["bindings", "server"] => "`[bindings.NAME]` with a server".to_owned(),
        ["bindings", "server", ..] => section.replace("bindings.server.", "[bindings.NAME.") + "]",
        [section @ ("bindings" | "triggers"), kind] if kind != "NAME" => format!("`[{section}.NAME]` of type `{kind}`"),
        ["triggers", kind, ..] if kind != "NAME" => {
            section.replacen(&format!("triggers.{kind}."), "[triggers.NAME.", 1) + "]"
        }
        _ => format!("[{section}]"),
    };
    let body = REFERENCE
        .split("\n## ")
        .find(|part| {
            let heading = part.lines().next().unwrap_or_default();
            heading.contains(&name) && (name.contains(' ') || !heading.contains("] "))
        })
        .unwrap_or_else(|| panic!("the reference has no heading with {name}"));
    body.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            [cells[1].trim_matches('`'), cells[3], cells[4]]
        })
        .collect()
}

#[test]
fn every_key_of_the_schema_is_in_the_reference_and_no_other() {
    let schema = schema();
    assert!(schema.len() > 50, "{schema:#?}");
    let holds_others = |path: &String| schema.iter().any(|other| other.starts_with(&format!("{path}.")));
    let leaves: Vec<_> = schema.iter().filter(|path| !path.is_empty() && !holds_others(path)).collect();
    let sections: BTreeSet<&str> =
        leaves.iter().map(|path| split(path).0).filter(|section| !section.is_empty()).collect();
    for section in sections {
        let documented: BTreeSet<&str> = rows(section).iter().map(|row| row[0]).collect();
        let known: BTreeSet<&str> =
            leaves.iter().map(|path| split(path)).filter(|(other, _)| *other == section).map(|(_, key)| key).collect();
        let undocumented: Vec<_> = known.difference(&documented).collect();
        assert!(undocumented.is_empty(), "[{section}] of the reference lacks {undocumented:?}");
        let unknown: Vec<_> = documented.iter().filter(|key| !schema.contains(&format!("{section}.{key}"))).collect();
        assert!(unknown.is_empty(), "[{section}] of the reference has {unknown:?}, which do not exist");
    }
}

#[test]
fn the_examples_of_the_reference_pass_the_check() {
    let mut blocks = 0;
    for block in REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        check(block).unwrap_or_else(|errors| panic!("{errors}\n--- text:\n{block}"));
        blocks += 1;
    }
    assert!(blocks > 0);
}

#[test]
fn the_defaults_without_a_key_of_their_own_are_what_the_reference_says() {
    let config: Config = good("[bindings.kv]\ntype = \"keyvalue\"\n");
    let BindingSettings::KeyValue(settings) = &config.bindings[0].settings else { panic!("{:?}", config.bindings) };
    assert!(matches!(&settings.backend, KeyValueBackend::Redb { path, .. } if path.ends_with("wapcd/kv.redb")));
}
