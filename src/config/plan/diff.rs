//! Compares two configurations. Every struct is taken apart without `..`: a field that is new does not compile until it is
//! decided here what its change takes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Change,
    ChangeAction::{self, Adjust, NeedsDaemonRestart},
    Changed, Plan, bindings as binding, children, triggers as trigger,
};
use crate::config::model::{Config, Control, Daemon, DropIn, Logging, Member, Metrics, ModuleDefaults, Watch};

/// Says what differs between two configurations, and what each difference takes.
#[must_use]
pub fn plan(old: &Config, new: &Config) -> Plan {
    // Which file says something does not matter, and the defaults are in every module that has them.
    let Config {
        source: _,
        files: _,
        includes,
        daemon,
        control,
        logging,
        bindings,
        modules,
        groups,
        triggers,
        metrics,
        watch,
        drop_in,
        defaults: ModuleDefaults { limits: _, restart: _ },
    } = new;
    let mut changes = Vec::new();
    self::daemon(&old.daemon, daemon).tell("daemon", &mut changes);
    self::control(&old.control, control).tell("control", &mut changes);
    self::logging(&old.logging, logging).tell("logging", &mut changes);
    self::metrics(&old.metrics, metrics).tell("metrics", &mut changes);
    self::watch(&old.watch, watch).tell("watch", &mut changes);
    changes.extend(self::drop_in(old.drop_in.as_ref(), drop_in.as_ref()));
    if old.includes != *includes {
        changes.push(section("include", Adjust, Vec::new()));
    }
    let bindings = Both::new(&old.bindings, bindings, |binding| &binding.name);
    let groups = Both::new(&old.groups, groups, |group| &group.name);
    let modules = Both::new(&old.modules, modules, |module| &module.name);
    let triggers = Both::new(&old.triggers, triggers, |trigger| &trigger.name);
    let moved = [bindings.moved(), groups.moved(), modules.moved(), triggers.moved()];
    changes.extend(order(moved));

    changes.extend(bindings.changes(Member::Binding, binding::binding));
    changes.extend(
        groups.changes(Member::Group, |old, new| children::group(old, new).of(new.name.clone(), Member::Group)),
    );
    changes.extend(
        modules.changes(Member::Module, |old, new| children::module(old, new).of(new.name.clone(), Member::Module)),
    );
    changes.extend(triggers.changes(Member::Trigger, trigger::trigger));
    // As a stop goes: who uses before who is used.
    changes.extend(triggers.removed(Member::Trigger));
    changes.extend(modules.removed(Member::Module));
    changes.extend(groups.removed(Member::Group));
    changes.extend(bindings.removed(Member::Binding));
    Plan { changes }
}

/// The keys of one subject that differ, each with what it takes.
#[derive(Default)]
pub(super) struct Differences(Vec<(String, ChangeAction)>);

impl Differences {
    /// Compares one key.
    pub(super) fn key<T: PartialEq>(&mut self, key: &str, action: ChangeAction, old: &T, new: &T) {
        if old != new {
            self.0.push((key.to_owned(), action));
        }
    }

    /// One change for a child: its greatest difference decides what it takes.
    pub(super) fn of<N>(self, name: N, kind: fn(N) -> Member) -> Vec<Change> {
        let Some(action) = self.0.iter().map(|(_, action)| *action).max() else { return Vec::new() };
        let keys = self.0.into_iter().map(|(key, _)| key).collect();
        vec![Change { subject: Changed::Child(kind(name)), action, keys }]
    }

    /// One change of a section for each thing that its differences take: what can be done is told apart from what cannot.
    fn tell(self, name: &'static str, changes: &mut Vec<Change>) {
        for action in [Adjust, NeedsDaemonRestart] {
            let keys: Vec<String> =
                self.0.iter().filter(|(_, other)| *other == action).map(|(key, _)| key.clone()).collect();
            if !keys.is_empty() {
                changes.push(section(name, action, keys));
            }
        }
    }
}

fn section(name: &'static str, action: ChangeAction, keys: Vec<String>) -> Change {
    Change { subject: Changed::Section(name), action, keys }
}

fn daemon(old: &Daemon, new: &Daemon) -> Differences {
    // The directory of compiled code follows from the state directory or the environment. Of the engines the one counts that
    // runs guests.
    let Daemon {
        state_dir,
        runtime_dir,
        workers,
        shutdown_grace,
        engine,
        configured_engine: _,
        guest_stack,
        queue_bytes,
        code_dir: _,
        code_cache,
    } = new;
    let mut found = Differences::default();
    found.key("state_dir", NeedsDaemonRestart, &old.state_dir, state_dir);
    found.key("runtime_dir", NeedsDaemonRestart, &old.runtime_dir, runtime_dir);
    found.key("workers", NeedsDaemonRestart, &old.workers, workers);
    found.key("shutdown_grace", Adjust, &old.shutdown_grace, shutdown_grace);
    found.key("engine", NeedsDaemonRestart, &old.engine, engine);
    found.key("guest_stack", NeedsDaemonRestart, &old.guest_stack, guest_stack);
    found.key("queue_bytes", Adjust, &old.queue_bytes, queue_bytes);
    found.key("code_cache", NeedsDaemonRestart, &old.code_cache, code_cache);
    found
}

fn control(old: &Control, new: &Control) -> Differences {
    let Control { socket, socket_mode, socket_group, readers, operators } = new;
    let mut found = Differences::default();
    found.key("socket", NeedsDaemonRestart, &old.socket, socket);
    found.key("socket_mode", NeedsDaemonRestart, &old.socket_mode, socket_mode);
    found.key("socket_group", NeedsDaemonRestart, &old.socket_group, socket_group);
    found.key("readers", NeedsDaemonRestart, &old.readers, readers);
    found.key("operators", NeedsDaemonRestart, &old.operators, operators);
    found
}

fn logging(old: &Logging, new: &Logging) -> Differences {
    let Logging { level, format } = new;
    let mut found = Differences::default();
    found.key("level", Adjust, &old.level, level);
    found.key("format", NeedsDaemonRestart, &old.format, format);
    found
}

fn metrics(old: &Metrics, new: &Metrics) -> Differences {
    let Metrics { listen } = new;
    let mut found = Differences::default();
    found.key("listen", NeedsDaemonRestart, &old.listen, listen);
    found
}

fn watch(old: &Watch, new: &Watch) -> Differences {
    let Watch { mode, settle, poll, config } = new;
    let mut found = Differences::default();
    found.key("mode", Adjust, &old.mode, mode);
    found.key("settle", Adjust, &old.settle, settle);
    found.key("poll", Adjust, &old.poll, poll);
    found.key("config", Adjust, &old.config, config);
    found
}

/// A section that comes or goes is told without keys.
fn drop_in(old: Option<&DropIn>, new: Option<&DropIn>) -> Vec<Change> {
    let mut changes = Vec::new();
    match (old, new) {
        (Some(old), Some(new)) => {
            let DropIn { dir, links, owners, groups, allow_unsafe_permissions } = new;
            let mut found = Differences::default();
            found.key("dir", Adjust, &old.dir, dir);
            found.key("links", Adjust, &old.links, links);
            found.key("owners", Adjust, &old.owners, owners);
            found.key("groups", Adjust, &old.groups, groups);
            found.key("allow_unsafe_permissions", Adjust, &old.allow_unsafe_permissions, allow_unsafe_permissions);
            found.tell("drop_in", &mut changes);
        }
        (None, None) => {}
        (None, Some(_)) | (Some(_), None) => changes.push(section("drop_in", Adjust, Vec::new())),
    }
    changes
}

/// The order of the file is the order of starts and stops. It counts only among those that both configurations have.
fn order(moved: [bool; 4]) -> Option<Change> {
    let sections = ["bindings", "groups", "modules", "triggers"];
    let keys: Vec<String> =
        sections.iter().zip(moved).filter(|(_, moved)| *moved).map(|(name, _)| (*name).to_owned()).collect();
    (!keys.is_empty()).then(|| section("order", Adjust, keys))
}

/// The children of one kind in both configurations.
struct Both<'c, T> {
    old: &'c [T],
    new: &'c [T],
    old_by_name: HashMap<&'c str, &'c T>,
    new_names: HashSet<&'c str>,
    name: fn(&T) -> &Arc<str>,
}

impl<'c, T> Both<'c, T> {
    fn new(old: &'c [T], new: &'c [T], name: fn(&T) -> &Arc<str>) -> Self {
        Self {
            old,
            new,
            old_by_name: old.iter().map(|child| (&**name(child), child)).collect(),
            new_names: new.iter().map(|child| &**name(child)).collect(),
            name,
        }
    }

    /// Whether those that are in both have another order.
    fn moved(&self) -> bool {
        let name = |child: &'c T| -> &'c str { (self.name)(child) };
        let old = self.old.iter().map(name).filter(|name| self.new_names.contains(name));
        let new = self.new.iter().map(name).filter(|name| self.old_by_name.contains_key(name));
        old.ne(new)
    }

    /// What is new or differs, in the order of the new configuration.
    fn changes(&self, kind: fn(Arc<str>) -> Member, compare: impl Fn(&T, &T) -> Vec<Change>) -> Vec<Change> {
        let change = |new: &T| match self.old_by_name.get(&**(self.name)(new)) {
            Some(old) => compare(old, new),
            None => vec![whole(kind((self.name)(new).clone()), ChangeAction::Add)],
        };
        self.new.iter().flat_map(change).collect()
    }

    /// What is gone, the last first.
    fn removed(&self, kind: fn(Arc<str>) -> Member) -> Vec<Change> {
        let gone = self.old.iter().rev().map(self.name).filter(|name| !self.new_names.contains(&***name));
        gone.map(|name| whole(kind(name.clone()), ChangeAction::Remove)).collect()
    }
}

/// A child that comes or goes.
pub(super) fn whole(child: Member, action: ChangeAction) -> Change {
    Change { subject: Changed::Child(child), action, keys: Vec::new() }
}
