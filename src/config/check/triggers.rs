//! Triggers: each calls modules that exist, stands on a binding that carries messages, and shares its socket with no other;
//! `inboxes` has what concerns directories.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc};

use super::{list, routes::routes, without_detours};
use crate::config::{
    error::ConfigErrorKind,
    model::{Binding, BindingSettings, Listen, MessagingBackend, Trigger, TriggerSettings},
    reader::{Node, Problem, did_you_mean},
    sections::{module::WrittenModule, triggers::WrittenTrigger},
};

/// Where the daemon itself is spoken to.
#[derive(Clone, Copy)]
pub(in crate::config) struct OwnSockets<'c> {
    /// `control.socket`.
    pub(in crate::config) control: &'c Path,
    /// `metrics.listen`.
    pub(in crate::config) metrics: Option<SocketAddr>,
}

impl OwnSockets<'_> {
    /// The key of what is at the place of a listener already.
    fn key_at(self, listen: &Listen) -> Option<&'static str> {
        match listen {
            Listen::Unix { path, .. } => {
                (without_detours(path) == without_detours(self.control)).then_some("control.socket")
            }
            Listen::Tcp(address) => self.metrics.filter(|own| meet(*own, *address)).map(|_| "metrics.listen"),
            // Whoever starts the daemon gives it no socket that it opens itself.
            Listen::Inherited(_) => None,
        }
    }
}

/// Whether nobody can listen at both addresses: each is all of them, or they are the same.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    // The system chooses another port for each.
    let same_port = one.port() == other.port() && one.port() != 0;
    same_port && one.is_ipv4() == other.is_ipv4() && (one.ip() == other.ip() || all(one) || all(other))
}

/// Checks the triggers, and gives them. `dropped`: modules may come by a directory, so that a name may be one of theirs.
pub(in crate::config) fn triggers(
    written: Vec<WrittenTrigger<'_>>,
    modules: &[WrittenModule<'_>],
    bindings: &[Binding],
    (dropped, sockets): (bool, OwnSockets<'_>),
) -> Vec<Trigger> {
    let names: Vec<&str> = modules.iter().map(|module| &*module.module.name).collect();
    no_shared_place(&written, sockets);
    for trigger in &written {
        routes(trigger);
        for (name, node) in &trigger.mentions.modules {
            if !dropped && !names.contains(&&**name) {
                node.problem::<()>(no_such_module(name, &names));
            }
        }
        if let (Some(Trigger { settings: TriggerSettings::Messages(settings), .. }), Some(node)) =
            (&trigger.trigger, &trigger.mentions.binding)
        {
            carries_messages(&settings.binding, node, bindings);
            if settings.durable.is_some() {
                has_streams(&settings.binding, trigger, bindings);
                no_group(settings.group.as_deref(), trigger);
            }
        }
    }
    written.into_iter().filter_map(|trigger| trigger.trigger).collect()
}

fn no_such_module(name: &str, names: &[&str]) -> Problem {
    Problem {
        kind: ConfigErrorKind::UnknownName,
        found: format!("{name:?}, which no module is called"),
        expected: list("the name of a module", names.iter().copied()),
        hint: did_you_mean(name, names.iter().copied()),
    }
}

fn carries_messages(name: &str, node: &Node<'_>, bindings: &[Binding]) {
    let is_messaging = |binding: &&Binding| matches!(binding.settings, BindingSettings::Messaging(_));
    let names = || bindings.iter().filter(is_messaging).map(|binding| &*binding.name);
    let found = match bindings.iter().find(|binding| &*binding.name == name) {
        Some(binding) if is_messaging(&binding) => return,
        Some(binding) => format!("{name:?}, a binding of type \"{}\"", binding.settings.type_name()),
        None => format!("{name:?}, which no binding is called"),
    };
    node.problem::<()>(Problem {
        kind: ConfigErrorKind::UnknownName,
        found,
        expected: list("the name of a binding of type \"messaging\"", names()),
        hint: did_you_mean(name, names()),
    });
}

/// Nothing inside the daemon keeps messages.
fn has_streams(name: &str, trigger: &WrittenTrigger<'_>, bindings: &[Binding]) {
    let is_local = |binding: &Binding| matches!(&binding.settings, BindingSettings::Messaging(settings) if settings.backend == MessagingBackend::Local);
    if bindings.iter().any(|binding| &*binding.name == name && is_local(binding)) {
        let problem = Problem {
            kind: ConfigErrorKind::BadValue,
            found: format!("a durable consumer of the binding {name:?}, which is local and keeps no messages"),
            expected: "a binding with `backend = \"nats\"`, whose server has streams".to_owned(),
            hint: None,
        };
        trigger.named.problem_below("durable", problem);
    }
}

/// Whoever uses the same consumer shares its messages: a group besides would mean nothing.
fn no_group(group: Option<&str>, trigger: &WrittenTrigger<'_>) {
    if let Some(group) = group {
        let problem = Problem {
            kind: ConfigErrorKind::BadValue,
            found: format!("the group {group:?} beside a durable consumer"),
            expected: "either of them: those with the same durable consumer share its messages".to_owned(),
            hint: None,
        };
        trigger.named.problem_below("group", problem);
    }
}

/// Two triggers at one socket would take each other's connections, and one at the daemon's own keeps it from starting.
fn no_shared_place(written: &[WrittenTrigger<'_>], own: OwnSockets<'_>) {
    let mut sockets: HashMap<String, Arc<str>> = HashMap::new();
    for trigger in written {
        let Some(Trigger { name, settings: TriggerSettings::Http(settings), .. }) = &trigger.trigger else { continue };
        for (listener, node) in settings.listeners.iter().zip(&trigger.mentions.listeners) {
            // The system chooses another port for each.
            if matches!(&listener.listen, Listen::Tcp(address) if address.port() == 0) {
                continue;
            }
            if let Some(key) = own.key_at(&listener.listen) {
                node.problem::<()>(Problem {
                    kind: ConfigErrorKind::Duplicate,
                    found: format!("the socket `{}`, where the daemon itself is by `{key}`", listener.listen),
                    expected: "one of its own for every trigger".to_owned(),
                    hint: None,
                });
            }
            // A socket's file is the same with any mode, which its text leaves out.
            if let Some(first) = sockets.insert(listener.listen.to_string(), Arc::clone(name)) {
                node.problem::<()>(taken(&format!("the socket `{}`", listener.listen), &first));
            }
        }
    }
}

fn taken(what: &str, first: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Duplicate,
        found: format!("{what}, which already belongs to the trigger `{first}`"),
        expected: "one of its own for every trigger".to_owned(),
        hint: None,
    }
}
