//! `[modules.NAME]`, or the file beside a dropped module: one module.

use std::path::Path;

use super::{
    daemon::ENGINES, health, hooks, limits, links, links::WrittenLink, module_config, names, rate_limit, restart,
    shutdown, swap, wasi,
};
use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{Instances, Module, ModuleDefaults, OnFull},
    reader::{Named, Node, Problem, Section},
};

const ON_FULL: &[(&str, OnFull)] = &[("reject", OnFull::Reject), ("wait", OnFull::Wait)];

/// A module as it is written: its links are still to be checked against the bindings.
pub(in crate::config) struct WrittenModule<'d> {
    /// The module without its links.
    pub(in crate::config) module: Module,
    /// Its links, as far as they can be read.
    pub(in crate::config) links: Vec<WrittenLink<'d>>,
    /// Its own keys that count restarts; none may be there in a member of a group.
    pub(in crate::config) counts: Vec<Node<'d>>,
    /// Where its `wasi` is, if it has one.
    pub(in crate::config) wasi: Option<Node<'d>>,
    /// Where it names an engine, if it does.
    pub(in crate::config) engine: Option<Node<'d>>,
}

/// Reads the modules of one file, in its order; what they read is meant against the directory of the file.
pub(in crate::config) fn read_all<'d>(
    named: &[Named<'d>],
    defaults: &ModuleDefaults,
    directory: &Path,
) -> Vec<WrittenModule<'d>> {
    named.iter().map(|named| read(named, defaults, directory)).collect()
}

fn read<'d>(named: &Named<'d>, defaults: &ModuleDefaults, directory: &Path) -> WrittenModule<'d> {
    names::check(named);
    let base = Module {
        limits: defaults.limits.clone(),
        restart: defaults.restart.clone(),
        ..Module::with_defaults(named.name, "")
    };
    let Some(section) = named.node.section("a table with the module's settings") else {
        return WrittenModule { module: base, links: Vec::new(), counts: Vec::new(), wasi: None, engine: None };
    };
    let path = section.require("path", "the path of the wasm file");
    let base = Module {
        path: path.and_then(|node| node.path_in(directory)).unwrap_or_default(),
        wasi: wasi::read(table(&section, "wasi"), directory),
        ..base
    };
    written(section, base)
}

/// Reads the file beside a dropped module, which holds the content of its table.
pub(in crate::config) fn read_dropped<'d>(section: Section<'d>, base: Module) -> WrittenModule<'d> {
    section.refuse("path", || Problem {
        kind: ConfigErrorKind::Conflict,
        found: "`path` of a dropped module".to_owned(),
        expected: format!("no such key: its code is `{}`", base.path.display()),
        hint: Some("a module that runs another file is written into the configuration".to_owned()),
    });
    section.refuse("wasi", || Problem {
        kind: ConfigErrorKind::Conflict,
        found: "`wasi` of a dropped module".to_owned(),
        expected: "no such key: whoever may drop a file must not open directories with it".to_owned(),
        hint: Some("a module that needs WASI is written into the configuration".to_owned()),
    });
    section.refuse("modules", || Problem {
        kind: ConfigErrorKind::Conflict,
        found: "`modules` in the file of a dropped module".to_owned(),
        expected:
            "the keys of the module at the top of the file, such as links = [\"log\"] or limits.memory = \"1 MiB\""
                .to_owned(),
        hint: None,
    });
    written(section, base)
}

fn written<'d>(section: Section<'d>, base: Module) -> WrittenModule<'d> {
    let written = WrittenModule {
        module: settings(&section, base),
        links: section.or("links", Vec::new(), links::read),
        counts: section.get("restart").map(|node| restart::counts(&node)).unwrap_or_default(),
        wasi: section.get("wasi"),
        engine: section.get("engine"),
    };
    section.finish();
    written
}

/// What configured and dropped modules have in common.
fn settings(section: &Section<'_>, base: Module) -> Module {
    let module = Module {
        engine: section.or("engine", base.engine, |node| node.choice(ENGINES)),
        lazy: section.or("lazy", base.lazy, Node::flag),
        instances: section.or("instances", base.instances, instances),
        queue: section.or("queue", base.queue, |node| node.count(&bounds::QUEUE)),
        queue_bytes: section.or("queue_bytes", base.queue_bytes, |node| node.size(&bounds::QUEUE_BYTES)),
        queue_timeout: section
            .or("queue_timeout", base.queue_timeout, |node| node.time(&bounds::QUEUE_TIMEOUT).map(Some)),
        on_full: section.or("on_full", base.on_full, |node| node.choice(ON_FULL)),
        rate_limit: section.get("rate_limit").and_then(|node| rate_limit::read(&node)),
        binding_wait: section.or("binding_wait", base.binding_wait, |node| node.time(&bounds::BINDING_WAIT)),
        shutdown: section.or("shutdown", base.shutdown, shutdown::read),
        limits: limits::read(table(section, "limits"), &base.limits),
        restart: restart::read(table(section, "restart"), &base.restart),
        ..base
    };
    let config = section.or("config", module.config.clone(), module_config::read);
    let health = section.get("health").and_then(|node| health::of_module(&node, module.limits.call_timeout));
    let swap = swap::read(table(section, "swap"), &module.limits);
    let on_start = section.get("on_start").and_then(|node| hooks::on_start(&node, &module.limits));
    let on_stop = section.get("on_stop").and_then(|node| hooks::on_stop(&node, &module.limits));
    Module { health, swap, config, on_start, on_stop, ..module }
}

fn table<'d>(section: &Section<'d>, key: &'static str) -> Option<Section<'d>> {
    section.get(key).and_then(|node| node.section("a table"))
}

/// `"per-worker"`, or a number.
fn instances(node: &Node<'_>) -> Option<Instances> {
    let written = node.count_or_word(&bounds::INSTANCES, "per-worker")?;
    Some(written.map_or(Instances::PerWorker, Instances::Count))
}
