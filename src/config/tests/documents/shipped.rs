//! `etc/wapcd.toml`: its defaults are those of the code, its examples pass the check, and no key is missing.

use std::{collections::BTreeSet, path::Path};

use super::schema::{NAMED, TYPED, of_type, schema};
use crate::config::{
    Binding, DropIn, Environment, Group, HealthCheck, Member, Module, Strategy, Swap, Wasi, defaults, parse,
    reader::{self, Report},
    tests::{FILE, good, user},
};

const SHIPPED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/wapcd.toml"));

/// The shipped file with lines that begin with this mark taken as configuration.
fn uncommented(text: &str, mark: &str) -> String {
    let is_comment = |rest: &str| rest.starts_with([' ', '#']);
    let line = |line: &str| match line.strip_prefix(mark) {
        Some(rest) if !is_comment(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_includes_others_and_accepts_dropped_modules_and_its_defaults_are_those_of_the_code() {
    let root = Environment { uid: 0, ..user() };
    let parse = |text: &str| parse(text, Path::new(FILE), &root).unwrap_or_else(|errors| panic!("{errors}"));
    let set = parse("include = [\"conf.d/*.toml\"]\n[drop_in]\ngroups = [\"wapcd\"]\n");
    assert_eq!(parse(SHIPPED), set);
    let defaults = uncommented(SHIPPED, "#");
    assert_ne!(defaults, SHIPPED);
    assert_eq!(parse(&defaults), set);
}

#[test]
fn the_examples_of_the_shipped_file_pass_the_check_and_show_defaults_where_they_say_so() {
    let config = good(&uncommented(SHIPPED, "##"));
    let greeter = config.modules.iter().find(|module| &*module.name == "greeter").unwrap();
    let shown = Module {
        queue_timeout: None,
        rate_limit: None,
        health: None,
        on_start: None,
        on_stop: None,
        links: Vec::new(),
        config: Module::with_defaults("", "").config,
        swap: Swap::default(),
        wasi: Wasi::default(),
        ..greeter.clone()
    };
    assert_eq!(shown, Module::with_defaults("greeter", "/etc/wapcd/greeter.wasm"));

    let plain =
        good("[bindings.cache]\ntype = \"keyvalue\"\n[bindings.scratch]\ntype = \"keyvalue\"\nbackend = \"memory\"\n");
    for declared in &plain.bindings[..2] {
        let shown = config.bindings.iter().find(|binding| binding.name == declared.name).unwrap();
        assert_eq!(&Binding { health: None, ..shown.clone() }, declared);
    }
    let health = config.bindings.iter().find_map(|binding| binding.health).unwrap();
    assert_eq!((health, &greeter.health.as_ref().unwrap().check), (HealthCheck::default(), &HealthCheck::default()));

    let shop = config.groups.iter().find(|group| &*group.name == "shop").unwrap();
    let shown = Group { strategy: Strategy::OneForOne, members: Vec::new(), ..shop.clone() };
    assert_eq!(shown, Group::with_defaults("shop"));
    assert!(shop.members.iter().any(|member| matches!(member, Member::Group(_))), "{shop:?}");
    assert!(config.metrics.listen.is_some());

    let on_start = greeter.on_start.as_ref().unwrap();
    assert_eq!(
        (on_start.attempts, on_start.retry_delay),
        (defaults::ON_START_ATTEMPTS, defaults::ON_START_RETRY_DELAY)
    );
    let probation = greeter.swap.probation.unwrap();
    assert_eq!(probation.max_failures, defaults::PROBATION_FAILURES);
    let drop_in = DropIn { links: Vec::new(), owners: Vec::new(), groups: Vec::new(), ..config.drop_in.unwrap() };
    assert_eq!(Some(drop_in), good("[drop_in]").drop_in);
    assert_eq!(config.includes, [Path::new("/etc/wapcd/conf.d/*.toml")]);
}

#[test]
fn every_key_of_the_schema_is_in_the_shipped_file() {
    let text = uncommented(&uncommented(SHIPPED, "##"), "#");
    let report = Report::new(Path::new(FILE), &text);
    let table = reader::parse(&report).unwrap();
    let mut written = BTreeSet::new();
    collect(&table, "", &mut written);
    for path in schema() {
        assert!(written.contains(&path), "`{path}` is not in etc/wapcd.toml, which has {written:#?}");
    }
}

/// The paths of all keys below a table, with `NAME` for names and nothing for places in lists.
fn collect(table: &toml::de::DeTable<'_>, parent: &str, paths: &mut BTreeSet<String>) {
    use toml::de::DeValue;
    for (key, value) in table {
        let named = NAMED.contains(&parent);
        let kind = value.get_ref().as_table().and_then(|table| table.get("type")?.get_ref().as_str());
        let key = match kind {
            Some(kind) if TYPED.contains(&parent) => kind,
            _ if named => "NAME",
            _ => key.get_ref(),
        };
        let child =
            TYPED.into_iter().find_map(|section| Some((section, parent.strip_prefix(section)?.strip_prefix('.')?)));
        let path = match child {
            Some((section, kind)) if !kind.contains('.') => {
                of_type(section, kind, key).unwrap_or_else(|| format!("{parent}.{key}"))
            }
            _ if parent.is_empty() => key.to_owned(),
            _ => format!("{parent}.{key}"),
        };
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &path, paths),
            DeValue::Array(items) => {
                items.iter().filter_map(|item| item.get_ref().as_table()).for_each(|item| collect(item, &path, paths));
            }
            _ => {}
        }
        paths.insert(path);
    }
}
