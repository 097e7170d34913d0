//! `[modules.NAME]`: one module.

use std::path::Path;

use super::{health, limits, links, links::WrittenLink, names, rate_limit, restart, shutdown, wasi};
use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{EngineKind, Instances, Module, ModuleLimits, OnFull, Restart},
    reader::{Named, Node, Section},
};

const ON_FULL: &[(&str, OnFull)] = &[("reject", OnFull::Reject), ("wait", OnFull::Wait)];
const ENGINES: &[(&str, EngineKind)] = &[("cranelift", EngineKind::Cranelift)];

/// What holds for every module that says nothing else.
pub(in crate::config) struct ModuleDefaults<'a> {
    /// `[defaults.limits]`.
    pub(in crate::config) limits: ModuleLimits,
    /// `[defaults.restart]`.
    pub(in crate::config) restart: Restart,
    /// The directory of the file, against which what modules read is meant.
    pub(in crate::config) base: &'a Path,
}

/// A module as it is written: its links are still to be checked against the bindings.
pub(in crate::config) struct WrittenModule<'d> {
    /// The module without its links.
    pub(in crate::config) module: Module,
    /// Its links, as far as they can be read.
    pub(in crate::config) links: Vec<WrittenLink<'d>>,
    /// Its own keys that count restarts; none may be there in a member of a group.
    pub(in crate::config) counts: Vec<Node<'d>>,
}

/// Reads `[modules]`, in file order.
pub(in crate::config) fn read_all<'d>(
    section: Option<Section<'d>>,
    defaults: &ModuleDefaults<'_>,
) -> Vec<WrittenModule<'d>> {
    let named = section.map(|section| section.named()).unwrap_or_default();
    named.iter().map(|named| read(named, defaults)).collect()
}

fn read<'d>(named: &Named<'d>, defaults: &ModuleDefaults<'_>) -> WrittenModule<'d> {
    names::check(named);
    let base = Module {
        limits: defaults.limits.clone(),
        restart: defaults.restart.clone(),
        ..Module::with_defaults(named.name, "")
    };
    let Some(section) = named.node.section("a table with the module's settings") else {
        return WrittenModule { module: base, links: Vec::new(), counts: Vec::new() };
    };
    let written = WrittenModule {
        module: settings(&section, base, defaults.base),
        links: section.or("links", Vec::new(), links::read),
        counts: section.get("restart").map(|node| restart::counts(&node)).unwrap_or_default(),
    };
    section.finish();
    written
}

fn settings(section: &Section<'_>, base: Module, directory: &Path) -> Module {
    let path = section.require("path", "the path of the wasm file");
    let module = Module {
        path: path.and_then(|node| node.path_in(directory)).unwrap_or_default(),
        engine: section.or("engine", base.engine, engine),
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
        wasi: wasi::read(table(section, "wasi"), directory),
        ..base
    };
    let health = section.get("health").and_then(|node| health::of_module(&node, module.limits.call_timeout));
    Module { health, ..module }
}

fn table<'d>(section: &Section<'d>, key: &'static str) -> Option<Section<'d>> {
    section.get(key).and_then(|node| node.section("a table"))
}

/// The engines of this build; what the design names beyond them is told apart from what does not exist.
fn engine(node: &Node<'_>) -> Option<EngineKind> {
    if node.is_text() && node.text("an engine")? == "pulley" {
        let hint = "the interpreter `pulley` is not part of this version".to_owned();
        return node.bad(ConfigErrorKind::BadValue, "\"cranelift\", the only engine of this version", Some(hint));
    }
    node.choice(ENGINES)
}

/// `"per-worker"`, or a number.
fn instances(node: &Node<'_>) -> Option<Instances> {
    let written = node.count_or_word(&bounds::INSTANCES, "per-worker")?;
    Some(written.map_or(Instances::PerWorker, Instances::Count))
}
