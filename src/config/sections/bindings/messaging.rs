//! A `messaging` binding.

use super::{Places, belongs, server};
use crate::config::{
    bounds, defaults,
    model::{MessagingBackend, MessagingSettings},
    reader::{Node, Section},
};

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Local,
    Nats,
}

const BACKENDS: &[(&str, Backend)] = &[("local", Backend::Local), ("nats", Backend::Nats)];

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, places: Places<'_>) -> MessagingSettings {
    let backend = section.or("backend", Backend::Local, |node| node.choice(BACKENDS));
    let owned = |node: &Node<'_>, owner| belongs(node, backend, &[owner], BACKENDS);
    let jetstream = section.or("jetstream", false, |node| {
        owned(node, Backend::Nats)?;
        node.flag()
    });
    let backend = match backend {
        Backend::Local => MessagingBackend::Local,
        Backend::Nats => MessagingBackend::Nats { server: server::read(section, &server::NATS, places), jetstream },
    };
    if matches!(backend, MessagingBackend::Local) {
        server::refuse(section, "\"nats\"");
    }
    MessagingSettings {
        backend,
        queue: section.or("queue", defaults::MESSAGING_QUEUE, |node| node.count(&bounds::MESSAGING_QUEUE)),
        queue_bytes: section
            .or("queue_bytes", defaults::MESSAGING_QUEUE_BYTES, |node| node.size(&bounds::MESSAGING_QUEUE_BYTES)),
        max_message: section
            .or("max_message", defaults::MESSAGING_MAX_MESSAGE, |node| node.size(&bounds::MESSAGING_MAX_MESSAGE)),
    }
}
