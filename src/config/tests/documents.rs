//! The shipped configuration and the reference, held against the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    super::{
        Binding, BindingSettings, Config, DropIn, Group, HealthCheck, KeyValueBackend, Member, Module, Size, Strategy,
        Swap, TimeSpan, Wasi, defaults, include,
        load::read_sections,
        parse,
        reader::{self, Report, Section},
    },
    FILE, bad, check, good, user,
};

const SHIPPED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/wapcd.toml"));
const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md"));

/// Sections whose keys are names.
const NAMED: [&str; 4] = ["modules", "bindings", "groups", "triggers"];

/// Sections of which each child has keys of its type.
const TYPED: [&str; 2] = ["bindings", "triggers"];

/// The shipped file with lines that begin with this mark taken as configuration.
fn uncommented(text: &str, mark: &str) -> String {
    let is_comment = |rest: &str| rest.starts_with([' ', '#']);
    let line = |line: &str| match line.strip_prefix(mark) {
        Some(rest) if !is_comment(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Keys that bindings of every type with a backend have.
const OF_BINDINGS: [&str; 5] = ["type", "restart", "shutdown", "health", "limits"];

/// Keys of every backend with a server.
const OF_SERVERS: [&str; 7] = ["url", "user", "password", "tls", "connect_timeout", "connections", "circuit"];

/// Keys that triggers of every type have.
const OF_TRIGGERS: [&str; 3] = ["type", "restart", "shutdown"];

/// Where a key of a binding or trigger is documented: with all of them, with servers, or with its type. `None`: what a secret
/// consists of is documented with passwords.
fn of_type(section: &str, kind: &str, rest: &str) -> Option<String> {
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
pub(super) fn types(text: &str, section: &str) -> BTreeMap<String, String> {
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
pub(super) fn schema() -> BTreeSet<String> {
    let every_key = concat!(include_str!("design.toml"), include_str!("every_key.toml"));
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

/// Splits the path of a key into its section and the key.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// The rows of a section of the reference: key, default, bounds. One heading may name several sections.
fn rows(section: &str) -> Vec<[&'static str; 3]> {
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
fn the_shipped_file_includes_others_and_accepts_dropped_modules_and_its_defaults_are_those_of_the_code() {
    let root = super::Environment { uid: 0, ..user() };
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

/// Where a key of the reference can stand, with all that it needs besides: the section, the key or none for all others of
/// it, and the text in which `KEY` is the key with its value. Without `KEY` the key is written after the text.
const PLACES: &[(&str, &str, &str)] = &[
    ("bindings.keyvalue", "max_bytes", "bindings.a = { type = \"keyvalue\", backend = \"memory\", KEY }\n"),
    (
        "bindings.keyvalue",
        "prefix",
        "bindings.a = { type = \"keyvalue\", backend = \"redis\", url = \"redis://h\", KEY }\n",
    ),
    ("bindings.keyvalue", "", "bindings.a = { type = \"keyvalue\", KEY }\n"),
    ("bindings.server", "", "bindings.a = { type = \"keyvalue\", backend = \"redis\", url = \"redis://h\", KEY }\n"),
    (
        "bindings.server.circuit",
        "",
        "bindings.a = { type = \"keyvalue\", backend = \"redis\", url = \"redis://h\", circuit = { KEY } }\n",
    ),
    ("bindings.blob", "max_bytes", "bindings.a = { type = \"blob\", backend = \"memory\", KEY }\n"),
    (
        "bindings.blob",
        "region",
        "bindings.a = { type = \"blob\", backend = \"s3\", bucket = \"b\", url = \"http://h\", KEY }\n",
    ),
    (
        "bindings.blob",
        "prefix",
        "bindings.a = { type = \"blob\", backend = \"s3\", bucket = \"b\", url = \"http://h\", KEY }\n",
    ),
    ("bindings.blob", "", "bindings.a = { type = \"blob\", KEY }\n"),
    ("bindings.sql", "", "bindings.a = { type = \"sql\", KEY }\n"),
    (
        "bindings.messaging",
        "jetstream",
        "bindings.a = { type = \"messaging\", backend = \"nats\", url = \"nats://h\", KEY }\n",
    ),
    ("bindings.messaging", "", "bindings.a = { type = \"messaging\", KEY }\n"),
    ("bindings.http_client", "", "bindings.a = { type = \"http_client\", KEY }\n"),
    ("bindings.process", "", "bindings.a = { type = \"process\", command = \"c\", KEY }\n"),
    ("bindings.metrics", "", "bindings.a = { type = \"metrics\", KEY }\n"),
    ("bindings.NAME.limits", "", "bindings.a = { type = \"keyvalue\", limits = { KEY } }\n"),
    ("bindings.NAME.health", "timeout", "bindings.a = { type = \"keyvalue\", health = { interval = \"1d\", KEY } }\n"),
    ("bindings.NAME.health", "", "bindings.a = { type = \"keyvalue\", health = { KEY } }\n"),
    ("bindings.NAME", "", "bindings.a = { type = \"keyvalue\", KEY }\n"),
    (
        "modules.NAME.health",
        "timeout",
        "defaults.limits.call_timeout = \"1d\"\n\
             modules.a = { path = \"a\", health = { operation = \"o\", interval = \"1d\", KEY } }\n",
    ),
    ("modules.NAME.health", "", "modules.a = { path = \"a\", health = { operation = \"o\", KEY } }\n"),
    ("modules.NAME.on_start", "", "modules.a = { path = \"a\", on_start = { operation = \"o\", KEY } }\n"),
    ("modules.NAME.on_stop", "", "modules.a = { path = \"a\", on_stop = { operation = \"o\", KEY } }\n"),
    ("modules.NAME.swap.probe", "", "modules.a = { path = \"a\", swap.probe = { operation = \"o\", KEY } }\n"),
    ("modules.NAME.swap", "max_failures", "modules.a = { path = \"a\", swap = { probation = \"1m\", KEY } }\n"),
    ("modules.NAME.swap", "", "modules.a = { path = \"a\", swap = { KEY } }\n"),
    ("drop_in", "", "drop_in = { KEY }\n"),
    ("modules.NAME.rate_limit", "calls", "modules.a = { path = \"a\", rate_limit = { KEY } }\n"),
    ("modules.NAME.rate_limit", "", "modules.a = { path = \"a\", rate_limit = { calls = 7, KEY } }\n"),
    ("triggers.NAME", "", "triggers.a = { type = \"http\", listen = \"inherited:a\", KEY }\n"),
    ("triggers.http", "", "triggers.a = { type = \"http\", listen = \"inherited:a\", KEY }\n"),
    ("triggers.http.listen", "", "triggers.a = { type = \"http\", listen = { address = \"unix:a\", KEY } }\n"),
    ("triggers.http.limits", "", "triggers.a = { type = \"http\", listen = \"inherited:a\", limits = { KEY } }\n"),
    (
        "triggers.http.routes",
        "format",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"http\"\nlisten = \"inherited:a\"\n\
             routes = [{ path = \"/\", module = \"a\", operation = \"o\", payload = \"http\", KEY }]\n",
    ),
    (
        "triggers.http.routes",
        "",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"http\"\nlisten = \"inherited:a\"\n\
             routes = [{ path = \"/\", module = \"a\", operation = \"o\", KEY }]\n",
    ),
    (
        "triggers.http.routes.cors",
        "",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"http\"\nlisten = \"inherited:a\"\n\
             routes = [{ path = \"/\", module = \"a\", operation = \"o\", cors = { origins = [\"https://h\"], KEY } }]\n",
    ),
    (
        "triggers.schedule",
        "timezone",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"schedule\"\nmodule = \"a\"\noperation = \"o\"\n\
             cron = \"0 0 3 * * *\"\nKEY\n",
    ),
    (
        "triggers.schedule",
        "every",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"schedule\"\nmodule = \"a\"\noperation = \"o\"\nKEY\n",
    ),
    (
        "triggers.schedule",
        "",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"schedule\"\nmodule = \"a\"\noperation = \"o\"\n\
             every = \"1d\"\nKEY\n",
    ),
    (
        "triggers.messages",
        "",
        "modules.a = { path = \"a\" }\nbindings.b = { type = \"messaging\" }\n[triggers.a]\ntype = \"messages\"\n\
             binding = \"b\"\ntopics = \"t\"\nmodule = \"a\"\noperation = \"o\"\nKEY\n",
    ),
    (
        "triggers.messages.durable",
        "",
        "modules.a = { path = \"a\" }\nbindings.b = { type = \"messaging\", backend = \"nats\", url = \"nats://h\" }\n\
             [triggers.a]\ntype = \"messages\"\nbinding = \"b\"\ntopics = \"t\"\nmodule = \"a\"\noperation = \"o\"\n\
             durable = { name = \"d\", KEY }\n",
    ),
    (
        "triggers.files",
        "",
        "modules.a = { path = \"a\" }\n[triggers.a]\ntype = \"files\"\nmodule = \"a\"\noperation = \"o\"\nKEY\n",
    ),
    ("groups.NAME", "", "modules.a = { path = \"a\" }\ngroups.a = { members = [\"modules.a\"], KEY }\n"),
    ("modules.NAME", "", "modules.a = { path = \"a\", KEY }\n"),
    ("defaults.restart.backoff", "initial", "defaults.restart.backoff.max = \"1d\"\n"),
    ("defaults.restart.backoff", "max", "defaults.restart.backoff.initial = \"0s\"\n"),
];

/// A text in which a key of the reference has this value, and all that it needs besides.
fn with(section: &str, key: &str, value: &str) -> String {
    let of_section = || PLACES.iter().filter(|(of, ..)| *of == section);
    let place = of_section().find(|(_, of, _)| *of == key).or_else(|| of_section().find(|(_, of, _)| of.is_empty()));
    let before = place.map_or("", |(.., text)| *text);
    let set = |path: &str| if value.is_empty() { String::new() } else { format!("{path}{key} = {value}") };
    if before.contains("KEY") {
        return before.replace("KEY", &set(""));
    }
    format!("{before}{}\n", set(&format!("{section}.")))
}

const SECTIONS: [&str; 39] = [
    "daemon",
    "control",
    "logging",
    "watch",
    "drop_in",
    "defaults.limits",
    "defaults.restart",
    "defaults.restart.backoff",
    "modules.NAME",
    "modules.NAME.health",
    "modules.NAME.on_start",
    "modules.NAME.on_stop",
    "modules.NAME.rate_limit",
    "modules.NAME.swap",
    "modules.NAME.swap.probe",
    "bindings.NAME",
    "bindings.NAME.limits",
    "bindings.NAME.health",
    "bindings.server",
    "bindings.server.circuit",
    "bindings.keyvalue",
    "bindings.blob",
    "bindings.sql",
    "bindings.messaging",
    "bindings.http_client",
    "bindings.process",
    "bindings.metrics",
    "groups.NAME",
    "triggers.NAME",
    "triggers.http",
    "triggers.http.listen",
    "triggers.http.limits",
    "triggers.http.routes",
    "triggers.http.routes.cors",
    "triggers.schedule",
    "triggers.messages",
    "triggers.messages.durable",
    "triggers.files",
    "metrics",
];

/// The one value in a cell of the reference, as TOML.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|value| !value.contains('`'))
}

#[test]
fn the_defaults_of_the_reference_are_those_of_the_code() {
    let mut compared = 0;
    for section in SECTIONS {
        for [key, default, _] in rows(section) {
            let Some(default) = code(default) else { continue };
            assert_eq!(good(&with(section, key, default)), good(&with(section, key, "")), "[{section}] {key}");
            compared += 1;
        }
    }
    assert!(compared > 30, "only {compared} defaults could be compared");
}

/// The values at and just beyond both ends of what the reference gives as bounds, as TOML.
fn ends(bounds: &str) -> Option<([String; 2], Vec<String>)> {
    let (least, most) = bounds.split_once(" to ")?;
    let (least, most) = (least.trim_matches('`'), most.trim_matches('`'));
    let quoted = |value: String| format!("\"{value}\"");
    if let (Ok(low), Ok(high)) = (least.parse::<Size>(), most.parse::<Size>()) {
        let below = low.bytes().checked_sub(1).map(|bytes| format!("{bytes} B"));
        let beyond = below.into_iter().chain([format!("{} B", high.bytes() + 1)]).map(quoted).collect();
        return Some(([low, high].map(|size| quoted(size.to_string())), beyond));
    }
    if let (Ok(low), Ok(high)) = (least.parse::<TimeSpan>(), most.parse::<TimeSpan>()) {
        let milliseconds = |time: TimeSpan| time.duration().as_millis();
        let below = milliseconds(low).checked_sub(1).map(|time| format!("{time}ms"));
        let beyond = below.into_iter().chain([format!("{}ms", milliseconds(high) + 1)]).map(quoted).collect();
        return Some(([low, high].map(|time| quoted(time.to_string())), beyond));
    }
    let (low, high) = (least.parse::<i64>().ok()?, most.parse::<i64>().ok()?);
    Some(([low, high].map(|number| number.to_string()), vec![(low - 1).to_string(), (high + 1).to_string()]))
}

#[test]
fn the_bounds_of_the_reference_are_those_of_the_code() {
    let mut compared = 0;
    for section in SECTIONS {
        for [key, _, bounds] in rows(section) {
            let Some((within, beyond)) = ends(bounds) else { continue };
            for value in within {
                good(&with(section, key, &value));
            }
            for value in beyond {
                let errors = bad(&with(section, key, &value));
                assert!(errors.iter().any(|error| error.key_path.ends_with(key)), "{errors}");
            }
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} bounds could be compared");
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
