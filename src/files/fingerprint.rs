//! What tells one state of a file from another without reading it.

use std::{fs::Metadata, io, os::unix::fs::MetadataExt as _, path::Path};

/// What tells one state of a file from another without reading it.
///
/// Equal values mean an unchanged file, as far as the file system's clock tells moments apart; the hash of the content
/// decides whether a change matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    /// The file system.
    pub(crate) dev: u64,
    /// The file's number in it.
    pub(crate) ino: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// When the content changed last, in nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// When the content, the owner, the mode or a name changed last, in nanoseconds since 1970.
    pub(crate) ctime_ns: i128,
}

impl Fingerprint {
    /// Takes it from facts that are known.
    pub(crate) fn of(facts: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            dev: facts.dev(),
            ino: facts.ino(),
            size: facts.size(),
            mtime_ns: nanoseconds(facts.mtime(), facts.mtime_nsec()),
            ctime_ns: nanoseconds(facts.ctime(), facts.ctime_nsec()),
        }
    }

    /// Looks at what is at `path`, through symbolic links; `None` where nothing is.
    ///
    /// # Errors
    /// When it cannot be told whether something is there.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(facts) => Ok(Some(Self::of(&facts))),
            // A link whose target is missing is nothing, and so is a name below something that is no directory.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_fingerprint_follows_links_and_differs_after_every_kind_of_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        fs::write(&path, b"content").unwrap();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let first = Fingerprint::at(&link).unwrap().unwrap();
        assert_eq!(Fingerprint::at(&path).unwrap(), Some(first));
        let deadline = Instant::now() + Duration::from_secs(20);
        while Fingerprint::at(&link).unwrap() == Some(first) {
            assert!(Instant::now() < deadline, "a changed mode changes nothing");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(dir.path().join("other"), b"content").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        assert_ne!(Fingerprint::at(&link).unwrap().unwrap().ino, first.ino);
    }
}
