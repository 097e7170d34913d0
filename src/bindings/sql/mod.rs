//! The `sql` binding: tables, in a SQLite file or a PostgreSQL server.
//!
//! | operation | request | answer |
//! |---|---|---|
//! | `query` | `{sql: str, params?: [value], limit?: int}` | `{columns: [str], rows: [{column: value}], more: bool}` |
//! | `execute` | `{sql: str, params?: [value]}` | `{changed: int, last_id?: int}` |
//! | `batch` | `{statements: [{sql: str, params?: [value]}]}` | `{results: [{changed: int, last_id?: int}]}` |
//!
//! Requests and answers are maps, in MessagePack or JSON (see [`payload`](super::payload)). Each call is one transaction,
//! committed before it is answered, or nothing was changed. Values only ever travel as parameters, `$1`, `$2` and so on in
//! both databases; `value` says how they look, and each backend which of its types are which.
//!
//! Errors: `bad_request` (what the request or its SQL says cannot be), `conflict` (a constraint, a deadlock), `too_large`
//! (the answer is over `limits.max_response`, or a value over what the database takes), `not_allowed` (a rule of the link,
//! or what no guest may do), `timed_out`, `unavailable`.
//!
//! The rules `read_only` and `tables` of a link are enforced by the databases, not by looking for words: SQLite's parser
//! asks about everything that a statement touches, and PostgreSQL tells what a transaction has locked.
//!
//! ```text
//! actor.rs ── command.rs: payload → Command ──▶ Store ─┬─ sqlite/: a writer and some reader threads
//!                                                      └─ postgres/: tasks over a pool of connections
//!                                   both gather rows.rs, and answer through store.rs
//! ```

mod actor;
mod command;
mod postgres;
mod rows;
mod sqlite;
mod store;
mod value;

use std::sync::Arc;

pub(super) use self::command::OPERATIONS;
use self::{actor::SqlFactory, command::Limits, postgres::PostgresStore, sqlite::SqliteStore, store::Store};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{SqlBackend, SqlSettings};

/// Opens the backend that the settings name; answers have at most `max_response` bytes.
pub(super) fn start(
    name: Arc<str>,
    settings: &SqlSettings,
    max_response: u64,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let store: Arc<dyn Store> = match &settings.backend {
        SqlBackend::Sqlite { path, durability, busy_timeout } => {
            Arc::new(SqliteStore::open(Arc::clone(&name), path, *durability, *busy_timeout)?)
        }
        SqlBackend::Postgres { server } => Arc::new(PostgresStore::open(Arc::clone(&name), server, context)?),
    };
    Ok(Arc::new(SqlFactory::new(name, Limits { max_rows: settings.max_rows, max_response }, store)))
}
