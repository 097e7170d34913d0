//! The `sql` binding.

mod actor;
mod command;
mod rows;
mod sqlite;
mod store;
mod value;

use std::sync::Arc;

pub(super) use self::command::OPERATIONS;
use self::{actor::SqlFactory, command::Limits, sqlite::SqliteStore, store::Store};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{SqlBackend, SqlSettings};

/// Opens the backend that the settings name; answers have at most `max_response` bytes.
pub(super) fn start(
    name: Arc<str>,
    settings: &SqlSettings,
    max_response: u64,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let store: Arc<dyn Store> = match &settings.backend {
        SqlBackend::Sqlite { path, durability, busy_timeout } => {
            Arc::new(SqliteStore::open(Arc::clone(&name), path, *durability, *busy_timeout)?)
        }
        SqlBackend::Postgres { .. } => {
            let what = "start yet".to_owned();
            return Err(BindingError::Backend { binding: name, what, source: "it is being written".into() });
        }
    };
    Ok(Arc::new(SqlFactory::new(name, Limits { max_rows: settings.max_rows, max_response }, store)))
}
