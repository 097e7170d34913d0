//! Groups and their members: every member exists and can be restarted, belongs to one group, and leaves the counting of
//! restarts to it. The tree that they make is checked in `tree`.

use std::collections::HashMap;

use super::{
    list,
    tree::{self, Place},
};
use crate::config::{
    error::ConfigErrorKind,
    model::{Group, Member},
    reader::{Node, Problem, did_you_mean},
    sections::{bindings::WrittenBinding, groups::WrittenGroup, module::WrittenModule, triggers::WrittenTrigger},
};

/// Checks the groups, and gives them with their members.
pub(in crate::config) fn groups(
    written: Vec<WrittenGroup<'_>>,
    modules: &[WrittenModule<'_>],
    bindings: &[WrittenBinding<'_>],
    triggers: &[WrittenTrigger<'_>],
) -> Vec<Group> {
    let known = Known::new(&written, modules, bindings, triggers);
    let mut places = HashMap::new();
    let mut members = Vec::new();
    for (group, from) in written.iter().enumerate() {
        let found = from.members.iter().filter_map(|(name, node)| {
            let member = known.find(name, node)?;
            once(&member, Place { group, node: node.clone() }, &mut places, &written)?;
            known.leaves_counting(&member, &from.group.name);
            Some(member)
        });
        members.push(found.collect());
    }
    let with_members = |(written, members): (WrittenGroup<'_>, _)| Group { members, ..written.group };
    let groups: Vec<Group> = written.into_iter().zip(members).map(with_members).collect();
    tree::check(&groups, &places, modules, triggers);
    groups
}

/// Notes the place of a member, unless it has one already.
fn once<'d>(
    member: &Member,
    place: Place<'d>,
    places: &mut HashMap<Member, Place<'d>>,
    groups: &[WrittenGroup<'_>],
) -> Option<()> {
    let Some(first) = places.get(member) else {
        places.insert(member.clone(), place);
        return Some(());
    };
    let line = first.node.place_for(&place.node);
    let name = full_name(member);
    let found = if first.group == place.group {
        format!("`{name}` a second time; the first is on {line}")
    } else {
        let other = groups.get(first.group).map_or("", |other| &*other.group.name);
        format!("`{name}`, which is a member of the group `{other}` already, on {line}")
    };
    place.node.problem(Problem {
        kind: ConfigErrorKind::Duplicate,
        found,
        expected: "every member once, in one group".to_owned(),
        hint: None,
    })
}

/// A member's name with its kind, as it can always be written.
pub(super) fn full_name(member: &Member) -> String {
    let (Member::Module(name) | Member::Binding(name) | Member::Group(name) | Member::Trigger(name)) = member;
    format!("{}.{name}", kind_of(member))
}

/// The section in which a member is described.
fn kind_of(member: &Member) -> &'static str {
    match member {
        Member::Module(_) => "modules",
        Member::Binding(_) => "bindings",
        Member::Group(_) => "groups",
        Member::Trigger(_) => "triggers",
    }
}

/// What members may be.
struct Known<'a, 'd> {
    modules: HashMap<&'a str, &'a WrittenModule<'d>>,
    bindings: HashMap<&'a str, &'a WrittenBinding<'d>>,
    groups: HashMap<&'a str, &'a WrittenGroup<'d>>,
    triggers: HashMap<&'a str, &'a WrittenTrigger<'d>>,
    /// All of them with their kinds, for those who misspell one.
    names: Vec<String>,
}

impl<'a, 'd> Known<'a, 'd> {
    fn new(
        groups: &'a [WrittenGroup<'d>],
        modules: &'a [WrittenModule<'d>],
        bindings: &'a [WrittenBinding<'d>],
        triggers: &'a [WrittenTrigger<'d>],
    ) -> Self {
        let full = |kind: &str, name: &str| format!("{kind}.{name}");
        let names = bindings.iter().map(|binding| full("bindings", binding.name));
        let names = names.chain(modules.iter().map(|module| full("modules", &module.module.name)));
        let names = names.chain(triggers.iter().map(|trigger| full("triggers", trigger.named.name)));
        let names = names.chain(groups.iter().map(|group| full("groups", &group.group.name))).collect();
        Self {
            names,
            modules: modules.iter().map(|module| (&*module.module.name, module)).collect(),
            bindings: bindings.iter().map(|binding| (binding.name, binding)).collect(),
            groups: groups.iter().map(|group| (&*group.group.name, group)).collect(),
            triggers: triggers.iter().map(|trigger| (trigger.named.name, trigger)).collect(),
        }
    }

    /// The member that a name means; a name without its kind must mean one thing only.
    fn find(&self, written: &str, node: &Node<'_>) -> Option<Member> {
        let (kind, name) = match written.split_once('.') {
            Some((kind @ ("modules" | "bindings" | "groups" | "triggers"), name)) => (Some(kind), name),
            _ => (None, written),
        };
        let mut found = self.named(name);
        found.retain(|member| kind.is_none_or(|kind| kind == kind_of(member)));
        match found.as_slice() {
            [] if kind.is_none_or(|kind| kind == "bindings") && super::is_undeclared(name) => {
                node.problem(no_backend(name, name))
            }
            [] => node.problem(self.unknown(written, kind, name)),
            [member] => self.can_fail(member, node).map(|()| member.clone()),
            several => node.problem(ambiguous(name, several)),
        }
    }

    /// Everything of this name.
    fn named(&self, name: &str) -> Vec<Member> {
        let module = self.modules.contains_key(name).then(|| Member::Module(name.into()));
        let binding = self.bindings.contains_key(name).then(|| Member::Binding(name.into()));
        let group = self.groups.contains_key(name).then(|| Member::Group(name.into()));
        let trigger = self.triggers.contains_key(name).then(|| Member::Trigger(name.into()));
        [module, binding, group, trigger].into_iter().flatten().collect()
    }

    /// A binding without a backend has nothing that could be restarted.
    fn can_fail(&self, member: &Member, node: &Node<'_>) -> Option<()> {
        let Member::Binding(name) = member else { return Some(()) };
        match self.bindings.get(&**name).and_then(|binding| binding.settings.as_ref()) {
            Some(settings) if !settings.has_backend() => node.problem(no_backend(name, settings.type_name())),
            _ => Some(()),
        }
    }

    /// A member has no counts of its own: what it says would have no effect.
    fn leaves_counting(&self, member: &Member, group: &str) {
        let own = match member {
            Member::Module(name) => self.modules.get(&**name).map(|module| module.counts.as_slice()),
            Member::Binding(name) => self.bindings.get(&**name).map(|binding| binding.counts.as_slice()),
            Member::Group(name) => self.groups.get(&**name).map(|group| group.retry_failed.as_slice()),
            Member::Trigger(name) => self.triggers.get(&**name).map(|trigger| trigger.counts.as_slice()),
        };
        for node in own.unwrap_or_default() {
            node.problem::<()>(counts_in_group(member, node, group));
        }
    }

    fn unknown(&self, written: &str, kind: Option<&str>, name: &str) -> Problem {
        let names = || self.names.iter().map(String::as_str);
        let plain = || names().filter_map(|full| full.split_once('.')).map(|(_, name)| name);
        let elsewhere = self.named(name).first().filter(|_| kind.is_some()).map(full_name);
        let hint = match elsewhere {
            Some(full) => Some(format!("did you mean `{full}`?")),
            None if kind.is_some() => did_you_mean(written, names()),
            None => did_you_mean(written, plain().chain(names())),
        };
        let what = match kind {
            Some("modules") => "no module",
            Some("bindings") => "no binding",
            Some("triggers") => "no trigger",
            Some(_) => "no group",
            None => "no module, binding, group or trigger",
        };
        Problem {
            kind: ConfigErrorKind::UnknownName,
            found: format!("{written:?}, which {what} is called"),
            expected: list("the name of a module, binding, group or trigger", names()),
            hint,
        }
    }
}

fn no_backend(name: &str, type_name: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("the binding `{name}` of type \"{type_name}\", which has no backend that could fail"),
        expected: "members that can be restarted: modules, groups, triggers, and bindings with a backend".to_owned(),
        hint: None,
    }
}

fn ambiguous(name: &str, several: &[Member]) -> Problem {
    let forms: Vec<String> = several.iter().map(|member| format!("\"{}\"", full_name(member))).collect();
    Problem {
        kind: ConfigErrorKind::BadValue,
        found: format!("{name:?}, which is the name of several things"),
        expected: format!("the one that is meant: {}", forms.join(" or ")),
        hint: None,
    }
}

fn counts_in_group(member: &Member, node: &Node<'_>, group: &str) -> Problem {
    let key = node.path().rsplit('.').next().unwrap_or_default().to_owned();
    let (expected, hint) = match member {
        Member::Group(_) => (
            format!("no such key: the group `{group}` above it restarts it"),
            format!("the outermost group's `{key}` decides"),
        ),
        _ => (
            format!("no such key: in a group the group's intensity, period and retry_failed hold, here `{group}`'s"),
            format!("write `{key}` below [groups.{group}]"),
        ),
    };
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("`{key}` of `{}`, a member of the group `{group}`", full_name(member)),
        expected,
        hint: Some(hint),
    }
}
