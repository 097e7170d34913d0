//! What somebody wants to hear of.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{route::Route, settle::Settling};
use crate::files::{fingerprint::Fingerprint, names::is_temporary};

/// A path of which every change is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The path; absolute. Reports name it as it is given here.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: TargetKind,
}

/// What a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// One file, which may be missing.
    File {
        /// The state that is known already; `None`: a file that is there is reported.
        seen: Option<Fingerprint>,
    },
    /// A directory, which may be missing: each matching file in it is reported by its own path, and so are those that are
    /// there when the target is set.
    Directory {
        /// Endings of the names that match, without the dot.
        extensions: Vec<&'static str>,
    },
    /// A directory, which may be missing, whose entries somebody else looks at: each path in it of which there is something
    /// to see is told, with no regard to whether it rests, and the directory itself where everything in it is to be looked at.
    Inbox,
}

/// A file that is looked at.
#[derive(Debug)]
pub(super) struct File {
    /// Whether it is a target itself, instead of an entry of one.
    pub(super) is_target: bool,
    pub(super) route: Route,
    pub(super) settling: Settling,
    /// When it is to be looked at in any case.
    pub(super) due: Option<std::time::Instant>,
}

impl File {
    /// Nobody has looked at it yet.
    pub(super) fn new(path: &Path, is_target: bool, seen: Option<Fingerprint>) -> Self {
        Self { is_target, route: Route::trace(path), settling: Settling::new(seen), due: None }
    }
}

/// A directory whose entries are looked at.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) wanted: Wanted,
    pub(super) route: Route,
    /// Whether the log has said that it cannot be listed.
    pub(super) said: bool,
}

/// Which entries of a directory are of interest.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Those with these endings, which are looked at until they rest.
    Endings(Vec<&'static str>),
    /// All that are finished by their names, which are only told of.
    All,
}

impl Directory {
    /// Nobody has looked at it yet.
    pub(super) fn new(path: &Path, wanted: Wanted) -> Self {
        Self { wanted, route: Route::trace(path), said: false }
    }

    /// Whether its entries are looked at by somebody else.
    pub(super) fn is_inbox(&self) -> bool {
        matches!(self.wanted, Wanted::All)
    }

    /// Whether a file of this name is told of.
    pub(super) fn matches(&self, name: &OsStr) -> bool {
        let fits = match &self.wanted {
            Wanted::Endings(extensions) => {
                let extension = Path::new(name).extension().and_then(OsStr::to_str);
                extension.is_some_and(|extension| extensions.contains(&extension))
            }
            Wanted::All => !name.is_empty(),
        };
        fits && !is_temporary(name)
    }

    /// The paths below `path` that match now; none where the directory is missing.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if self.matches(&name) {
                paths.push(path.join(name));
            }
        }
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_match_by_their_ending_and_temporary_ones_do_not() {
        let directory = Directory::new(Path::new("/nowhere"), Wanted::Endings(vec!["wasm", "toml"]));
        for name in ["a.wasm", "a.toml", "A b.wasm", "a.b.wasm"] {
            assert!(directory.matches(OsStr::new(name)), "{name}");
        }
        for name in ["a", "wasm", ".wasm", ".a.wasm", "a.wasm~", "a.wasm.part", "a.wasm.tmp", "a.WASM", "a.txt", ""] {
            assert!(!directory.matches(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn an_inbox_is_told_of_every_name_that_is_not_temporary() {
        let inbox = Directory::new(Path::new("/nowhere"), Wanted::All);
        for name in ["a", "wasm", "A b.txt", "a.b", "done"] {
            assert!(inbox.matches(OsStr::new(name)), "{name}");
        }
        for name in [".a", "a~", "a.part", "a.tmp", ""] {
            assert!(!inbox.matches(OsStr::new(name)), "{name}");
        }
    }
}
