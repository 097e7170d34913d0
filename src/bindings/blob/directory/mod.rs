//! The backend in a directory: one file for each object, never touched by a worker.
//!
//! ```text
//!  PATH/modules/NAME/…   PATH/shared/…   PATH/spaces/NAME/…      objects: see `mark` for the names of files
//!  PATH/incoming/…                                               files of puts and copies that are not whole yet
//! ```
//!
//! Not the `LocalFileSystem` of `object_store`: that one follows symbolic links out of its directory, keeps no content types,
//! cannot have `a` beside `a/b` nor list a name that ends in `#1`, does not sync what it deletes, and lists in no order.
//!
//! A file is written and synced in `incoming`, then renamed to its place, whose directory is synced before the answer; it is
//! never changed afterwards. What is left in `incoming` by a process that ended is removed at the next start.

mod disk;
mod list;
mod mark;
mod tree;

use std::{path::Path, sync::Arc};

use tokio::runtime::Handle;

use self::{disk::Disk, tree::Tree};
use super::store::{Command, Outcome, Outcomes, Store, Submitted};
use crate::{
    bindings::{BindingContext, BindingError, Check, Io, io},
    host::{HostCallError, HostErrorKind, chain},
};

/// A directory of objects.
pub(super) struct DirectoryStore {
    work: Arc<Work>,
    disk: Disk,
    io: Handle,
    /// Keeps the threads behind the handle.
    _threads: Io,
}

/// What the threads need.
struct Work {
    name: Arc<str>,
    tree: Tree,
    max_object: u64,
}

impl DirectoryStore {
    /// Opens or creates the directory.
    pub(super) fn open(
        name: Arc<str>,
        path: &Path,
        max_object: u64,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let wrong = |what: &str, source: std::io::Error| BindingError::Backend {
            binding: Arc::clone(&name),
            what: format!("{what} `{}`", path.display()),
            source: source.into(),
        };
        let tree = Tree::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                wrong("lock the directory", std::io::Error::other("another wapcd, or another binding, runs on it"))
            }
            _ => wrong("use the directory", error),
        })?;
        let io = context.io.handle_for(&name)?;
        let disk = Disk::new(Arc::clone(&name));
        Ok(Self { work: Arc::new(Work { name, tree, max_object }), disk, io, _threads: context.io.clone() })
    }
}

impl Store for DirectoryStore {
    fn submit(&self, command: Command) -> Submitted {
        let work = Arc::clone(&self.work);
        let done = io::run(&self.io, self.disk.run(move || work.run(command)));
        let name = Arc::clone(&self.work.name);
        Submitted::Waiting(Box::pin(async move {
            done.await.unwrap_or_else(|ended| {
                let text = format!("binding `{name}` failed at an object");
                Err(HostCallError::with_source(HostErrorKind::Internal, text, ended))
            })
        }))
    }

    fn check(&self) -> Option<Check> {
        let work = Arc::clone(&self.work);
        let done = io::run(&self.io, self.disk.run(move || work.tree.check().map_err(|error| work.failed(error))));
        Some(Box::pin(async move {
            match done.await {
                Ok(outcome) => outcome.map_err(|error| chain(&error)),
                Err(ended) => Err(ended.to_string()),
            }
        }))
    }

    fn stop(&self) {
        self.disk.stop();
        self.work.tree.release();
    }
}

impl Work {
    fn run(&self, command: Command) -> Outcomes {
        let tree = &self.tree;
        match command {
            Command::Put { place, data, only_if_absent, content_type } => {
                let content_type = content_type.as_deref();
                let written = tree.put(&place, &data, content_type, only_if_absent);
                let etag = self.unless(written, std::io::ErrorKind::AlreadyExists, || place.conflict())?;
                Ok(Outcome::Put { etag: Some(etag) })
            }
            Command::Get { place, span } => {
                let object = tree.open_object(&place).map_err(|error| self.failed(error))?;
                let object = object.ok_or_else(|| place.not_found())?;
                let range = span.within(object.facts.size);
                place.check_size(range.end - range.start, self.max_object)?;
                let data = object.read(range).map_err(|error| self.failed(error))?;
                Ok(Outcome::Got { data, facts: object.facts })
            }
            Command::Head(place) => {
                let object = tree.open_object(&place).map_err(|error| self.failed(error))?;
                object.map(|object| Outcome::Head(object.facts)).ok_or_else(|| place.not_found())
            }
            Command::List(page) => tree.list(&page).map(Outcome::Listed).map_err(|error| self.failed(error)),
            Command::Delete(place) => tree.delete(&place).map(Outcome::Deleted).map_err(|error| self.failed(error)),
            Command::Copy { from, to, only_if_absent } => {
                let object = tree.open_object(&from).map_err(|error| self.failed(error))?;
                let object = object.ok_or_else(|| from.not_found())?;
                from.check_size(object.facts.size, self.max_object)?;
                let copied = tree.copy(&object, &to, only_if_absent);
                self.unless(copied, std::io::ErrorKind::AlreadyExists, || to.conflict())?;
                Ok(Outcome::Copied)
            }
        }
    }

    /// An outcome in which one kind of failure is an answer.
    fn unless<T>(
        &self,
        outcome: std::io::Result<T>,
        kind: std::io::ErrorKind,
        answer: impl FnOnce() -> HostCallError,
    ) -> Result<T, HostCallError> {
        outcome.map_err(|error| if error.kind() == kind { answer() } else { self.failed(error) })
    }

    fn failed(&self, error: std::io::Error) -> HostCallError {
        let text = format!("the directory of binding `{}` failed", self.name);
        HostCallError::with_source(HostErrorKind::Unavailable, text, error)
    }
}
