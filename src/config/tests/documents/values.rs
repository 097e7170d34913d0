//! The defaults and bounds of the reference, each tried where its key can stand.

use super::reference::rows;
use crate::config::{
    Size, TimeSpan,
    tests::{bad, good},
};

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
