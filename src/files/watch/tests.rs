//! The watcher as a whole, with real files: by the kernel's notices, and by polling alone. Each kind of change ends in the
//! right last report in time, and the file is whole then.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{Notice, Target, TargetKind, Watcher};
use crate::{
    config::{Watch, WatchMode},
    files::{fingerprint::Fingerprint, read::read_settled},
};

/// Long beside the moments at which a busy machine does not run a test, so that two acts of a test are one change.
const SETTLE: Duration = Duration::from_millis(500);

/// Far below the 30 s of a scan: what comes within it came by a notice or a poll. Machines that run tests may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a busy machine may add to the time in which a change is to be told.
const SLACK: Duration = Duration::from_secs(10);

/// Long enough for a second report to show itself.
const QUIET: Duration = Duration::from_millis(1_500);

fn settings(mode: WatchMode) -> Watch {
    Watch { mode, settle: SETTLE, poll: Duration::from_millis(100), config: false }
}

/// A watcher and what it has told.
struct Watching {
    watcher: Watcher,
    notices: mpsc::Receiver<Notice>,
    /// How often each path was reported, and its last state.
    reports: BTreeMap<PathBuf, (usize, Option<Fingerprint>)>,
    /// How long this thread was to pause.
    paused: Duration,
}

impl Watching {
    fn start(mode: WatchMode, targets: Vec<Target>) -> Self {
        let (sender, notices) = mpsc::channel();
        let watcher = Watcher::start(settings(mode), move |notice| sender.send(notice).unwrap_or_default()).unwrap();
        watcher.set(targets);
        Self { watcher, notices, reports: BTreeMap::new(), paused: Duration::ZERO }
    }

    fn take(&mut self, wait: Duration) -> Option<PathBuf> {
        let (path, file) = match self.notices.recv_timeout(wait).ok()? {
            Notice::Settled { path, file } => (path, file),
            Notice::Stirred { path } => (path, None),
        };
        let report = self.reports.entry(path.clone()).or_default();
        *report = (report.0 + 1, file);
        Some(path)
    }

    /// Waits until `done`, and gives how long that took.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            let left = DEADLINE.checked_sub(start.elapsed());
            assert!(left.is_some(), "{what}: not within {DEADLINE:?}; reported: {:#?}", self.reports);
            self.take(left.unwrap_or_default());
        }
        start.elapsed()
    }

    /// Waits until the last report of a path is its present state.
    fn settled(&mut self, what: &str, path: &Path) -> Duration {
        self.until(what, |this| this.reports.get(path).map(|report| report.1) == Some(Fingerprint::at(path).unwrap()))
    }

    /// Nothing is told for a while.
    fn quiet(&mut self, what: &str) {
        let told = self.take(QUIET);
        assert_eq!(told, None, "{what}: reported: {:#?}", self.reports);
    }

    /// Lets the watcher work for a moment, as time between two acts of somebody else.
    fn pause(&mut self, pause: Duration) {
        self.paused += pause;
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.take(left);
        }
    }

    fn count(&self, path: &Path) -> usize {
        self.reports.get(path).map_or(0, |report| report.0)
    }

    /// Forgets the reports so far.
    fn begin(&mut self) {
        self.reports.clear();
    }
}

fn file(path: &Path, seen: Option<Fingerprint>) -> Target {
    Target { path: path.to_owned(), kind: TargetKind::File { seen } }
}

fn directory(path: &Path) -> Target {
    Target { path: path.to_owned(), kind: TargetKind::Directory { extensions: vec!["wasm", "toml"] } }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Lets the file system's clock tick, so that the next change can be told from the one before.
fn tick(path: &Path) {
    let probe = path.parent().unwrap().join(".tick");
    fs::write(&probe, "").unwrap();
    let first = Fingerprint::at(&probe).unwrap().unwrap().mtime_ns;
    while Fingerprint::at(&probe).unwrap().unwrap().mtime_ns == first {
        fs::write(&probe, "").unwrap();
    }
}

const MODES: [WatchMode; 2] = [WatchMode::Auto, WatchMode::Poll];

/// A change of `dir/a.wasm`, which contains `old` before; gives what it contains afterwards, or none.
type Change = fn(&mut Watching, &Path) -> Option<&'static str>;

const CHANGES: &[(&str, Change)] = &[
    ("rewritten in place", |_, path| {
        fs::write(path, "new").unwrap();
        Some("new")
    }),
    ("renamed over", |_, path| {
        let other = path.with_extension("wasm.tmp");
        fs::write(&other, "new").unwrap();
        fs::rename(other, path).unwrap();
        Some("new")
    }),
    ("deleted", |_, path| {
        fs::remove_file(path).unwrap();
        None
    }),
    ("deleted and created", |_, path| {
        fs::remove_file(path).unwrap();
        fs::write(path, "new").unwrap();
        Some("new")
    }),
    ("touched", |_, path| {
        File::open(path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        Some("old")
    }),
    ("given another mode", |_, path| {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        Some("old")
    }),
    ("given a second name", |watching, path| {
        fs::hard_link(path, path.with_extension("other")).unwrap();
        // The kernel tells of the new name only. The file's content is the same: a scan is soon enough.
        watching.watcher.overflow();
        Some("old")
    }),
    ("replaced by a hard link", |_, path| {
        let other = path.with_extension("other");
        fs::write(&other, "new").unwrap();
        fs::remove_file(path).unwrap();
        fs::hard_link(other, path).unwrap();
        Some("new")
    }),
    ("replaced by a link", |_, path| {
        fs::write(path.with_extension("other"), "new").unwrap();
        let link = path.with_extension("link");
        symlink("a.other", &link).unwrap();
        fs::rename(link, path).unwrap();
        Some("new")
    }),
    ("written twice quickly", |_, path| {
        fs::write(path, "ne").unwrap();
        fs::write(path, "new").unwrap();
        Some("new")
    }),
    ("written in pieces, closed at the end", |watching, path| {
        let mut writer = File::create(path).unwrap();
        for piece in ["n", "e", "w"] {
            writer.write_all(piece.as_bytes()).unwrap();
            watching.pause(SETTLE * 3);
        }
        assert_eq!(watching.count(path), 0, "reported before it was closed");
        Some("new")
    }),
    ("written in pieces, closed after each", |watching, path| {
        fs::write(path, "").unwrap();
        for piece in ["n", "e", "w"] {
            append(path, piece);
            watching.pause(SETTLE / 10);
        }
        Some("new")
    }),
];

/// Makes each change to a new file that is watched, as `target` says it is, and checks the last report. All at once.
fn each_change(mode: WatchMode, target: impl Fn(&Path) -> Target + Sync) {
    let target = &target;
    std::thread::scope(|scope| {
        for (what, change) in CHANGES {
            scope.spawn(move || one_change(&format!("{what}, {mode:?}"), mode, target, *change));
        }
    });
}

fn one_change(what: &str, mode: WatchMode, target: impl Fn(&Path) -> Target, change: Change) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "old").unwrap();
    let mut watching = Watching::start(mode, vec![target(&path)]);
    watching.settled(what, &path);
    watching.begin();
    tick(&path);
    let began = Instant::now();
    let expected = change(&mut watching, &path);
    // Where the machine does something else in the midst of a change of several steps, the file has rested between two.
    let rested = began.elapsed().saturating_sub(watching.paused) >= SETTLE / 2;
    let took = watching.settled(what, &path);
    assert!(took < SETTLE * 4 + settings(mode).poll + SLACK, "{what}: told after {took:?}");
    let content = read_settled(&path, 100).ok().map(|read| String::from_utf8(read.bytes).unwrap());
    assert_eq!(content.as_deref(), expected, "{what}");
    watching.quiet(what);
    let told = watching.count(&path);
    assert!(told == 1 || told > 1 && rested, "{what}: told {told} times");
    assert_eq!(watching.reports.len(), 1, "{what}: {:#?}", watching.reports);
}

#[test]
fn each_change_of_a_file_is_told_once_by_notices() {
    each_change(WatchMode::Auto, |path| file(path, None));
}

#[test]
fn each_change_of_a_file_is_told_once_by_polling() {
    each_change(WatchMode::Poll, |path| file(path, None));
}

#[test]
fn each_change_in_a_directory_is_told_once_by_notices() {
    each_change(WatchMode::Auto, |path| directory(path.parent().unwrap()));
}

#[test]
fn each_change_in_a_directory_is_told_once_by_polling() {
    each_change(WatchMode::Poll, |path| directory(path.parent().unwrap()));
}

#[test]
fn what_is_known_already_is_not_told() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        fs::write(&path, "old").unwrap();
        let mut watching = Watching::start(mode, vec![file(&path, Fingerprint::at(&path).unwrap())]);
        watching.quiet("known");
        fs::write(&path, "newer").unwrap();
        watching.settled("changed", &path);
    }
}

#[test]
fn a_rename_into_place_is_told_before_it_would_have_rested() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("a.wasm"), dir.path().join(".new"));
    fs::write(&path, "old").unwrap();
    fs::write(&other, "new").unwrap();
    let mut watching = Watching::start(WatchMode::Auto, vec![file(&path, Fingerprint::at(&path).unwrap())]);
    watching.watcher.configure(Watch { settle: DEADLINE * 2, ..settings(WatchMode::Auto) });
    watching.quiet("known");
    fs::rename(other, &path).unwrap();
    watching.settled("renamed", &path);
}

#[test]
fn a_slow_writer_that_never_rests_is_told_of_at_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    let mut watching = Watching::start(WatchMode::Auto, vec![file(&path, None)]);
    watching.quiet("missing");
    fs::write(&path, "").unwrap();
    let start = Instant::now();
    while watching.count(&path) == 0 {
        append(&path, "x");
        watching.pause(SETTLE / 6);
        assert!(start.elapsed() < DEADLINE, "never told");
    }
    watching.settled("the end", &path);
}

#[test]
fn a_link_that_flips_is_followed_wherever_it_is() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for version in ["1", "2"] {
            fs::create_dir_all(root.join("versions").join(version)).unwrap();
            fs::write(root.join("versions").join(version).join("a.wasm"), version).unwrap();
        }
        symlink("versions/1", root.join("current")).unwrap();
        let path = root.join("current/a.wasm");
        let mut watching = Watching::start(mode, vec![file(&path, None)]);
        watching.settled("first", &path);
        symlink("versions/2", root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
        watching.settled("flipped", &path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
        // The file behind the link is followed from now on, and the one before is not.
        fs::write(root.join("versions/2/a.wasm"), "looked at").unwrap();
        watching.settled("changed behind the link", &path);
        fs::write(root.join("versions/1/a.wasm"), "not looked at").unwrap();
        watching.quiet("changed where no link leads");
        assert_eq!(watching.count(&path), 3);
    }
}

/// As Kubernetes does it: the names are links through `..data`, which is flipped by a rename.
#[test]
fn a_mounted_map_that_flips_its_data_is_told_once_for_each_file() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let version = |number: &str| {
            let versioned = root.join(format!("..2026_{number}"));
            fs::create_dir(&versioned).unwrap();
            for name in ["a.wasm", "b.wasm"] {
                fs::write(versioned.join(name), format!("{name} {number}")).unwrap();
            }
            symlink(versioned.file_name().unwrap(), root.join("..data_tmp")).unwrap();
            fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        };
        version("1");
        let paths = ["a.wasm", "b.wasm"].map(|name| root.join(name));
        for path in &paths {
            symlink(Path::new("..data").join(path.file_name().unwrap()), path).unwrap();
        }
        let mut watching = Watching::start(mode, vec![directory(root)]);
        for path in &paths {
            watching.settled("first", path);
        }
        watching.begin();
        version("2");
        fs::remove_dir_all(root.join("..2026_1")).unwrap();
        for path in &paths {
            watching.settled("flipped", path);
        }
        watching.quiet("all told");
        assert!(paths.iter().all(|path| watching.count(path) == 1), "{:#?}", watching.reports);
        assert_eq!(watching.reports.len(), 2);
    }
}

#[test]
fn five_hundred_files_at_once_are_each_told_once() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let mut watching = Watching::start(mode, vec![directory(dir.path())]);
        watching.quiet("empty");
        let paths: BTreeSet<_> = (0..500).map(|number| dir.path().join(format!("m{number}.wasm"))).collect();
        for path in &paths {
            fs::write(path, "content").unwrap();
        }
        watching.until("all", |this| this.reports.len() == paths.len());
        watching.quiet("all told");
        assert!(paths.iter().all(|path| watching.count(path) == 1), "{mode:?}: {:#?}", watching.reports);
        for path in &paths {
            fs::remove_file(path).unwrap();
        }
        watching.until("all gone", |this| this.reports.values().all(|report| *report == (2, None)));
        watching.quiet("all told");
    }
}

#[test]
fn only_files_with_the_right_names_are_told_of() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let mut watching = Watching::start(mode, vec![directory(dir.path())]);
        for name in [".a.wasm", "a.wasm~", "a.wasm.part", "a.tmp", "a.txt", "a.toml"] {
            fs::write(dir.path().join(name), "content").unwrap();
        }
        watching.settled("the one", &dir.path().join("a.toml"));
        fs::rename(dir.path().join("a.wasm.part"), dir.path().join("a.wasm")).unwrap();
        watching.settled("renamed", &dir.path().join("a.wasm"));
        watching.quiet("the others");
        assert_eq!(watching.reports.len(), 2);
    }
}

#[test]
fn a_directory_that_comes_late_goes_and_comes_again_is_followed() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("not/yet/there");
        let (entry, single) = (deep.join("a.wasm"), deep.join("single.bin"));
        let mut watching = Watching::start(mode, vec![directory(&deep), file(&single, None)]);
        watching.quiet("nothing there");
        for round in 0..3 {
            fs::create_dir_all(&deep).unwrap();
            for path in [&entry, &single] {
                fs::write(path, "content").unwrap();
            }
            for path in [&entry, &single] {
                watching.settled(&format!("{mode:?}, {round}: came"), path);
            }
            append(&entry, "more");
            watching.settled(&format!("{mode:?}, {round}: changed"), &entry);
            fs::remove_dir_all(dir.path().join("not")).unwrap();
            for path in [&entry, &single] {
                watching.settled(&format!("{mode:?}, {round}: went"), path);
            }
        }
    }
}

#[test]
fn a_directory_that_is_exchanged_for_another_is_followed() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        for (directory, text) in [(&here, "old"), (&there, "newer")] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("a.wasm"), text).unwrap();
        }
        let path = here.join("a.wasm");
        let mut watching = Watching::start(mode, vec![directory(&here), file(&path, None)]);
        watching.settled("first", &path);
        fs::rename(&here, dir.path().join("away")).unwrap();
        fs::rename(&there, &here).unwrap();
        watching.settled("exchanged", &path);
        append(&path, "more");
        watching.settled("changed after that", &path);
    }
}

#[test]
fn two_paths_to_one_directory_are_both_told_of() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let paths = ["real/a.wasm", "link/a.wasm"].map(|name| dir.path().join(name));
    let mut watching = Watching::start(WatchMode::Auto, paths.iter().map(|path| file(path, None)).collect());
    watching.quiet("nothing there");
    fs::write(&paths[0], "content").unwrap();
    for path in &paths {
        watching.settled("both", path);
    }
}

#[test]
fn what_the_kernel_forgot_to_tell_is_found_after_an_overflow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    // A path that leads to the file by a way that is not watched: the file is changed behind the watched directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let other_name = elsewhere.path().join("b");
    fs::write(&path, "old").unwrap();
    fs::hard_link(&path, &other_name).unwrap();
    let mut watching = Watching::start(WatchMode::Auto, vec![file(&path, None)]);
    watching.settled("first", &path);
    tick(&path);
    append(&other_name, "changed by its other name");
    watching.quiet("the kernel does not tell");
    watching.watcher.overflow();
    watching.settled("after the overflow", &path);
}

#[test]
fn a_path_is_told_of_again_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "content").unwrap();
    let mut watching = Watching::start(WatchMode::Auto, vec![file(&path, None)]);
    watching.settled("first", &path);
    watching.watcher.look_again(path.clone());
    watching.watcher.look_again(dir.path().join("unknown"));
    watching.until("again", |this| this.count(&path) == 2);
    let writer = OpenOptions::new().append(true).open(&path).unwrap();
    watching.watcher.look_again(path.clone());
    watching.quiet("being written");
    drop(writer);
    watching.until("closed", |this| this.count(&path) == 3);
    watching.quiet("all told");
}

#[test]
fn another_set_keeps_what_was_seen_and_ends_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a.wasm", "b.wasm", "c.wasm"].map(|name| dir.path().join(name));
    for path in &paths {
        fs::write(path, "content").unwrap();
    }
    let mut watching = Watching::start(WatchMode::Auto, vec![file(&paths[0], None), file(&paths[1], None)]);
    watching.until("first two", |this| this.reports.len() == 2);
    watching.watcher.set(vec![file(&paths[1], None), file(&paths[2], None)]);
    watching.until("third", |this| this.reports.len() == 3);
    append(&paths[0], "more");
    append(&paths[1], "more");
    watching.settled("still watched", &paths[1]);
    watching.quiet("not watched any more");
    assert_eq!(paths.each_ref().map(|path| watching.count(path)), [1, 2, 1]);
    // Entries of a directory that are known as files are known.
    watching.watcher.set(vec![directory(dir.path())]);
    watching.until("the one that was dropped", |this| this.count(&paths[0]) == 2);
    watching.quiet("the others");
}

#[test]
fn nothing_is_looked_at_where_watching_is_off_and_everything_when_it_is_on_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "content").unwrap();
    let mut watching = Watching::start(WatchMode::Off, vec![directory(dir.path()), file(&path, None)]);
    watching.watcher.look_again(path.clone());
    watching.quiet("off");
    for mode in MODES {
        watching.watcher.configure(settings(mode));
        watching.settled("on", &path);
        watching.watcher.configure(settings(WatchMode::Off));
        watching.quiet("off again");
        append(&path, "more");
        watching.quiet("changed while it is off");
    }
}

#[test]
fn the_thread_ends_with_its_handle() {
    let dir = tempfile::tempdir().unwrap();
    let Watching { watcher, notices, .. } = Watching::start(WatchMode::Auto, vec![directory(dir.path())]);
    drop(watcher);
    assert_eq!(notices.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn an_inbox_is_told_by_the_names_in_it_and_as_a_whole_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("in");
    for mode in [WatchMode::Auto, WatchMode::Poll] {
        let target = Target { path: inbox.clone(), kind: TargetKind::Inbox };
        let mut watching = Watching::start(mode, vec![target]);
        let mut told = |what: &str, path: &Path| {
            watching.reports.clear();
            watching.until(what, |this| this.reports.contains_key(path));
        };
        told("it is told at the start, though it is missing", &inbox);
        fs::create_dir(&inbox).unwrap();
        told("it is told when it comes", &inbox);
        // By its own name where the kernel tells.
        let entry = inbox.join("a");
        let expected = if mode == WatchMode::Auto { &entry } else { &inbox };
        fs::write(inbox.join(".hidden"), "").unwrap();
        fs::write(&entry, "").unwrap();
        told("a file comes", expected);
        fs::remove_file(&entry).unwrap();
        told("a file goes", expected);
        assert!(!watching.reports.contains_key(&inbox.join(".hidden")));
        fs::remove_dir_all(&inbox).unwrap();
    }
}
