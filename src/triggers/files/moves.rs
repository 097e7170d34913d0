//! Moving a file out of its inbox: only the file that was processed, never over another one, and never to another file system.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
    time::SystemTime,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, unlinkat},
    io::Errno,
};
use thiserror::Error;

use super::{
    inbox::{DONE, FAILED, Inbox},
    names,
};
use crate::files::{fingerprint::Fingerprint, open::facts_at, read::is_being_written_at};

/// Where a file goes.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// Into `done`.
    Done,
    /// Away, since it was done.
    Nowhere,
    /// Into `failed`, with this text beside it.
    Failed(String),
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It is there now.
    To(PathBuf),
    /// It was removed.
    Removed,
    /// It is not what was processed: it stays.
    Changed,
    /// Somebody else took it away.
    Gone,
}

/// Why a file cannot be moved away.
#[derive(Debug, Error)]
pub(super) enum MoveError {
    /// The inbox, or the directory in it, cannot be opened or made.
    #[error("cannot use the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file cannot be looked at, renamed or removed.
    #[error("cannot move the file to `{}`", to.display())]
    Move {
        /// Where it should go.
        to: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The error of a file that failed cannot be written.
    #[error("cannot write the error to `{}`", path.display())]
    Text {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Every name that was tried is taken.
    #[error("every name that was tried in `{}` is taken", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
}

/// Moves the file of that name away, if it is still the one that was processed.
///
/// Between the comparison and the rename another file may take its name, so what was renamed is compared once more, and goes
/// back if it is another one. What somebody writes into the file itself after the comparison, having it open at that moment,
/// goes along unseen.
///
/// # Errors
/// It cannot be moved: it is where it was.
pub(super) fn away(inbox: &Inbox, name: &OsStr, state: &Fingerprint, goal: &Goal) -> Result<Moved, MoveError> {
    let inner = if matches!(goal, Goal::Failed(_)) { FAILED } else { DONE };
    let directory = |path: PathBuf| move |source| MoveError::Directory { path, source };
    let from = match inbox.open() {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
        Err(error) => return Err(directory(inbox.path.clone())(error)),
    };
    let to = inbox.join(inner, name);
    match facts_at(&from, name).map_err(|source| MoveError::Move { to, source })? {
        None => return Ok(Moved::Gone),
        Some(facts) if Fingerprint::of(&facts) != *state => return Ok(Moved::Changed),
        Some(_) if is_being_written_at(&from, name) => return Ok(Moved::Changed),
        Some(_) => {}
    }
    let to = Inbox::open_inner(&from, inner).map_err(directory(inbox.path.join(inner)))?;
    let journey = Journey { inbox, inner, from: &from, to: &to, name, state };
    match goal {
        Goal::Done => journey.keep(None),
        Goal::Failed(text) => journey.keep(Some(text)),
        Goal::Nowhere => journey.remove(),
    }
}

struct Journey<'j> {
    inbox: &'j Inbox,
    inner: &'static str,
    from: &'j File,
    to: &'j File,
    name: &'j OsStr,
    state: &'j Fingerprint,
}

impl Journey<'_> {
    /// Keeps it under the first name that is free, the text included, which is there before the file.
    fn keep(&self, text: Option<&str>) -> Result<Moved, MoveError> {
        for name in names::candidates(self.name, SystemTime::now()) {
            let beside = text.map(|_| names::with(&name, names::ERROR));
            if let (Some(text), Some(beside)) = (text, &beside)
                && !self.write(beside, text)?
            {
                continue;
            }
            let moved = self.rename(&name);
            if let (Some(beside), false) = (&beside, matches!(moved, Ok(Some(Moved::To(_))))) {
                self.forget(beside);
            }
            match moved {
                Ok(Some(moved)) => return Ok(moved),
                Ok(None) => {}
                Err(source) => return Err(MoveError::Move { to: self.inbox.join(self.inner, &name), source }),
            }
        }
        Err(MoveError::Taken { path: self.inbox.path.join(self.inner) })
    }

    /// Removes it by way of a hidden name, so that what is removed is what was compared.
    fn remove(&self) -> Result<Moved, MoveError> {
        let hidden = names::hidden(self.name, SystemTime::now());
        let failed = |source| MoveError::Move { to: self.inbox.join(self.inner, &hidden), source };
        match self.rename(&hidden).map_err(failed)? {
            Some(Moved::To(_)) => {
                unlinkat(self.to, &hidden, AtFlags::empty()).map_err(|error| failed(error.into()))?;
                Ok(Moved::Removed)
            }
            Some(other) => Ok(other),
            None => Err(MoveError::Taken { path: self.inbox.path.join(self.inner) }),
        }
    }

    /// Renames the file; `None`: that name is taken.
    fn rename(&self, to: &OsStr) -> io::Result<Option<Moved>> {
        match rename_new(self.from, self.name, self.to, to) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(Errno::NOENT) => return Ok(Some(Moved::Gone)),
            Err(error) => return Err(error.into()),
        }
        let same = |facts: &std::fs::Metadata| {
            // Renaming it has changed the time of its last change of any kind.
            let is = Fingerprint { ctime_ns: self.state.ctime_ns, ..Fingerprint::of(facts) };
            facts.is_file() && is == *self.state
        };
        if facts_at(self.to, to)?.is_none_or(|facts| same(&facts)) {
            return Ok(Some(Moved::To(self.inbox.join(self.inner, to))));
        }
        // It took the name a moment ago, and another one may have taken it since.
        for back in names::candidates(self.name, SystemTime::now()) {
            match rename_new(self.to, to, self.from, &back) {
                Err(Errno::EXIST) => {}
                back => return Ok(back.map(|()| Some(Moved::Changed))?),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Writes the text to a new file; `false`: there is one.
    fn write(&self, beside: &OsString, text: &str) -> Result<bool, MoveError> {
        let failed = |source| MoveError::Text { path: self.inbox.join(self.inner, beside), source };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(self.to, beside, flags, Mode::from_raw_mode(0o640)) {
            Ok(file) => file,
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(failed(error.into())),
        };
        let written = File::from(file).write_all(text.as_bytes());
        if written.is_err() {
            self.forget(beside);
        }
        written.map(|()| true).map_err(failed)
    }

    /// Removes a text whose file did not come.
    fn forget(&self, beside: &OsString) {
        // Where that fails, a text is left that says why a file failed which is still there: it misleads nobody for long.
        unlinkat(self.to, beside, AtFlags::empty()).ok();
    }
}

/// Renames to a name that is not there.
fn rename_new(from: &File, name: &OsStr, to: &File, new: &OsStr) -> Result<(), Errno> {
    match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // The file system cannot; nobody but us makes names in these directories as a rule.
        Err(Errno::INVAL | Errno::NOSYS) => match facts_at(to, new) {
            Ok(None) => renameat(from, name, to, new),
            Ok(Some(_)) => Err(Errno::EXIST),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        },
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::{collections::BTreeSet, fs};

    use super::*;

    fn inbox() -> (tempfile::TempDir, Inbox) {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox { path: dir.path().join("in") };
        inbox.make().unwrap();
        (dir, inbox)
    }

    fn drop_in(inbox: &Inbox, name: &str, content: &str) -> Fingerprint {
        let path = inbox.path.join(name);
        fs::write(&path, content).unwrap();
        Fingerprint::at(&path).unwrap().unwrap()
    }

    fn kept(inbox: &Inbox, inner: &str) -> BTreeSet<String> {
        fs::read_dir(inbox.path.join(inner))
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect()
    }

    #[test]
    fn nothing_is_overwritten_where_names_are_taken() {
        let (_dir, inbox) = inbox();
        for content in ["one", "two", "three"] {
            let state = drop_in(&inbox, "a", content);
            assert!(matches!(away(&inbox, OsStr::new("a"), &state, &Goal::Done).unwrap(), Moved::To(_)));
            let state = drop_in(&inbox, "a", content);
            let goal = Goal::Failed(format!("error {content}"));
            let Moved::To(path) = away(&inbox, OsStr::new("a"), &state, &goal).unwrap() else { unreachable!() };
            let beside = path.with_file_name(names::with(path.file_name().unwrap(), names::ERROR));
            assert_eq!(fs::read_to_string(beside).unwrap(), format!("error {content}"));
        }
        assert_eq!(kept(&inbox, DONE), ["one", "two", "three"].map(str::to_owned).into());
        assert_eq!(kept(&inbox, FAILED).len(), 6);
    }

    #[test]
    fn a_file_called_as_the_error_of_another_does_not_take_its_place() {
        let (_dir, inbox) = inbox();
        for name in ["a.error", "a"] {
            let state = drop_in(&inbox, name, name);
            away(&inbox, OsStr::new(name), &state, &Goal::Failed(format!("why {name}"))).unwrap();
        }
        assert_eq!(kept(&inbox, FAILED), ["a", "a.error", "why a", "why a.error"].map(str::to_owned).into());
    }

    #[test]
    fn what_is_not_what_was_processed_stays() {
        let (_dir, inbox) = inbox();
        let name = OsStr::new("a");
        let state = drop_in(&inbox, "a", "old");
        drop_in(&inbox, "a", "newer");
        for goal in [Goal::Done, Goal::Nowhere, Goal::Failed(String::new())] {
            assert_eq!(away(&inbox, name, &state, &goal).unwrap(), Moved::Changed);
        }
        let state = drop_in(&inbox, "a", "newest");
        let writer = File::options().append(true).open(inbox.path.join("a")).unwrap();
        assert_eq!(away(&inbox, name, &state, &Goal::Done).unwrap(), Moved::Changed, "somebody is about to write");
        drop(writer);
        assert_eq!(away(&inbox, name, &state, &Goal::Nowhere).unwrap(), Moved::Removed);
        assert_eq!(away(&inbox, name, &state, &Goal::Done).unwrap(), Moved::Gone);
        assert!(kept(&inbox, DONE).is_empty() && kept(&inbox, FAILED).is_empty());
    }

    #[test]
    fn what_took_the_name_at_the_last_moment_comes_back() {
        let (_dir, inbox) = inbox();
        let state = drop_in(&inbox, "a", "old");
        drop_in(&inbox, "b", "another");
        fs::rename(inbox.path.join("b"), inbox.path.join("a")).unwrap();
        let (from, to) = (inbox.open().unwrap(), Inbox::open_inner(&inbox.open().unwrap(), DONE).unwrap());
        let name = OsStr::new("a");
        let journey = Journey { inbox: &inbox, inner: DONE, from: &from, to: &to, name, state: &state };
        assert_eq!(journey.keep(None).unwrap(), Moved::Changed);
        assert_eq!(fs::read_to_string(inbox.path.join("a")).unwrap(), "another");
        assert!(kept(&inbox, DONE).is_empty());
    }

    #[test]
    fn without_its_directory_a_file_stays_and_a_link_is_no_directory() {
        let (dir, inbox) = inbox();
        let state = drop_in(&inbox, "a", "content");
        fs::remove_dir(inbox.path.join(FAILED)).unwrap();
        fs::remove_dir(inbox.path.join(DONE)).unwrap();
        fs::write(inbox.path.join(FAILED), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), inbox.path.join(DONE)).unwrap();
        for goal in [Goal::Done, Goal::Failed(String::new())] {
            assert!(matches!(away(&inbox, OsStr::new("a"), &state, &goal), Err(MoveError::Directory { .. })));
        }
        assert!(inbox.path.join("a").exists());
        fs::remove_file(inbox.path.join(DONE)).unwrap();
        assert!(matches!(away(&inbox, OsStr::new("a"), &state, &Goal::Done).unwrap(), Moved::To(_)), "it is made anew");
    }
}
