//! Files with secrets: passwords, tokens and private keys. Read as every other file, whole and without ever waiting for what is
//! no file; and whoever lets everybody on the machine read one is told so, once.

use std::{collections::BTreeSet, path::Path};

use parking_lot::Mutex;

use super::read::{ReadError, ReadFile, read_settled};

/// Bytes of a secret at most: certificates with their chains fit, a mistaken path to a large file does not.
pub(crate) const MAX_SECRET: u64 = 1024 * 1024;

/// How often a file is read again at once that changed while it was read: another was put in its place, or its name was
/// removed. One that is being written is no better a moment later.
const TRIES: usize = 3;

/// The permission bits by which everybody may read or write a file.
const EVERYBODY: u32 = 0o006;

/// Files that may be remembered as told. More are configured by nobody, and those would be told again at most.
const TOLD: usize = 4096;

/// Which files were told of, with their modes: connections read passwords again whenever they are made.
static WAS_TOLD: Mutex<BTreeSet<(std::path::PathBuf, u32)>> = Mutex::new(BTreeSet::new());

/// Reads a file that only the daemon should be able to read. Blocks while it is read.
///
/// # Errors
/// As [`read_settled`], with [`MAX_SECRET`] as the limit.
pub(crate) fn read_secret(path: &Path) -> Result<ReadFile, ReadError> {
    let read = read_whole(path)?;
    if is_news(path, read.mode) {
        let mode = format!("{:04o}", read.mode & 0o7777);
        tracing::warn!(file = %path.display(), mode, "everybody on this machine may read or change a file with a secret");
    }
    Ok(read)
}

/// Reads a file that is no secret but belongs to one, such as a certificate.
///
/// # Errors
/// As [`read_secret`].
pub(crate) fn read_whole(path: &Path) -> Result<ReadFile, ReadError> {
    let mut tries = 1..TRIES;
    loop {
        match read_settled(path, MAX_SECRET) {
            Err(ReadError::BeingWritten { .. }) if tries.next().is_some() => {}
            read => return read,
        }
    }
}

/// Whether a file's mode is worth a word that was not said yet.
fn is_news(path: &Path, mode: u32) -> bool {
    if mode & EVERYBODY == 0 {
        return false;
    }
    let mut told = WAS_TOLD.lock();
    if told.len() >= TOLD {
        told.clear();
    }
    told.insert((path.to_owned(), mode))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_mode_that_lets_everybody_in_is_told_once_for_each_file_and_mode() {
        for mode in [0o100_600, 0o100_640, 0o100_660, 0o100_400] {
            assert!(!is_news(Path::new("/told/private"), mode), "{mode:o}");
        }
        assert!(is_news(Path::new("/told/a"), 0o100_644));
        assert!(!is_news(Path::new("/told/a"), 0o100_644));
        assert!(is_news(Path::new("/told/a"), 0o100_666));
        assert!(is_news(Path::new("/told/b"), 0o100_642));
    }

    #[test]
    fn links_are_followed_and_what_is_no_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "s3cret").unwrap();
        fs::set_permissions(at("file"), Permissions::from_mode(0o600)).unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert_eq!(read_secret(&at("link")).unwrap().bytes, b"s3cret");
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink(at("pipe"), at("to-pipe")).unwrap();
        for path in [at("pipe"), at("to-pipe"), "/dev/zero".into(), dir.path().to_owned()] {
            let refused = read_secret(&path).unwrap_err();
            assert!(matches!(refused, ReadError::NotAFile { .. }), "{refused}");
        }
    }
}
