//! `[triggers.NAME]`: what all types have in common, and which type reads the rest.

mod files;
mod http;
mod messages;
mod route;
mod schedule;

use std::{path::Path, sync::Arc};

use super::{names, restart, shutdown};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{PayloadFormat, Restart, Target, Trigger, TriggerSettings},
    reader::{Named, Node, Problem, Section},
};

#[derive(Clone, Copy)]
enum TriggerType {
    Http,
    Schedule,
    Messages,
    Files,
}

const TYPES: &[(&str, TriggerType)] = &[
    ("http", TriggerType::Http),
    ("schedule", TriggerType::Schedule),
    ("messages", TriggerType::Messages),
    ("files", TriggerType::Files),
];

const FORMATS: &[(&str, PayloadFormat)] = &[("messagepack", PayloadFormat::MessagePack), ("json", PayloadFormat::Json)];

/// Where relative paths of triggers are meant to be.
#[derive(Clone, Copy)]
pub(in crate::config) struct Places<'p> {
    /// What is written: inboxes.
    pub(in crate::config) state_dir: &'p Path,
    /// Sockets.
    pub(in crate::config) runtime_dir: &'p Path,
    /// What is read: certificates, tokens. The directory of the file.
    pub(in crate::config) directory: &'p Path,
}

/// A trigger as it is written: whom it names is still to be found.
pub(in crate::config) struct WrittenTrigger<'d> {
    /// Its name with its place.
    pub(in crate::config) named: Named<'d>,
    /// The trigger; `None` where its type could not be read, which was reported.
    pub(in crate::config) trigger: Option<Trigger>,
    /// Where its modules and its binding are named.
    pub(in crate::config) mentions: Mentions<'d>,
    /// Its own keys that count restarts; none may be there in a member of a group.
    pub(in crate::config) counts: Vec<Node<'d>>,
}

/// Where others are named, for a check that knows them.
#[derive(Default)]
pub(in crate::config) struct Mentions<'d> {
    /// Modules.
    pub(in crate::config) modules: Vec<(Arc<str>, Node<'d>)>,
    /// The binding.
    pub(in crate::config) binding: Option<Node<'d>>,
    /// Routes, in their order.
    pub(in crate::config) routes: Vec<Node<'d>>,
    /// Listeners, in their order.
    pub(in crate::config) listeners: Vec<Node<'d>>,
}

/// Reads the triggers of one file, in its order.
pub(in crate::config) fn read_all<'d>(
    named: &[Named<'d>],
    places: Places<'_>,
    restart: &Restart,
) -> Vec<WrittenTrigger<'d>> {
    named.iter().map(|named| read(named, places, restart)).collect()
}

fn read<'d>(named: &Named<'d>, places: Places<'_>, base: &Restart) -> WrittenTrigger<'d> {
    names::check(named);
    let mut written =
        WrittenTrigger { named: named.clone(), trigger: None, mentions: Mentions::default(), counts: Vec::new() };
    let Some(section) = named.node.section("a table with the trigger's type and settings") else {
        return written;
    };
    let node = section.require("type", "the trigger's type, such as \"http\"");
    // With an unknown type nothing can be said about the other keys: they are neither known nor unknown.
    let Some(trigger_type) = node.and_then(|node| node.choice(TYPES)) else {
        return written;
    };
    let mentions = &mut written.mentions;
    let settings = match trigger_type {
        TriggerType::Http => TriggerSettings::Http(http::read(&section, places, mentions)),
        TriggerType::Schedule => TriggerSettings::Schedule(schedule::read(&section, mentions)),
        TriggerType::Messages => TriggerSettings::Messages(messages::read(&section, mentions)),
        TriggerType::Files => TriggerSettings::Files(files::read(&section, named.name, places, mentions)),
    };
    let own = section.get("restart");
    written.counts = own.as_ref().map(restart::counts).unwrap_or_default();
    written.trigger = Some(Trigger {
        name: named.name.into(),
        settings,
        restart: own.map_or_else(|| base.clone(), |node| restart::read(node.section("a table"), base)),
        shutdown: section.or("shutdown", defaults::TRIGGER_SHUTDOWN, shutdown::read),
    });
    section.finish();
    written
}

/// Reads whom it calls.
fn target<'d>(section: &Section<'d>, mentions: &mut Mentions<'d>) -> Target {
    let module = section.require("module", "the name of the module that is called");
    let module = module.and_then(|node| module_name(&node, mentions)).unwrap_or_default();
    let operation = section.require("operation", "the guest's operation that is called");
    Target {
        module,
        operation: operation.and_then(|node| self::operation(&node)).unwrap_or_default(),
        timeout: section.or("timeout", None, |node| node.time(&bounds::CALL_TIMEOUT).map(Some)),
    }
}

/// The name of a module, which is noted to be looked for.
fn module_name<'d>(node: &Node<'d>, mentions: &mut Mentions<'d>) -> Option<Arc<str>> {
    let name: Arc<str> = node.text("the name of a module")?.into();
    mentions.modules.push((Arc::clone(&name), node.clone()));
    Some(name)
}

/// The name of an operation: any text but an empty one.
fn operation(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of an operation";
    let text = node.text(EXPECTED)?;
    if text.is_empty() { node.bad(ConfigErrorKind::BadValue, EXPECTED, None) } else { Some(text.to_owned()) }
}

/// How a map is written that goes to a guest.
fn format(node: &Node<'_>) -> Option<PayloadFormat> {
    node.choice(FORMATS)
}

/// Two keys of which one has no meaning beside the other.
fn either(node: &Node<'_>, other: &str) {
    node.problem::<()>(Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("`{}` beside `{other}`", node.path().rsplit('.').next().unwrap_or_default()),
        expected: "one of both".to_owned(),
        hint: None,
    });
}
