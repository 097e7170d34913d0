//! What can go wrong with a file: at the start, in a transaction, at the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs, io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use ::redb::{StorageBackend, backends::InMemoryBackend};
use bytes::Bytes;
use tokio::sync::oneshot::error::TryRecvError;

use super::{
    super::{
        command::KeysPage,
        key::{Key, Scope},
        operations::Outcome,
        store::Outcomes,
    },
    database::Opening,
    *,
};
use crate::{bindings::testing::call, host::HostErrorKind, host::chain};

/// Bytes of the cache of each database.
pub(super) const CACHE: u64 = 1024 * 1024;

pub(super) fn key(name: &str) -> Key {
    Scope::of(&call("set", b"")).key(name)
}

pub(super) fn set(name: &str, value: &'static [u8], ttl: Option<Duration>) -> Command {
    Write::Set { key: key(name), value: Bytes::from_static(value), ttl, only_if_absent: false }.into()
}

pub(super) fn get(name: &str) -> Command {
    Read::Get(key(name)).into()
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(super) fn run(store: &RedbStore, command: Command) -> Outcomes {
    match store.submit(command, soon()) {
        Submitted::Done(outcome) => outcome,
        Submitted::Waiting(outcome) => outcome.blocking_recv().unwrap(),
        Submitted::Later(_) => panic!("it has no server"),
    }
}

/// The same, if it is answered within a second.
fn run_unless_it_hangs(store: &RedbStore, command: Command) -> Option<Outcomes> {
    let mut outcome = match store.submit(command, soon()) {
        Submitted::Done(outcome) => return Some(outcome),
        Submitted::Waiting(outcome) => outcome,
        Submitted::Later(_) => panic!("it has no server"),
    };
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match outcome.try_recv() {
            Ok(outcome) => return Some(outcome),
            Err(TryRecvError::Empty) if Instant::now() < end => std::thread::yield_now(),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => panic!("nobody answers"),
        }
    }
}

fn open(path: &Path) -> Result<RedbStore, String> {
    RedbStore::open("cache".into(), path, Durability::Immediate, CACHE).map_err(|error| chain(&error))
}

/// Opens a file that was closed: a process that another test has just started may have it open, and locked, for a moment.
fn open_again(path: &Path) -> RedbStore {
    let start = Instant::now();
    loop {
        match open(path) {
            Err(error) if error.contains("is already open") && start.elapsed() < Duration::from_secs(20) => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn keeps_what_was_answered_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = open(&path).unwrap();
    run(&store, set("a", b"1", None)).unwrap();
    store.stop();
    let error = run(&store, get("a")).unwrap_err();
    assert_eq!(error.to_string(), "unavailable: binding `cache` was stopped");
    let store = open_again(&path);
    assert_eq!(run(&store, get("a")).unwrap(), Outcome::Value(Bytes::from_static(b"1")));
}

/// A copy of the file while it is open is what a machine that loses its power leaves behind.
#[test]
fn keeps_what_was_answered_when_it_was_never_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = open(&path).unwrap();
    for round in 0..50 {
        run(&store, set(&format!("k{round}"), b"1", None)).unwrap();
    }
    let copy = directory.path().join("copy.redb");
    fs::copy(&path, &copy).unwrap();
    let copied = open(&copy).unwrap();
    for round in 0..50 {
        run(&copied, get(&format!("k{round}"))).unwrap();
    }
}

#[test]
fn what_was_taken_before_a_stop_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = open(&path).unwrap();
    let answers: Vec<_> = (0..300).map(|n| store.submit(set(&format!("k{n}"), b"1", None), soon())).collect();
    store.stop();
    for answer in answers {
        let Submitted::Waiting(outcome) = answer else { panic!("the queue has room for them") };
        assert_eq!(outcome.blocking_recv().unwrap().unwrap(), Outcome::Done);
    }
    drop(store);
    run(&open_again(&path), get("k299")).unwrap();
}

#[test]
fn a_second_opening_of_the_same_file_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let _store = open(&path).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    let expected = format!("binding `cache`: database `{}` is already open: is another wapcd", path.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn each_kind_of_unusable_path_has_its_own_error() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "text").unwrap();
    fs::write(at("text"), "this is no database\n".repeat(1000)).unwrap();
    fs::write(at("cut"), b"redb\x1A\x0A\xA9\x0D\x0A").unwrap();
    drop(open(&at("good")).unwrap());
    let mut damaged = fs::read(at("good")).unwrap();
    damaged.iter_mut().skip(64).for_each(|byte| *byte ^= 0x5a);
    fs::write(at("damaged"), damaged).unwrap();
    for (path, expected) in [
        (directory.path().to_owned(), "is a directory, expected a file or nothing"),
        (at("file/cache.redb"), "cannot create directory"),
        (at("text"), "is not a keyvalue database, or is damaged"),
        (at("cut"), "is not a keyvalue database, or is damaged"),
        (at("damaged"), "is not a keyvalue database, or is damaged"),
        ("/dev/null".into(), "is no regular file"),
    ] {
        let error = open(&path).map(|_| ()).unwrap_err();
        assert!(error.starts_with("binding `cache`: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_file_that_was_damaged_anywhere_never_ends_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = open(&path).unwrap();
    for n in 0..200 {
        run(&store, set(&format!("k{n}"), &[7; 100], Some(Duration::from_secs(1000 + n)))).unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    for step in 0..60 {
        let mut bad = good.clone();
        let start = step * good.len() / 60;
        bad.iter_mut().skip(start).take(1 + step * 13 % 500).for_each(|byte| *byte ^= 0xa5);
        fs::write(&path, &bad).unwrap();
        if let Ok(store) = open(&path) {
            for n in 0..20 {
                // Good or bad, each is answered.
                run(&store, get(&format!("k{n}"))).err();
                run(&store, set(&format!("k{n}"), b"1", None)).err();
            }
        }
    }
}

#[test]
fn expired_entries_leave_the_file_with_later_writes() {
    let directory = tempfile::tempdir().unwrap();
    let now = Arc::new(std::sync::atomic::AtomicU64::new(1000));
    let clock = Arc::clone(&now);
    let opener = file::opener("cache".into(), &directory.path().join("cache.redb"));
    let store =
        RedbStore::start("cache".into(), opener, Durability::Immediate, CACHE, Arc::new(move || clock.load(SeqCst)))
            .unwrap();
    for n in 0..600 {
        run(&store, set(&format!("k{n:03}"), b"1", Some(Duration::from_secs(1)))).unwrap();
    }
    run(&store, set("k000", b"2", Some(Duration::from_secs(100)))).unwrap();
    now.store(2000, SeqCst);
    for _ in 0..3 {
        run(&store, set("z", b"", None)).unwrap();
    }
    // With the clock set back, whatever were still there would be visible again.
    now.store(1000, SeqCst);
    let page = KeysPage { prefix: key(""), after: None, limit: 1000 };
    let keys = run(&store, Read::Keys(page).into()).unwrap();
    assert_eq!(keys, Outcome::Keys { keys: vec!["k000".into(), "z".into()], next: None });
}

#[test]
fn an_expired_request_is_never_started() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("cache.redb")).unwrap();
    let Submitted::Waiting(outcome) = store.submit(set("a", b"1", None), Instant::now()) else { panic!("it waits") };
    assert_eq!(outcome.blocking_recv().unwrap().unwrap_err().kind, HostErrorKind::TimedOut);
    assert_eq!(run(&store, get("a")).unwrap_err().kind, HostErrorKind::NotFound);
}

/// A disk that stops, fails or panics when it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    data: Arc<InMemoryBackend>,
    pub(super) fails: Arc<AtomicBool>,
    pub(super) panics: Arc<AtomicBool>,
    stopped: Arc<Mutex<()>>,
    pub(super) syncs: Arc<AtomicUsize>,
    /// What the thread that reads waits for, and how often it did.
    pub(super) reads_stopped: Arc<Mutex<()>>,
    pub(super) reads_waiting: Arc<AtomicUsize>,
    without_pages: bool,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        drop(self.stopped.lock());
        assert!(!self.panics.swap(false, SeqCst), "the disk panics");
        match self.fails.load(SeqCst) {
            true => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device")),
            false => Ok(()),
        }
    }

    pub(super) fn store(&self) -> RedbStore {
        self.store_with(Durability::Immediate)
    }

    /// One that keeps no pages of the file in memory.
    pub(super) fn store_without_pages(&self) -> RedbStore {
        Self { without_pages: true, ..self.clone() }.store()
    }

    pub(super) fn store_with(&self, durability: Durability) -> RedbStore {
        RedbStore::start("cache".into(), self.opener(), durability, CACHE, wall_clock()).unwrap()
    }

    fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move |_: Opening| {
            let mut builder = ::redb::Builder::new();
            if disk.without_pages {
                builder.set_cache_size(0);
            }
            let opened = builder.create_with_backend(disk.clone()).map_err(::redb::Error::from);
            let checked = opened.and_then(|database| table::create(&database).map(|()| database));
            checked.map_err(|error| BindingError::Damaged {
                binding: "cache".into(),
                path: "disk".into(),
                source: error.into(),
            })
        })
    }
}

impl Disk {
    /// Another disk with the same content.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        let mut content = vec![0; usize::try_from(self.data.len().unwrap()).unwrap()];
        self.data.read(0, &mut content).unwrap();
        copy.data.set_len(content.len() as u64).unwrap();
        copy.data.write(0, &content).unwrap();
        copy
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.data.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        if thread::current().name().is_some_and(|name| name.starts_with("kv-read")) && self.reads_stopped.is_locked() {
            self.reads_waiting.fetch_add(1, SeqCst);
            drop(self.reads_stopped.lock());
        }
        self.data.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.data.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.syncs.fetch_add(1, SeqCst);
        self.data.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.data.write(offset, data)
    }
}

#[test]
fn a_failed_commit_answers_the_whole_group_and_later_ones_succeed() {
    let disk = Disk::default();
    let store = disk.store();
    run(&store, set("before", b"1", None)).unwrap();
    let stopped = disk.stopped.lock();
    disk.fails.store(true, SeqCst);
    let answers: Vec<_> = (0..20).map(|n| store.submit(set(&format!("k{n}"), b"1", None), soon())).collect();
    drop(stopped);
    for answer in answers {
        let Submitted::Waiting(outcome) = answer else { panic!("it waits") };
        let error = outcome.blocking_recv().unwrap().unwrap_err();
        assert_eq!(error.kind, HostErrorKind::Unavailable);
        let text = chain(&error);
        assert!(text.starts_with("unavailable: the database of binding `cache` failed: "), "{text}");
        assert!(text.contains("no space left on device"), "{text}");
    }
    disk.fails.store(false, SeqCst);
    let deadline = soon();
    while let Err(error) = run(&store, set("after", b"1", None)) {
        assert!(Instant::now() < deadline, "still {}", chain(&error));
        std::thread::yield_now();
    }
    run(&store, get("before")).unwrap();
    run(&store, get("after")).unwrap();
    assert_eq!(run(&store, get("k7")).unwrap_err().kind, HostErrorKind::NotFound);
}

#[test]
fn a_panic_in_a_transaction_is_answered_and_later_ones_succeed() {
    let disk = Disk::default();
    let store = disk.store();
    run(&store, set("before", b"1", None)).unwrap();
    disk.panics.store(true, SeqCst);
    let error = run(&store, set("during", b"1", None)).unwrap_err();
    assert_eq!(error.to_string(), "internal: the database of binding `cache` panicked: the disk panics");
    run(&store, set("after", b"1", None)).unwrap();
    run(&store, get("before")).unwrap();
    assert_eq!(run(&store, get("during")).unwrap_err().kind, HostErrorKind::NotFound);
}

#[test]
fn what_waits_together_is_committed_together() {
    let disk = Disk::default();
    let store = disk.store();
    let before = disk.syncs.load(SeqCst);
    let stopped = disk.stopped.lock();
    let answers: Vec<_> = (0..200).map(|n| store.submit(set(&format!("k{n}"), b"1", None), soon())).collect();
    drop(stopped);
    for answer in answers {
        let Submitted::Waiting(outcome) = answer else { panic!("it waits") };
        outcome.blocking_recv().unwrap().unwrap();
    }
    let syncs = disk.syncs.load(SeqCst) - before;
    assert!(syncs <= 8, "{syncs} syncs for 200 writes");
}

#[test]
fn eventual_commits_are_answered_while_the_disk_stands_still_and_synced_a_moment_later() {
    let disk = Disk::default();
    let store = disk.store_with(Durability::Eventual);
    let answered = |command| {
        let outcome = run_unless_it_hangs(&store, command);
        outcome.is_some_and(|outcome| outcome.is_ok())
    };
    // The moment after which it syncs may be over before all of them are written, on a machine that has other things to do.
    let before = (0..20).find_map(|_| {
        let stopped = disk.stopped.lock();
        let before = disk.syncs.load(SeqCst);
        let all = (0..20).all(|n| answered(set(&format!("k{n}"), b"1", None)) && answered(get(&format!("k{n}"))));
        let standing_still = disk.syncs.load(SeqCst) == before;
        drop(stopped);
        (all && standing_still).then_some(before)
    });
    let (before, deadline) = (before.expect("they wait for the disk each time"), soon());
    while disk.syncs.load(SeqCst) == before {
        assert!(Instant::now() < deadline, "it is never synced");
        std::thread::yield_now();
    }
    // What a machine that loses its power then leaves behind.
    let copied = disk.copy().store();
    run(&copied, get("k19")).unwrap();
}

#[test]
fn eventual_commits_are_on_the_disk_after_a_stop() {
    let disk = Disk::default();
    let store = disk.store_with(Durability::Eventual);
    run(&store, set("a", b"1", None)).unwrap();
    store.stop();
    run(&disk.store(), get("a")).unwrap();
}

#[test]
fn a_full_queue_is_unavailable_and_drains() {
    let disk = Disk::default();
    let store = disk.store();
    let stopped = disk.stopped.lock();
    let answers: Vec<_> = (0..2000).map(|n| store.submit(set(&format!("k{n}"), b"1", None), soon())).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| matches!(answer, Submitted::Done(Err(_)))).collect();
    assert!(refused.len() > 500, "{}", refused.len());
    let Some(Submitted::Done(Err(error))) = refused.first() else { panic!("it is refused") };
    assert_eq!(error.to_string(), "unavailable: binding `cache` is busy: 1024 writes wait");
    drop(stopped);
    for answer in answers {
        if let Submitted::Waiting(outcome) = answer {
            outcome.blocking_recv().unwrap().unwrap();
        }
    }
    run(&store, set("after", b"1", None)).unwrap();
}

#[test]
fn large_values_fill_the_queue_by_their_bytes() {
    let disk = Disk::default();
    let store = disk.store();
    let stopped = disk.stopped.lock();
    let value = Bytes::from(vec![0; 40 * 1024 * 1024]);
    let set = |name: &str| -> Command {
        Write::Set { key: key(name), value: value.clone(), ttl: None, only_if_absent: false }.into()
    };
    let Submitted::Waiting(first) = store.submit(set("first"), soon()) else { panic!("there is room") };
    let Submitted::Done(Err(error)) = store.submit(set("second"), soon()) else { panic!("there is no room") };
    assert!(error.to_string().starts_with("unavailable: binding `cache` is busy: 419430"), "{error}");
    drop(stopped);
    first.blocking_recv().unwrap().unwrap();
    run(&store, set("third")).unwrap();
}

fn check(store: &RedbStore) -> Result<(), String> {
    let check = store.check().unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check)
}

/// A clock that ends the thread that looks at it, which catches no panics of its own code.
fn broken_clock() -> (Arc<AtomicBool>, Clock) {
    let breaks = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&breaks);
    let clock = Arc::new(move || {
        assert!(!asked.load(SeqCst), "no time");
        1000
    });
    (breaks, clock)
}

#[test]
fn a_check_goes_through_to_the_file_and_tells_the_cause_of_a_failure() {
    let disk = Disk::default();
    let store = disk.store();
    assert_eq!(check(&store), Ok(()));
    run(&store, set("a", b"1", None)).unwrap();
    assert_eq!(check(&store), Ok(()));
    disk.fails.store(true, SeqCst);
    run(&store, set("b", b"1", None)).unwrap_err();
    // The failed write has the database opened anew, which fails as well.
    let error = check(&store).unwrap_err();
    assert!(error.contains("the database of binding `cache` failed") && error.contains("no space left"), "{error}");
    disk.fails.store(false, SeqCst);
    let deadline = soon();
    while let Err(error) = check(&store) {
        assert!(Instant::now() < deadline, "still {error}");
        std::thread::yield_now();
    }
    store.stop();
    assert_eq!(check(&store), Err("unavailable: binding `cache` was stopped".to_owned()));
}

#[test]
fn a_thread_that_dies_is_found_by_the_check_and_answered_for() {
    for (command, error) in [
        (set("a", b"1", None), "unavailable: binding `cache` has lost its thread for writes"),
        (get("a"), "unavailable: binding `cache` has lost its thread for reads"),
    ] {
        let (breaks, clock) = broken_clock();
        let disk = Disk::default();
        let store = RedbStore::start("cache".into(), disk.opener(), Durability::Immediate, 0, clock).unwrap();
        run(&store, set("a", b"1", None)).unwrap();
        assert_eq!(check(&store), Ok(()));
        breaks.store(true, SeqCst);
        let writes = matches!(command, Command::Write(_));
        let Submitted::Waiting(outcome) = store.submit(command, soon()) else { panic!("it waits") };
        // Nobody is left to answer, which the caller hears at once.
        outcome.blocking_recv().unwrap_err();
        breaks.store(false, SeqCst);
        let again = || if writes { set("a", b"1", None) } else { get("a") };
        let deadline = soon();
        while check(&store).is_ok() {
            assert!(Instant::now() < deadline, "the check does not see it");
        }
        let refused = match store.submit(again(), soon()) {
            Submitted::Done(outcome) => outcome.unwrap_err().to_string(),
            Submitted::Waiting(_) | Submitted::Later(_) => panic!("there is no thread"),
        };
        assert_eq!(refused, error);
        store.stop();
        run(&disk.store(), get("a")).unwrap();
    }
}

#[test]
fn a_database_is_served_again_at_once_after_a_stop_and_whoever_stops_it_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    for round in 0..20 {
        let store = Arc::new(open(&path).unwrap());
        let other = Arc::clone(&store);
        run(&store, set(&format!("k{round}"), b"1", None)).unwrap();
        let stopping = thread::spawn(move || other.stop());
        store.stop();
        let next = open(&path).unwrap();
        run(&next, get(&format!("k{round}"))).unwrap();
        next.stop();
        stopping.join().unwrap();
    }
}
