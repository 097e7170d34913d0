//! `[groups.NAME]`: one group. Who its members are, and whether they can be, is decided in `check`.

use super::{names, restart};
use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{Group, Strategy},
    reader::{Named, Node, Problem},
};

const STRATEGIES: &[(&str, Strategy)] = &[
    ("one_for_one", Strategy::OneForOne),
    ("one_for_all", Strategy::OneForAll),
    ("rest_for_one", Strategy::RestForOne),
];

/// A group as it is written: its members are still to be found among modules, bindings and groups.
pub(in crate::config) struct WrittenGroup<'d> {
    /// The group without its members.
    pub(in crate::config) group: Group,
    /// The names of its members, as far as they can be read, with their places.
    pub(in crate::config) members: Vec<(&'d str, Node<'d>)>,
    /// Its own `retry_failed`, if it is written; none may be there in a member of a group.
    pub(in crate::config) retry_failed: Option<Node<'d>>,
}

/// Reads the groups of one file, in its order.
pub(in crate::config) fn read_all<'d>(named: &[Named<'d>]) -> Vec<WrittenGroup<'d>> {
    named.iter().map(read).collect()
}

fn read<'d>(named: &Named<'d>) -> WrittenGroup<'d> {
    names::check(named);
    let base = Group::with_defaults(named.name);
    let Some(section) = named.node.section("a table with the group's settings") else {
        return WrittenGroup { group: base, members: Vec::new(), retry_failed: None };
    };
    let group = Group {
        strategy: section.or("strategy", base.strategy, |node| node.choice(STRATEGIES)),
        intensity: section.or("intensity", base.intensity, |node| node.count(&bounds::INTENSITY)),
        period: section.or("period", base.period, |node| node.time(&bounds::PERIOD)),
        retry_failed: section.or("retry_failed", base.retry_failed, restart::retry_failed),
        critical: section.or("critical", base.critical, Node::flag),
        ..base
    };
    let members = section.require("members", "a list of the group's members in the order of their start");
    let members = members.and_then(|node| members_of(&node)).unwrap_or_default();
    let retry_failed = section.get("retry_failed");
    section.finish();
    WrittenGroup { group, members, retry_failed }
}

fn members_of<'d>(node: &Node<'d>) -> Option<Vec<(&'d str, Node<'d>)>> {
    let items = node.list("a list of names of modules, bindings, groups and triggers")?;
    if items.is_empty() {
        return node.problem(Problem {
            kind: ConfigErrorKind::BadValue,
            found: "no member".to_owned(),
            expected: "at least one".to_owned(),
            hint: Some("without anything to restart there is no need for the group".to_owned()),
        });
    }
    let name = |item: Node<'d>| Some((item.text("the name of a module, binding, group or trigger")?, item));
    Some(items.into_iter().filter_map(name).collect())
}
