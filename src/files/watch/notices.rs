//! The kernel's notices of changes, and where there are none. No other file names notify.
//!
//! Directories are watched, never files and never what is below: a rename over a file, or a link that is set anew, is a
//! change of the directory. One directory has one watch, however many paths lead to it: the kernel would tell of one of
//! them only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, ModifyKind, RenameMode},
};
use tracing::{info, warn};

use super::{
    inbox::{Hint, Inbox},
    kinds::silent_kind,
};

/// A directory itself, whatever paths lead to it: file system and number.
type Identity = (u64, u64);

/// Begins to listen to the kernel.
type Listen = fn(Arc<Inbox>) -> notify::Result<RecommendedWatcher>;

/// The directories that are watched or polled.
pub(super) struct Notices {
    inbox: Arc<Inbox>,
    listen: Listen,
    /// Begun when the first directory is watched; none where the kernel refuses.
    kernel: Option<RecommendedWatcher>,
    /// The path by which each directory is watched, and all paths of it that are wanted.
    watched: HashMap<Identity, Watched>,
    /// Directories of which the kernel tells nothing.
    polled: BTreeSet<PathBuf>,
    /// Of which the log has said so already.
    said: HashSet<PathBuf>,
    /// Whether the log has said that the kernel's limit is reached.
    limit_said: bool,
}

#[derive(Debug)]
struct Watched {
    by: PathBuf,
    paths: Vec<PathBuf>,
}

impl Notices {
    /// Nothing is watched yet. Notices will go to `inbox`.
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self::with(inbox, |inbox| notify::recommended_watcher(move |event| tell(&inbox, event)))
    }

    fn with(inbox: Arc<Inbox>, listen: Listen) -> Self {
        Self {
            inbox,
            listen,
            kernel: None,
            watched: HashMap::new(),
            polled: BTreeSet::new(),
            said: HashSet::new(),
            limit_said: false,
        }
    }

    /// Watches exactly these directories, whose paths have no links in them. Gives those whose watch began just now:
    /// what happened in them before is unknown.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut groups: BTreeMap<Identity, Vec<PathBuf>> = BTreeMap::new();
        for path in wanted {
            // What is gone by now is found missing in the next look at what needed it.
            if let Ok(facts) = fs::metadata(path) {
                groups.entry((facts.dev(), facts.ino())).or_default().push(path.clone());
            }
        }
        let ended: Vec<_> = self
            .watched
            .iter()
            .filter(|(identity, watched)| !groups.get(*identity).is_some_and(|paths| paths.contains(&watched.by)))
            .map(|(identity, _)| *identity)
            .collect();
        for identity in ended {
            self.unwatch(identity);
        }
        self.polled.retain(|path| wanted.contains(path));
        let mut begun = BTreeSet::new();
        for (identity, paths) in groups {
            if let Some(watched) = self.watched.get_mut(&identity) {
                watched.paths = paths;
            } else if paths.iter().any(|path| self.polled.contains(path)) {
                self.polled.extend(paths);
            } else if self.watch(identity, &paths) {
                begun.extend(paths);
            }
        }
        begun
    }

    /// Watches nothing, and polls exactly these directories.
    pub(super) fn poll_only(&mut self, wanted: BTreeSet<PathBuf>) {
        self.watched.clear();
        self.kernel = None;
        self.polled = wanted;
    }

    /// Watches exactly these directories, and asks for every watch again: one may have ended without a notice, and one
    /// that was refused may be granted now.
    pub(super) fn renew(&mut self, wanted: &BTreeSet<PathBuf>) {
        self.polled.clear();
        let begun = self.follow(wanted);
        let others: Vec<_> = self.watched.iter().map(|(identity, watched)| (*identity, watched.by.clone())).collect();
        for (identity, by) in others {
            if !begun.contains(&by) && self.ask_kernel(&by).is_err() {
                self.unwatch(identity);
            }
        }
        // Those that were refused are polled from now on.
        self.follow(wanted);
    }

    /// Whether the kernel tells nothing of a directory.
    pub(super) fn is_polled(&self, directory: &Path) -> bool {
        self.polled.contains(directory)
    }

    /// Whether any directory is polled.
    pub(super) fn polls(&self) -> bool {
        !self.polled.is_empty()
    }

    /// All wanted paths of what a notice names, and the watched directories that it may itself be.
    ///
    /// The watches of the latter end here, because the path may mean another directory now.
    pub(super) fn meant(&mut self, path: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut paths = vec![path.to_owned()];
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            let aliases =
                self.watched.values().filter(|watched| watched.by == parent).flat_map(|watched| &watched.paths);
            paths.extend(aliases.filter(|alias| *alias != parent).map(|alias| alias.join(name)));
        }
        let itself = self.watched.iter().find(|(_, watched)| watched.by == path).map(|(identity, _)| *identity);
        let directories = itself.and_then(|identity| self.unwatch(identity)).map(|watched| watched.paths);
        (paths, directories.unwrap_or_default())
    }

    fn unwatch(&mut self, identity: Identity) -> Option<Watched> {
        let watched = self.watched.remove(&identity)?;
        if let Some(kernel) = &mut self.kernel {
            // It fails where the kernel has ended the watch with its directory.
            kernel.unwatch(&watched.by).ok();
        }
        Some(watched)
    }

    /// Begins a watch, or notes that these paths are polled. `false`: no watch began.
    fn watch(&mut self, identity: Identity, paths: &[PathBuf]) -> bool {
        let Some(by) = paths.first() else { return false };
        match silent_kind(by) {
            Ok(None) => {}
            Ok(Some(kind)) => {
                if self.said.insert(by.clone()) {
                    info!(directory = %by.display(), kind, "directory is polled: its file system does not tell of changes");
                }
                self.polled.extend(paths.iter().cloned());
                return false;
            }
            // It went away: whoever needs it finds it missing.
            Err(_) => return false,
        }
        match self.ask_kernel(by) {
            Ok(()) => {
                self.watched.insert(identity, Watched { by: by.clone(), paths: paths.to_vec() });
                true
            }
            Err(error) => {
                if !matches!(error.kind, notify::ErrorKind::PathNotFound) {
                    self.say(by, &error);
                    self.polled.extend(paths.iter().cloned());
                }
                false
            }
        }
    }

    fn ask_kernel(&mut self, directory: &Path) -> notify::Result<()> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert((self.listen)(Arc::clone(&self.inbox))?),
        };
        kernel.watch(directory, RecursiveMode::NonRecursive)
    }

    /// Says once that a directory is polled.
    fn say(&mut self, directory: &Path, error: &notify::Error) {
        let limit = matches!(&error.kind, notify::ErrorKind::MaxFilesWatch)
            || matches!(&error.kind, notify::ErrorKind::Io(error) if is_limit(error));
        let directory_name = directory.display();
        if limit {
            if !std::mem::replace(&mut self.limit_said, true) {
                warn!(
                    directory = %directory_name,
                    "directories are polled: the kernel's limit of watches is reached; raise the sysctls \
                     fs.inotify.max_user_watches and fs.inotify.max_user_instances"
                );
            }
        } else if self.said.insert(directory.to_owned()) {
            warn!(directory = %directory_name, %error, "directory is polled: it cannot be watched");
        }
    }
}

/// Whether the kernel has no more watches, or no more of what holds them.
fn is_limit(error: &io::Error) -> bool {
    [libc::ENOSPC, libc::EMFILE, libc::ENFILE, libc::ENOMEM].map(Some).contains(&error.raw_os_error())
}

/// Passes on what the kernel says. Runs on notify's thread.
fn tell(inbox: &Inbox, event: notify::Result<Event>) {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Notices were lost, or may have been.
        Ok(_) | Err(_) => return inbox.tell(|letters| letters.everything = true),
    };
    let hint = match event.kind {
        // Opening and reading change nothing, and our own reading must not make us look again.
        EventKind::Access(AccessKind::Open(_) | AccessKind::Read) => return,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Renamed,
        // It follows after the two that it is made of.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Hint::Content,
        _ => Hint::Other,
    };
    for path in event.paths {
        inbox.notice(path, hint);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn directories(paths: &[&Path]) -> BTreeSet<PathBuf> {
        paths.iter().map(|path| path.to_path_buf()).collect()
    }

    #[test]
    fn local_directories_are_watched_and_silent_ones_are_polled() {
        let dir = tempfile::tempdir().unwrap();
        let mut notices = Notices::new(Arc::default());
        let wanted = directories(&[dir.path(), Path::new("/proc"), Path::new("/not/here")]);
        assert_eq!(notices.follow(&wanted), directories(&[dir.path()]));
        assert!(notices.is_polled(Path::new("/proc")));
        assert!(!notices.is_polled(dir.path()));
        assert_eq!(notices.follow(&wanted), directories(&[]), "it is watched already");
        notices.renew(&wanted);
        assert_eq!(notices.watched.len(), 1);
        assert!(notices.polls());
        notices.follow(&directories(&[]));
        assert!(notices.watched.is_empty() && !notices.polls());
    }

    #[test]
    fn every_directory_is_polled_where_the_kernel_grants_no_watch_until_it_does() {
        let refusals: [Listen; 3] = [
            |_| Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)),
            |_| Err(notify::Error::io(io::Error::from_raw_os_error(libc::EMFILE))),
            |_| Err(notify::Error::generic("refused")),
        ];
        for refusal in refusals {
            let dir = tempfile::tempdir().unwrap();
            let wanted = directories(&[dir.path()]);
            let mut notices = Notices::with(Arc::default(), refusal);
            for _ in 0..2 {
                assert_eq!(notices.follow(&wanted), directories(&[]));
                assert!(notices.is_polled(dir.path()));
            }
            notices.listen = Notices::new(Arc::default()).listen;
            notices.renew(&wanted);
            assert!(!notices.is_polled(dir.path()));
            assert_eq!(notices.watched.len(), 1);
        }
    }

    #[test]
    fn a_notice_of_the_directory_itself_ends_its_watch_so_that_it_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut notices = Notices::new(Arc::default());
        let wanted = directories(&[dir.path()]);
        notices.follow(&wanted);
        let inside = dir.path().join("a");
        assert_eq!(notices.meant(&inside), (vec![inside], vec![]));
        assert_eq!(notices.meant(dir.path()), (vec![dir.path().to_owned()], vec![dir.path().to_owned()]));
        assert_eq!(notices.follow(&wanted), wanted);
    }

    #[test]
    fn reading_is_no_change_and_a_lost_notice_means_everything() {
        use notify::event::{AccessMode, CreateKind, DataChange, Flag};

        let event = |kind| Ok(Event::new(kind).add_path("/a".into()));
        let table = [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), None),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), Some(false)),
            (EventKind::Create(CreateKind::File), Some(false)),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), Some(false)),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), Some(false)),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), Some(true)),
        ];
        let inbox = Inbox::default();
        let now = || Some(std::time::Instant::now());
        for (kind, renamed) in table {
            tell(&inbox, event(kind));
            assert_eq!(inbox.take(now()).noticed.get(Path::new("/a")).copied(), renamed, "{kind:?}");
        }
        for lost in [Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), Err(notify::Error::generic("lost"))] {
            tell(&inbox, lost);
            assert!(inbox.take(now()).everything);
        }
    }
}
