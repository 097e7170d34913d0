//! `links` of a module: names of bindings and long forms, mixed in one list. Whether a link leads anywhere is decided in `check`.

use std::collections::BTreeMap;

use crate::config::{
    error::ConfigErrorKind,
    model::Operations,
    reader::{Node, Problem, Section},
};

/// A link as it is written, with the places that a later check may blame.
pub(in crate::config) struct WrittenLink<'d> {
    /// The whole entry.
    pub(in crate::config) node: Node<'d>,
    /// The binding's name as the guest was compiled with.
    pub(in crate::config) binding: &'d str,
    /// The namespace as the guest was compiled with, and where it is written.
    pub(in crate::config) namespace: Option<(&'d str, Node<'d>)>,
    /// Name of the binding in the configuration, and where it is written.
    pub(in crate::config) to: (&'d str, Node<'d>),
    /// Which operations.
    pub(in crate::config) operations: Operations,
    /// Whether the module waits for the binding's backend.
    pub(in crate::config) required: bool,
    /// What it allows besides, by key; which keys there may be is a matter of the binding's type.
    pub(in crate::config) rules: Vec<(&'static str, Node<'d>)>,
}

/// Keys that only links to some types of binding have.
const RULES: [&str; 9] =
    ["shared", "prefix", "hosts", "methods", "addresses", "topics", "read_only", "tables", "secrets"];

/// Reads the list; entries with a problem are left out.
pub(super) fn read<'d>(node: &Node<'d>) -> Option<Vec<WrittenLink<'d>>> {
    let items =
        node.list("a list of links: names of bindings, or tables { binding, namespace, to, operations, ... }")?;
    Some(items.iter().filter_map(link).collect())
}

fn link<'d>(node: &Node<'d>) -> Option<WrittenLink<'d>> {
    const EXPECTED: &str = "the name of a binding, or a table { binding, namespace, to, operations, ... }";
    if node.is_text() {
        let name = node.text(EXPECTED)?;
        return Some(WrittenLink {
            node: node.clone(),
            binding: name,
            namespace: None,
            to: (name, node.clone()),
            operations: Operations::All,
            required: false,
            rules: Vec::new(),
        });
    }
    let section = node.section(EXPECTED)?;
    let link = long_form(node, &section);
    section.finish();
    link
}

fn long_form<'d>(node: &Node<'d>, section: &Section<'d>) -> Option<WrittenLink<'d>> {
    let text = |key, what| section.get(key).map(|node| (node.text(what), node));
    let binding = text("binding", "the binding's name as the guest was compiled with");
    let namespace = text("namespace", "the namespace as the guest was compiled with");
    let to = text("to", "the name of a binding of this configuration");
    let operations = section.or("operations", Operations::All, operations);
    let required = section.or("required", false, Node::flag);
    let rules = RULES.into_iter().filter_map(|key| Some((key, section.get(key)?))).collect();

    let Some((to, to_node)) = to.clone().or_else(|| binding.clone()) else {
        section.require("to", "the name of a binding: `to` for its name here, `binding` for its name in the guest");
        return None;
    };
    let (binding, _) = binding.unwrap_or((to, to_node.clone()));
    Some(WrittenLink {
        node: node.clone(),
        binding: binding?,
        namespace: namespace.and_then(|(text, node)| Some((text?, node))),
        to: (to?, to_node),
        operations,
        required,
        rules,
    })
}

/// A list of names, or a table from the guest's names to the binding's.
fn operations(node: &Node<'_>) -> Option<Operations> {
    const EXPECTED: &str =
        "a list of operations, or a table from the guest's names to the binding's, such as { Get = \"get\" }";
    let mut names = BTreeMap::new();
    let written;
    if node.is_list() {
        let items = node.list(EXPECTED)?;
        written = items.len();
        for item in items {
            if let Some(name) = item.text("the name of an operation")
                && names.insert(name.to_owned(), name.to_owned()).is_some()
            {
                item.problem::<()>(repeated(name));
            }
        }
    } else {
        let entries = node.section(EXPECTED)?.named();
        written = entries.len();
        for named in entries {
            if let Some(to) = named.node.text("the binding's name of the operation") {
                names.insert(named.name.to_owned(), to.to_owned());
            }
        }
    }
    if written == 0 {
        let hint = "without `operations` the link has them all; without the link it has none".to_owned();
        return node.problem(Problem {
            kind: ConfigErrorKind::BadValue,
            found: "no operation".to_owned(),
            expected: "at least one".to_owned(),
            hint: Some(hint),
        });
    }
    Some(Operations::Named(names))
}

fn repeated(name: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Duplicate,
        found: format!("the operation {name:?} a second time"),
        expected: "every operation once".to_owned(),
        hint: None,
    }
}
