//! The tree that groups make: no group contains itself, none lies too deep, every module starts after the bindings that
//! it links to, and every trigger after whom it calls.

use std::collections::{HashMap, HashSet};

use super::groups::full_name;
use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{Group, Member},
    reader::{Node, Problem},
    sections::{module::WrittenModule, triggers::WrittenTrigger},
};

/// Where a member is named.
pub(super) struct Place<'d> {
    /// The group that names it, by its index.
    pub(super) group: usize,
    /// Where in the file.
    pub(super) node: Node<'d>,
}

type Places<'d> = HashMap<Member, Place<'d>>;

/// Checks the tree of groups whose members each have one place.
pub(super) fn check(
    groups: &[Group],
    places: &Places<'_>,
    modules: &[WrittenModule<'_>],
    triggers: &[WrittenTrigger<'_>],
) {
    let order = order(groups, places);
    no_cycle(groups, places);
    bindings_first(&order, places, modules);
    triggers_last(&order, places, triggers, modules);
}

/// Bindings, modules and triggers in groups with their turn, as they start. A group that contains itself never does.
fn order(groups: &[Group], places: &Places<'_>) -> HashMap<Member, usize> {
    let by_name: HashMap<&str, &Group> = groups.iter().map(|group| (&*group.name, group)).collect();
    let mut order = HashMap::new();
    // What is still to come, the next at the end, with the number of groups around it.
    let top = groups.iter().map(|group| Member::Group(group.name.clone())).filter(|group| !places.contains_key(group));
    let mut coming: Vec<(Member, usize)> = top.map(|group| (group, 0)).collect();
    coming.reverse();
    while let Some((member, depth)) = coming.pop() {
        let Member::Group(name) = &member else {
            order.insert(member, order.len());
            continue;
        };
        if depth == bounds::GROUP_DEPTH
            && let Some(place) = places.get(&member)
        {
            place.node.problem::<()>(too_deep());
        }
        let members = by_name.get(&**name).map(|group| group.members.as_slice()).unwrap_or_default();
        coming.extend(members.iter().rev().map(|member| (member.clone(), depth + 1)));
    }
    order
}

/// Every group has at most one group around it, so a cycle is a ring that one walk outwards finds.
fn no_cycle(groups: &[Group], places: &Places<'_>) {
    let around = |group: usize| places.get(&Member::Group(groups.get(group)?.name.clone())).map(|place| place.group);
    let mut done = HashSet::new();
    for start in 0..groups.len() {
        let mut way = Vec::new();
        let mut at = Some(start);
        while let Some(group) = at.filter(|group| done.insert(*group)) {
            way.push(group);
            at = around(group);
        }
        let Some(from) = way.iter().position(|group| Some(*group) == at) else { continue };
        // From the inside outwards; reported where the first of the ring in the file names the one that it contains.
        let ring = way.get(from..).unwrap_or_default();
        let outermost = ring.iter().enumerate().min_by_key(|(_, group)| **group).map_or(0, |(at, _)| at);
        let inwards = ring.iter().rev().cycle().skip(ring.len() - 1 - outermost).take(ring.len() + 1);
        let names: Vec<&str> = inwards.filter_map(|group| groups.get(*group)).map(|group| &*group.name).collect();
        if let Some(place) = names.get(1).and_then(|inner| places.get(&Member::Group((*inner).into()))) {
            place.node.problem::<()>(cycle(&names));
        }
    }
}

/// A module that starts before its binding would wait for what waits for it. One that is loaded later does not wait.
fn bindings_first(order: &HashMap<Member, usize>, places: &Places<'_>, modules: &[WrittenModule<'_>]) {
    for written in modules.iter().filter(|written| !written.module.lazy) {
        let module = Member::Module(written.module.name.clone());
        let links = written.links.iter().map(|link| Member::Binding(link.to.0.into()));
        let expected = "every binding before the modules that link to it";
        in_order(order, places, &module, links, ("links to", expected));
    }
}

/// The same of a trigger with whom it calls and the binding that it stands on. Nobody waits for a module that is loaded later.
fn triggers_last(
    order: &HashMap<Member, usize>,
    places: &Places<'_>,
    triggers: &[WrittenTrigger<'_>],
    modules: &[WrittenModule<'_>],
) {
    let lazy: HashSet<&str> =
        modules.iter().filter(|written| written.module.lazy).map(|written| &*written.module.name).collect();
    for trigger in triggers.iter().filter_map(|written| written.trigger.as_ref()) {
        let member = Member::Trigger(trigger.name.clone());
        let called = trigger.settings.modules().into_iter().filter(|module| !lazy.contains(&***module));
        let called = called.map(|module| Member::Module(module.clone()));
        let heard = trigger.settings.binding().map(|binding| Member::Binding(binding.clone()));
        let expected = "every trigger after its modules and its binding";
        in_order(order, places, &member, called.chain(heard), ("needs", expected));
    }
}

/// Reports a member that comes before one of those that it waits for.
fn in_order(
    order: &HashMap<Member, usize>,
    places: &Places<'_>,
    member: &Member,
    mut wanted: impl Iterator<Item = Member>,
    (does, expected): (&str, &str),
) {
    let (Some(turn), Some(place)) = (order.get(member), places.get(member)) else { return };
    if let Some(later) = wanted.find(|other| order.get(other).is_some_and(|other| other > turn)) {
        let line = places.get(&later).map(|other| other.node.place_for(&place.node)).unwrap_or_default();
        let (member, later) = (full_name(member), full_name(&later));
        place.node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("`{member}`, which {does} `{later}`, before it; that is named on {line}"),
            expected: format!("{expected}: members start in their order"),
            hint: None,
        });
    }
}

fn too_deep() -> Problem {
    Problem {
        kind: ConfigErrorKind::OutOfRange,
        found: format!("a group within {} others", bounds::GROUP_DEPTH),
        expected: format!("groups nested at most {} deep", bounds::GROUP_DEPTH),
        hint: None,
    }
}

fn cycle(names: &[&str]) -> Problem {
    let found = match names {
        [name, _] => format!("the group `{name}`, which would contain itself"),
        names => {
            // A long way round is cut: its first groups are enough to find it by.
            let shown = names.get(..bounds::GROUP_DEPTH).unwrap_or(names);
            let rest = if shown.len() < names.len() { " → …" } else { "" };
            format!("a group that would contain itself: `{}`{rest}", shown.join("` → `"))
        }
    };
    Problem {
        kind: ConfigErrorKind::Conflict,
        found,
        expected: "groups that contain others, but not themselves".to_owned(),
        hint: None,
    }
}
