//! Opens the database file: who may read it, how it is synced, and what no statement can do on it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};

use super::functions;
use crate::{bindings::BindingError, config::Durability};

/// Bytes of one value, row or statement of SQL at most. More than a request or an answer has by default, and as much as
/// one thread may hold several times over while it builds a value; SQLite's own limit, 1 GB, is most of a small machine.
pub(super) const MAX_LENGTH: i32 = 64 * 1024 * 1024;

/// Bytes of the pattern of LIKE and GLOB at most. SQLite compares a pattern with every place of a text, and nothing can end
/// that: with its own limit, 50,000, one comparison of the largest text would take hours; with this one a minute at most.
const MAX_PATTERN: i32 = 256;

/// Bytes of memory that SQLite may have, over all databases of the process: a statement can ask for a hundred values of
/// the largest length at once. Caches take some 2 MB for each connection; half of it would fail large sorts, and with the
/// double two guests could take what a small machine has. Beyond it a statement fails with `unavailable`.
const MAX_HEAP: i64 = 512 * 1024 * 1024;

/// A database file with its settings.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) binding: Arc<str>,
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It changes data.
    Writer,
    /// It cannot change anything.
    Reader,
}

impl Place {
    /// Makes the file and its directory where they are missing.
    pub(super) fn make(&self) -> Result<(), BindingError> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(|source| BindingError::Directory {
            binding: Arc::clone(&self.binding),
            path: directory.to_owned(),
            source,
        })?;
        if let Ok(metadata) = fs::metadata(&self.path)
            && !metadata.is_file()
        {
            let found = if metadata.is_dir() { "a directory" } else { "no regular file" };
            return Err(BindingError::NotAFile { binding: Arc::clone(&self.binding), path: self.path.clone(), found });
        }
        // The data of guests is nobody else's business; SQLite gives its other files the mode of this one.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(&self.path).map_err(|error| self.io(error))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| self.io(error))
    }

    /// A connection to the file, which must be there.
    pub(super) fn open(&self, role: Role) -> Result<Connection, BindingError> {
        self.connect(role).map_err(|error| BindingError::Backend {
            binding: Arc::clone(&self.binding),
            what: format!("open the SQLite database `{}`", self.path.display()),
            source: error.into(),
        })
    }

    fn connect(&self, role: Role) -> rusqlite::Result<Connection> {
        let access = match role {
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        // Each connection belongs to one thread; a path is never read as a URI.
        let connection = Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(self.busy_timeout)?;
        for (option, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
            // "name" is a column and never a text, as in PostgreSQL.
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        ] {
            connection.set_db_config(option, on)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        functions::register(&connection)?;
        connection.pragma_update_and_check(None, "hard_heap_limit", MAX_HEAP, |_| Ok(()))?;
        match role {
            Role::Writer => {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                let synchronous = match self.durability {
                    Durability::Immediate => "FULL",
                    Durability::Eventual => "NORMAL",
                };
                connection.pragma_update(None, "synchronous", synchronous)?;
            }
            Role::Reader => connection.pragma_update(None, "query_only", true)?,
        }
        // Reads the file: what is no database is found now.
        connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
        Ok(connection)
    }

    fn io(&self, source: io::Error) -> BindingError {
        let (binding, path) = (Arc::clone(&self.binding), self.path.clone());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                BindingError::NoSpace { binding, path, source }
            }
            _ => BindingError::Open { binding, path, source },
        }
    }
}
