//! The top of the file: which sections there are. Sections of the design that this version does not have are unknown here.

use std::path::Path;

use crate::config::{
    error::ConfigErrorKind,
    model::{ModuleLimits, Restart},
    reader::{Problem, Section},
    sections::{limits, restart},
};

/// The sections of the main file.
pub(in crate::config) struct Sections<'d> {
    /// `[daemon]`.
    pub(in crate::config) daemon: Option<Section<'d>>,
    /// `[control]`.
    pub(in crate::config) control: Option<Section<'d>>,
    /// `[logging]`.
    pub(in crate::config) logging: Option<Section<'d>>,
    /// `[metrics]`.
    pub(in crate::config) metrics: Option<Section<'d>>,
    /// `[watch]`.
    pub(in crate::config) watch: Option<Section<'d>>,
    /// `[drop_in]`.
    pub(in crate::config) drop_in: Option<Section<'d>>,
    /// `[defaults]`.
    pub(in crate::config) defaults: Option<Section<'d>>,
    /// What included files may have as well.
    pub(in crate::config) children: Children<'d>,
}

/// The sections of every file.
pub(in crate::config) struct Children<'d> {
    /// `[bindings]`.
    pub(in crate::config) bindings: Option<Section<'d>>,
    /// `[modules]`.
    pub(in crate::config) modules: Option<Section<'d>>,
    /// `[groups]`.
    pub(in crate::config) groups: Option<Section<'d>>,
    /// `[triggers]`.
    pub(in crate::config) triggers: Option<Section<'d>>,
}

/// What belongs to the daemon as a whole, and therefore to one file.
const MAIN_ONLY: [&str; 7] = ["daemon", "control", "logging", "metrics", "watch", "drop_in", "defaults"];

/// Takes the sections of the main file apart.
pub(in crate::config) fn read<'d>(root: Section<'d>) -> Sections<'d> {
    let table = |key, expected| root.get(key).and_then(|node| node.section(expected));
    let sections = Sections {
        daemon: table("daemon", "a table, [daemon]"),
        control: table("control", "a table, [control]"),
        logging: table("logging", "a table, [logging]"),
        metrics: table("metrics", "a table, [metrics]"),
        watch: table("watch", "a table, [watch]"),
        drop_in: table("drop_in", "a table, [drop_in]"),
        defaults: table("defaults", "tables, [defaults.limits] and [defaults.restart]"),
        children: children(&root),
    };
    root.finish();
    sections
}

/// Takes the sections of an included file apart; those of the daemon belong to the main file.
pub(in crate::config) fn included<'d>(root: Section<'d>, main: &Path) -> Children<'d> {
    let children = children(&root);
    for key in MAIN_ONLY {
        root.refuse(key, || misplaced(format!("[{key}] in an included file"), main));
    }
    root.refuse("include", || misplaced("`include` in an included file".to_owned(), main));
    root.finish();
    children
}

fn children<'d>(root: &Section<'d>) -> Children<'d> {
    let table = |key, expected| root.get(key).and_then(|node| node.section(expected));
    Children {
        bindings: table("bindings", "tables by name, such as [bindings.cache]"),
        modules: table("modules", "tables by name, such as [modules.greeter]"),
        groups: table("groups", "tables by name, such as [groups.shop]"),
        triggers: table("triggers", "tables by name, such as [triggers.web]"),
    }
}

fn misplaced(found: String, main: &Path) -> Problem {
    Problem {
        kind: ConfigErrorKind::Conflict,
        found,
        expected: "only modules, bindings, groups and triggers here".to_owned(),
        hint: Some(format!("it belongs into {}", main.display())),
    }
}

/// Reads `[defaults]`: what modules get that say nothing.
pub(in crate::config) fn defaults(section: Option<Section<'_>>) -> (ModuleLimits, Restart) {
    let Some(section) = section else {
        return Default::default();
    };
    let table = |key| section.get(key).and_then(|node| node.section("a table"));
    let limits = limits::read(table("limits"), &ModuleLimits::default());
    let restart = restart::read(table("restart"), &Restart::default());
    section.finish();
    (limits, restart)
}
