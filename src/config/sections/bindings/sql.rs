//! A `sql` binding.

use super::{DURABILITIES, Places, belongs, server};
use crate::config::{
    bounds, defaults,
    model::{Durability, SqlBackend, SqlSettings},
    reader::{Node, Section},
};

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Sqlite,
    Postgres,
}

const BACKENDS: &[(&str, Backend)] = &[("sqlite", Backend::Sqlite), ("postgres", Backend::Postgres)];

const POSTGRES: server::Kind =
    server::Kind { schemes: &["postgres", "postgresql"], example: "postgres://127.0.0.1:5432/shop", several: false };

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, name: &str, places: Places<'_>) -> SqlSettings {
    let backend = section.or("backend", Backend::Sqlite, |node| node.choice(BACKENDS));
    let owned = |node: &Node<'_>| belongs(node, backend, &[Backend::Sqlite], BACKENDS);
    let path = section.or("path", defaults::sqlite_path(places.state_dir, name), |node| {
        owned(node)?;
        node.path_in(places.state_dir)
    });
    let durability = section.or("durability", Durability::Immediate, |node| {
        owned(node)?;
        node.choice(DURABILITIES)
    });
    let busy_timeout = section.or("busy_timeout", defaults::SQLITE_BUSY_TIMEOUT, |node| {
        owned(node)?;
        node.time(&bounds::BINDING_TIMEOUT)
    });
    let backend = match backend {
        Backend::Sqlite => SqlBackend::Sqlite { path, durability, busy_timeout },
        Backend::Postgres => SqlBackend::Postgres { server: server::read(section, &POSTGRES, places) },
    };
    if matches!(backend, SqlBackend::Sqlite { .. }) {
        server::refuse(section, "\"postgres\"");
    }
    SqlSettings {
        backend,
        max_rows: section.or("max_rows", defaults::SQL_MAX_ROWS, |node| node.count(&bounds::SQL_MAX_ROWS)),
    }
}
