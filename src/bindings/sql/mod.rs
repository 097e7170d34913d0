//! The `sql` binding.

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
