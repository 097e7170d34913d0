//! A `process` binding.

use std::collections::BTreeMap;

use super::Places;
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::ProcessSettings,
    reader::{Named, Node, Section},
};

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, places: Places<'_>) -> ProcessSettings {
    let node = section.require("command", "the program: a path, or a name on the path");
    let command = node.and_then(|node| {
        let text = node.text_without_nul("a program")?;
        match text {
            "" => node.bad(ConfigErrorKind::BadValue, "a program", None),
            name if name.contains('/') => Some(places.directory.join(name)),
            name => Some(name.into()),
        }
    });
    ProcessSettings {
        command: command.unwrap_or_default(),
        args: section.or("args", Vec::new(), args),
        env: section.or("env", BTreeMap::new(), env),
        directory: section.get("directory").and_then(|node| node.path_in(places.directory)),
        start_timeout: section.or("start_timeout", defaults::PROCESS_START, |node| node.time(&bounds::PROCESS_START)),
    }
}

fn args(node: &Node<'_>) -> Option<Vec<String>> {
    let items = node.list("a list of arguments")?;
    Some(items.iter().filter_map(|item| item.text_without_nul("an argument").map(str::to_owned)).collect())
}

fn env(node: &Node<'_>) -> Option<BTreeMap<String, String>> {
    let named = node.section("a table of variables")?.named();
    let variable = |named: &Named<'_>| {
        let value = named.node.text_without_nul("the value of a variable")?;
        if named.name.is_empty() || named.name.contains(['=', '\0']) {
            return named.node.bad(ConfigErrorKind::BadValue, "a name without `=`", None);
        }
        Some((named.name.to_owned(), value.to_owned()))
    };
    Some(named.iter().filter_map(variable).collect())
}
