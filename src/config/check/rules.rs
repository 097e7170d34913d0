//! What a link allows besides its operations: each type of binding has keys of its own, and the others are refused.

use std::{str::FromStr, sync::Arc};

use serde_json::Value;

use crate::config::{
    error::ConfigErrorKind,
    model::{BindingSettings, HttpRules, Rules, Space, SqlRules},
    reader::{Node, Problem},
    sections::links::WrittenLink,
};

/// Reads what a link to a binding with these settings allows.
pub(super) fn read(link: &WrittenLink<'_>, settings: &BindingSettings, config: &Arc<Value>) -> Rules {
    let keys: &[&str] = match settings {
        BindingSettings::KeyValue(_) | BindingSettings::Blob(_) => &["shared", "prefix"],
        BindingSettings::Sql(_) => &["read_only", "tables"],
        BindingSettings::Messaging(_) => &["topics"],
        BindingSettings::HttpClient(_) => &["hosts", "methods", "addresses"],
        BindingSettings::Secret(_) => &["secrets"],
        _ => &[],
    };
    for (key, node) in link.rules.iter().filter(|(key, _)| !keys.contains(key)) {
        node.problem::<()>(misplaced(key, settings, keys));
    }
    let get = |wanted| link.rules.iter().find(|(key, _)| *key == wanted).map(|(_, node)| node);
    match settings {
        BindingSettings::KeyValue(_) | BindingSettings::Blob(_) => Rules::Space(space(get("shared"), get("prefix"))),
        BindingSettings::Sql(_) => Rules::Sql(SqlRules {
            read_only: get("read_only").and_then(Node::flag).unwrap_or_default(),
            tables: get("tables").and_then(|node| names(node, "the name of a table")).map(lower),
        }),
        BindingSettings::Messaging(_) => Rules::Topics(
            get("topics").and_then(|node| parsed(node, "a topic, such as \"orders.*\"")).unwrap_or_default(),
        ),
        BindingSettings::HttpClient(_) => Rules::Http(http(link, get("hosts"), get("methods"), get("addresses"))),
        BindingSettings::Secret(_) => {
            const EXPECTED: &str = "the names of the secrets that the module may read, such as secrets = [\"api\"]";
            if get("secrets").is_none() {
                missing(link, "secrets", EXPECTED);
            }
            Rules::Secrets(get("secrets").and_then(|node| names(node, "the name of a secret")).unwrap_or_default())
        }
        BindingSettings::Config => Rules::Config(Arc::clone(config)),
        _ => Rules::None,
    }
}

fn space(shared: Option<&Node<'_>>, prefix: Option<&Node<'_>>) -> Space {
    if let (Some(_), Some(prefix)) = (shared, prefix) {
        prefix.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "`prefix` beside `shared`".to_owned(),
            expected: "one of them: `shared` is the common space, `prefix` names another".to_owned(),
            hint: None,
        });
    }
    let named = prefix.and_then(|node| match node.text_without_nul("the name of a space")? {
        "" => node.bad(ConfigErrorKind::BadValue, "a name that is not empty", None),
        name => Some(Space::Named(name.to_owned())),
    });
    match named {
        Some(space) => space,
        None if shared.and_then(Node::flag) == Some(true) => Space::Shared,
        None => Space::Own,
    }
}

fn http(
    link: &WrittenLink<'_>,
    hosts: Option<&Node<'_>>,
    methods: Option<&Node<'_>>,
    addresses: Option<&Node<'_>>,
) -> HttpRules {
    const EXPECTED: &str = "the hosts that may be asked, such as hosts = [\"api.example.com\"], or [\"*\"] for all";
    if hosts.is_none() {
        missing(link, "hosts", EXPECTED);
    }
    let method = |node: &Node<'_>| {
        let method = node.text("a method")?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
            return node.bad(ConfigErrorKind::BadValue, "a method, such as \"GET\"", None);
        }
        Some(method.to_ascii_uppercase())
    };
    HttpRules {
        hosts: hosts.and_then(|node| parsed(node, EXPECTED)).unwrap_or_default(),
        methods: methods.and_then(|node| items(node, "a method", method)),
        addresses: addresses
            .and_then(|node| parsed(node, "addresses, such as \"10.0.0.0/8\" or \"127.0.0.1\""))
            .unwrap_or_default(),
    }
}

fn parsed<T: FromStr<Err = String>>(node: &Node<'_>, expected: &str) -> Option<Vec<T>> {
    items(node, expected, |node| match node.text(expected)?.parse() {
        Ok(value) => Some(value),
        Err(error) => node.bad(ConfigErrorKind::BadValue, expected, Some(error)),
    })
}

fn names(node: &Node<'_>, expected: &str) -> Option<Vec<String>> {
    items(node, expected, |node| node.text(expected).map(str::to_owned))
}

/// A list that is not empty: an empty one would look like "all", and mean nothing.
fn items<T>(node: &Node<'_>, expected: &str, read: impl Fn(&Node<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = node.list(expected)?;
    if items.is_empty() {
        return node.bad(ConfigErrorKind::BadValue, format!("at least one: {expected}"), None);
    }
    Some(items.iter().filter_map(read).collect())
}

/// As databases compare names: only the letters of ASCII have another case. `É` and `é` are two tables.
fn lower(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn missing(link: &WrittenLink<'_>, key: &str, expected: &str) {
    link.node.problem::<()>(Problem {
        kind: ConfigErrorKind::MissingKey,
        found: format!("a link to `{}` without `{key}`", link.to.0),
        expected: expected.to_owned(),
        hint: Some(format!("such as {{ binding = \"{}\", {key} = [...] }}", link.binding.escape_default())),
    });
}

fn misplaced(key: &str, settings: &BindingSettings, keys: &[&str]) -> Problem {
    let owners = match key {
        "shared" | "prefix" => "\"keyvalue\" or \"blob\", which have keys to share",
        "read_only" | "tables" => "\"sql\"",
        "topics" => "\"messaging\"",
        "secrets" => "\"secret\"",
        _ => "\"http_client\"",
    };
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("`{key}` on a link to a binding of type \"{}\"", settings.type_name()),
        expected: format!("it only on links to bindings of type {owners}"),
        hint: (!keys.is_empty()).then(|| format!("a link to this binding has {}", quoted.join(", "))),
    }
}
