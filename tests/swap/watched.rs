//! A daemon with one module whose file changes under callers, and what must come of a change.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    callers::Callers,
    guest,
    harness::{Daemon, Home},
    stage::put,
    told::{Told, now},
};

/// How long a file must rest before it is read; the pauses of writers that close the file between two pieces are shorter.
pub(crate) const SETTLE: Duration = Duration::from_millis(200);

/// How long after the last write a swap may be: long before files are looked at of which the kernel tells nothing.
const PROMPT: f64 = 20.0;

/// How long nothing must happen before the swaps are counted: longer than a file may be delayed.
const QUIET: Duration = Duration::from_millis(1_000);

/// A daemon with one module, which runs build 1, and whoever calls it.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) told: Told,
    pub(crate) callers: Option<Callers>,
    /// Events before the case.
    pub(crate) before: usize,
}

/// When the last write was, on the clock of the events.
pub(crate) struct LastWrite(f64);

impl LastWrite {
    pub(crate) fn now() -> Self {
        Self(now())
    }
}

impl Stage {
    /// The module's file is `guest.wasm` in a directory of its own, which `prepare` fills.
    pub(crate) fn new(watch: &str, prepare: impl FnOnce(&Path)) -> Self {
        let settle = SETTLE.as_millis();
        let poll = if watch.contains("poll") { "" } else { "poll = \"10m\"\n" };
        let home = Home::new(&format!(
            "[watch]\nsettle = \"{settle}ms\"\n{poll}{watch}[modules.watched]\npath = \"code/guest.wasm\"\nlimits = {{ call_timeout = \"1m\" }}\n"
        ));
        fs::create_dir(home.path().join("code")).unwrap();
        prepare(&home.path().join("code"));
        let daemon = home.start();
        let told = Told::follow(&daemon);
        told.wait_for_quiet(Duration::from_millis(100));
        let callers = Some(Callers::start(&daemon, 1, &["watched"], "build"));
        let before = told.count();
        Self { daemon, told, callers, before }
    }

    /// The same with a plain file.
    pub(crate) fn plain() -> Self {
        Self::new("", |code| put(&code.join("guest.wasm"), guest::build(1)))
    }

    pub(crate) fn code(&self) -> PathBuf {
        self.daemon.home().path().join("code")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.code().join("guest.wasm")
    }

    /// Waits until build `last` runs, checks that it came in time and after so many swaps, and that nobody was answered
    /// by anything but whole files.
    #[track_caller]
    pub(crate) fn assert_ends(mut self, last: u32, swaps: std::ops::RangeInclusive<usize>, write: &LastWrite) {
        let hash = guest::sha256(&guest::build(last));
        if *swaps.end() > 0 {
            let swap = self.told.wait_swapped(self.before, "watched", &hash);
            let after = swap.at - write.0;
            assert!(after < PROMPT, "the swap came {after:.3} s after the last write");
        }
        self.told.wait_for_quiet(QUIET);
        let seen = self.told.swaps(self.before, "watched");
        assert!(swaps.contains(&seen.len()), "not {swaps:?} swaps: {seen:?}");
        assert_eq!(self.told.failures(self.before, "watched"), Vec::<String>::new());
        let known: Vec<_> = (1..=last).map(guest::name).collect();
        for answer in self.callers.take().unwrap().end() {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(known.contains(&answer.text), "{answer:?}");
        }
        let status = self.daemon.module("watched");
        assert_eq!((status.sha256, status.differs), (Some(hash), None));
        assert_eq!((status.calls_failed, status.calls_refused), (0, 0));
    }
}
