//! Opens the database file, and says what is wrong with it where that fails.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use ::redb::{Builder, backends::FileBackend};

use super::{
    database::{Opener, Opening},
    table,
};
use crate::bindings::{BindingError, guard};

/// Bytes of pages kept in memory for each database. The default of redb, 1 GiB, is more than a small machine has;
/// half of this makes a cold read of most values a system call more, the double pays where the working set is larger.
const CACHE: usize = 64 * 1024 * 1024;

/// Opens the file at that path, again after a failure.
pub(super) fn opener(binding: Arc<str>, path: &Path) -> Opener {
    let place = Place { binding, path: path.to_owned() };
    Box::new(move |opening| place.open(opening))
}

/// A database file and whose it is.
struct Place {
    binding: Arc<str>,
    path: PathBuf,
}

impl Place {
    fn open(&self, opening: Opening) -> Result<::redb::Database, BindingError> {
        if opening == Opening::First {
            self.make_directory()?;
        }
        let file = self.open_file(opening)?;
        // redb trusts a file that was closed in order, and may panic where somebody changed it since.
        let opened = guard::catch(|| {
            let database = Builder::new().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?;
            table::create(&database)?;
            Ok(database)
        });
        let database = match opened {
            Ok(database) => database.map_err(|error| self.explain(error))?,
            Err(panic) => return Err(self.damaged(io::Error::other(panic))),
        };
        if opening == Opening::First {
            self.sync_directory()?;
        }
        Ok(database)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn make_directory(&self) -> Result<(), BindingError> {
        DirBuilder::new().recursive(true).mode(0o750).create(self.directory()).map_err(|source| {
            BindingError::Directory { binding: Arc::clone(&self.binding), path: self.directory().to_owned(), source }
        })
    }

    /// Makes a new file survive a power failure under its name.
    fn sync_directory(&self) -> Result<(), BindingError> {
        File::open(self.directory()).and_then(|directory| directory.sync_all()).map_err(|error| self.io(error))
    }

    /// The file, made where there is none yet; a file that went away later is not replaced by an empty one.
    fn open_file(&self, opening: Opening) -> Result<File, BindingError> {
        if let Ok(metadata) = fs::metadata(&self.path)
            && !metadata.is_file()
        {
            let found = if metadata.is_dir() { "a directory" } else { "no regular file" };
            let (binding, path) = (Arc::clone(&self.binding), self.path.clone());
            return Err(BindingError::NotAFile { binding, path, found });
        }
        // The values of guests are nobody else's business.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(opening == Opening::First).mode(0o600);
        options.open(&self.path).map_err(|error| self.io(error))
    }

    fn explain(&self, error: ::redb::Error) -> BindingError {
        match error {
            ::redb::Error::DatabaseAlreadyOpen | ::redb::Error::LockProtocolMismatch => {
                BindingError::AlreadyOpen { binding: Arc::clone(&self.binding), path: self.path.clone() }
            }
            ::redb::Error::Io(error) => self.io(error),
            other => self.damaged(other),
        }
    }

    fn io(&self, source: io::Error) -> BindingError {
        let (binding, path) = (Arc::clone(&self.binding), self.path.clone());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                BindingError::NoSpace { binding, path, source }
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => self.damaged(source),
            _ => BindingError::Open { binding, path, source },
        }
    }

    fn damaged(&self, source: impl std::error::Error + Send + Sync + 'static) -> BindingError {
        BindingError::Damaged { binding: Arc::clone(&self.binding), path: self.path.clone(), source: source.into() }
    }
}
