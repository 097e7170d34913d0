//! The top of the file: which sections there are. Sections of the design that this version does not have are unknown here.

use crate::config::{
    model::{ModuleLimits, Restart},
    reader::Section,
    sections::{limits, restart},
};

/// The sections of a file.
pub(in crate::config) struct Sections<'d> {
    /// `[daemon]`.
    pub(in crate::config) daemon: Option<Section<'d>>,
    /// `[control]`.
    pub(in crate::config) control: Option<Section<'d>>,
    /// `[logging]`.
    pub(in crate::config) logging: Option<Section<'d>>,
    /// `[defaults]`.
    pub(in crate::config) defaults: Option<Section<'d>>,
    /// `[bindings]`.
    pub(in crate::config) bindings: Option<Section<'d>>,
    /// `[modules]`.
    pub(in crate::config) modules: Option<Section<'d>>,
    /// `[groups]`.
    pub(in crate::config) groups: Option<Section<'d>>,
    /// `[metrics]`.
    pub(in crate::config) metrics: Option<Section<'d>>,
}

/// Takes the sections of a file apart.
pub(in crate::config) fn read<'d>(root: Section<'d>) -> Sections<'d> {
    let table = |key, expected| root.get(key).and_then(|node| node.section(expected));
    let sections = Sections {
        daemon: table("daemon", "a table, [daemon]"),
        control: table("control", "a table, [control]"),
        logging: table("logging", "a table, [logging]"),
        defaults: table("defaults", "tables, [defaults.limits] and [defaults.restart]"),
        bindings: table("bindings", "tables by name, such as [bindings.cache]"),
        modules: table("modules", "tables by name, such as [modules.greeter]"),
        groups: table("groups", "tables by name, such as [groups.shop]"),
        metrics: table("metrics", "a table, [metrics]"),
    };
    root.finish();
    sections
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
