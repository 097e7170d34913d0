//! A `keyvalue` binding.

use super::{DURABILITIES, Places, belongs, server};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{Durability, KeyValueBackend, KeyValueSettings},
    reader::{Node, Section},
};

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Redb,
    Memory,
    Redis,
    Nats,
}

const BACKENDS: &[(&str, Backend)] =
    &[("redb", Backend::Redb), ("memory", Backend::Memory), ("redis", Backend::Redis), ("nats", Backend::Nats)];

const REDIS: server::Kind =
    server::Kind { schemes: &["redis", "rediss"], example: "redis://127.0.0.1:6379/0", several: false };

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, name: &str, places: Places<'_>) -> KeyValueSettings {
    let backend = section.or("backend", Backend::Redb, |node| node.choice(BACKENDS));
    let owned = |node: &Node<'_>, owner| belongs(node, backend, &[owner], BACKENDS);
    let path = section.or("path", defaults::redb_path(places.state_dir, name), |node| {
        owned(node, Backend::Redb)?;
        node.path_in(places.state_dir)
    });
    let durability = section.or("durability", Durability::Immediate, |node| {
        owned(node, Backend::Redb)?;
        node.choice(DURABILITIES)
    });
    let cache = section.or("cache", defaults::KEYVALUE_CACHE, |node| {
        owned(node, Backend::Redb)?;
        node.size(&bounds::KEYVALUE_CACHE)
    });
    let max_bytes = section.or("max_bytes", defaults::KEYVALUE_MAX_BYTES, |node| {
        owned(node, Backend::Memory)?;
        node.size(&bounds::MEMORY_MAX_BYTES)
    });
    let prefix = section.or("prefix", String::new(), |node| {
        owned(node, Backend::Redis)?;
        node.text_without_nul("what stands before every key").map(str::to_owned)
    });
    let bucket = section.or("bucket", name.to_owned(), |node| {
        owned(node, Backend::Nats)?;
        bucket(node)
    });
    let backend = match backend {
        Backend::Redb => KeyValueBackend::Redb { path, durability, cache },
        Backend::Memory => KeyValueBackend::Memory { max_bytes },
        Backend::Redis => KeyValueBackend::Redis { server: server::read(section, &REDIS, places), prefix },
        Backend::Nats => KeyValueBackend::Nats { server: server::read(section, &server::NATS, places), bucket },
    };
    if matches!(backend, KeyValueBackend::Redb { .. } | KeyValueBackend::Memory { .. }) {
        server::refuse(section, "\"redis\" and \"nats\"");
    }
    KeyValueSettings {
        backend,
        max_key: section.or("max_key", defaults::KEYVALUE_MAX_KEY, |node| node.size(&bounds::KEYVALUE_MAX_KEY)),
        max_value: section.or("max_value", defaults::KEYVALUE_MAX_VALUE, |node| node.size(&bounds::KEYVALUE_MAX_VALUE)),
    }
}

/// What JetStream takes as the name of a bucket.
fn bucket(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a bucket: letters, digits, `-` and `_`";
    let name = node.text(EXPECTED)?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return node.bad(ConfigErrorKind::BadValue, EXPECTED, None);
    }
    Some(name.to_owned())
}
