//! The names that are known, in the order in which they are taken. Plain values: no clock, no file.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::{OsStr, OsString},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{moves::Goal, report::Failure, rest::Seen};
use crate::files::fingerprint::Fingerprint;

/// Names that are known at once. What is beyond is only counted, and listed again when half of these are gone: a million files
/// cost no more memory than these, and a listing for every eight thousand.
pub(super) const MOST: usize = 16_384;

/// What is remembered of a file between two times that it is taken up.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// Since when it is as it is, where it did not rest.
    pub(super) seen: Option<Seen>,
    /// The state in which the guest had it last.
    pub(super) of: Option<Fingerprint>,
    /// Calls that it had in that state, and that failed.
    pub(super) attempts: u32,
    /// It needs no call any more: it is only to be moved away.
    pub(super) ending: Option<Ending>,
    /// How often moving it away failed.
    pub(super) stuck: u32,
}

/// A file that needs no call any more.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// The state in which it was processed.
    pub(super) state: Fingerprint,
    /// Why it failed; `None`: it is done.
    pub(super) failure: Option<Failure>,
}

impl Ending {
    /// Where it goes.
    pub(super) fn goal(&self, name: &OsStr, delete: bool) -> Goal {
        match &self.failure {
            Some(failure) => Goal::Failed(failure.text(name)),
            None if delete => Goal::Nowhere,
            None => Goal::Done,
        }
    }
}

/// The order of files: when their content changed last, then their name.
type Key = (i128, Arc<OsStr>);

/// Every file that is known.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    files: HashMap<Arc<OsStr>, File>,
    ready: BTreeSet<Key>,
    later: BTreeSet<(Instant, Arc<OsStr>)>,
    /// How many are taken out.
    out: usize,
    /// How many are moved away only.
    stuck: usize,
    /// How many there are that are not known by name, as of the last listing.
    beyond: u64,
}

#[derive(Debug)]
struct File {
    modified: i128,
    place: Place,
    memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Later(Instant),
    /// Taken; whether something was seen under its name meanwhile.
    Out {
        stirred: bool,
    },
}

impl Waiting {
    /// A file was seen, which has to rest for so long yet.
    pub(super) fn found(&mut self, name: OsString, state: &Fingerprint, rest: Duration, now: Instant) {
        let name: Arc<OsStr> = name.into();
        let is_full = self.files.len() >= MOST;
        match self.files.get_mut(&name) {
            Some(File { place: Place::Out { stirred }, .. }) => *stirred = true,
            Some(file) if file.modified == state.mtime_ns => {}
            Some(file) => {
                if file.place == Place::Ready {
                    self.ready.remove(&(file.modified, Arc::clone(&name)));
                    self.ready.insert((state.mtime_ns, Arc::clone(&name)));
                }
                file.modified = state.mtime_ns;
            }
            None if is_full => self.beyond += 1,
            None => {
                let seen = (!rest.is_zero()).then_some(Seen { state: *state, since: now });
                let memory = Memory { seen, ..Memory::default() };
                let place = if rest.is_zero() { Place::Ready } else { Place::Later(now + rest) };
                self.put(name, File { modified: state.mtime_ns, place, memory });
            }
        }
    }

    fn put(&mut self, name: Arc<OsStr>, file: File) {
        match file.place {
            Place::Ready => drop(self.ready.insert((file.modified, Arc::clone(&name)))),
            Place::Later(at) => drop(self.later.insert((at, Arc::clone(&name)))),
            Place::Out { .. } => {}
        }
        self.stuck += usize::from(file.memory.stuck > 0);
        self.files.insert(name, file);
    }

    /// Nothing is under that name any more.
    pub(super) fn gone(&mut self, name: &OsStr) {
        let Some((name, file)) = self.files.remove_entry(name) else { return };
        match file.place {
            Place::Ready => drop(self.ready.remove(&(file.modified, name))),
            Place::Later(at) => drop(self.later.remove(&(at, name))),
            // Whoever has it finds out.
            Place::Out { .. } => return drop(self.files.insert(name, file)),
        }
        self.stuck -= usize::from(file.memory.stuck > 0);
    }

    /// Everything was listed: what is not among these is gone, and there are so many beyond.
    pub(super) fn listed(&mut self, names: &HashSet<&OsStr>, beyond: u64) {
        if beyond == 0 {
            let gone: Vec<_> = self.files.keys().filter(|name| !names.contains(&***name)).cloned().collect();
            gone.iter().for_each(|name| self.gone(name));
        }
        self.beyond = beyond;
    }

    /// The directory is gone.
    pub(super) fn clear(&mut self) {
        self.listed(&HashSet::new(), 0);
    }

    /// Makes those ready whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, name)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, name));
                return;
            }
            if let Some(file) = self.files.get_mut(&name) {
                file.place = Place::Ready;
                self.ready.insert((file.modified, name));
            }
        }
    }

    /// When the next one is ready.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Takes the first one that is ready.
    pub(super) fn take(&mut self) -> Option<(Arc<OsStr>, Memory)> {
        let key = self.ready.first()?.clone();
        self.take_out(&key)
    }

    /// Takes the first one that is ready and only to be moved away.
    pub(super) fn take_stuck(&mut self) -> Option<(Arc<OsStr>, Memory)> {
        let is_stuck = |(_, name): &&Key| self.files.get(name).is_some_and(|file| file.memory.stuck > 0);
        let key = self.ready.iter().find(is_stuck)?.clone();
        self.take_out(&key)
    }

    fn take_out(&mut self, key: &Key) -> Option<(Arc<OsStr>, Memory)> {
        let (_, name) = self.ready.take(key)?;
        let file = self.files.get_mut(&name)?;
        file.place = Place::Out { stirred: false };
        self.out += 1;
        self.stuck -= usize::from(file.memory.stuck > 0);
        Some((name, std::mem::take(&mut file.memory)))
    }

    /// Takes one back that was taken: at once, or at that time.
    pub(super) fn back(&mut self, name: Arc<OsStr>, memory: Memory, at: Option<Instant>) {
        let Some(file) = self.files.remove(&name) else { return };
        self.out -= 1;
        self.put(name, File { place: at.map_or(Place::Ready, Place::Later), memory, ..file });
    }

    /// Forgets one that was taken; whether something was seen under its name meanwhile.
    pub(super) fn forget(&mut self, name: &OsStr) -> bool {
        let Some(file) = self.files.remove(name) else { return false };
        self.out -= 1;
        file.place == Place::Out { stirred: true }
    }

    /// How many wait.
    pub(super) fn count(&self) -> u64 {
        (self.files.len() - self.out) as u64 + self.beyond
    }

    /// How many need no call and cannot be moved away.
    pub(super) fn stuck(&self) -> usize {
        self.stuck
    }

    /// Whether there is something to be listed, and room for it.
    pub(super) fn has_room_for_more(&self) -> bool {
        self.beyond > 0 && self.files.len() <= MOST / 2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn state(mtime: i128) -> Fingerprint {
        Fingerprint { dev: 1, ino: 1, size: 1, mtime_ns: mtime, ctime_ns: 0 }
    }

    fn waiting(files: &[(&str, i128)], now: Instant) -> Waiting {
        let mut waiting = Waiting::default();
        for (name, mtime) in files {
            waiting.found(OsString::from(name), &state(*mtime), Duration::ZERO, now);
        }
        waiting
    }

    fn taken(waiting: &mut Waiting) -> Vec<String> {
        std::iter::from_fn(|| waiting.take()).map(|(name, _)| name.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn files_are_taken_by_their_time_and_then_by_name() {
        let mut waiting = waiting(&[("b", 2), ("c", 1), ("a", 2), ("late", 9)], Instant::now());
        waiting.found("late".into(), &state(0), Duration::ZERO, Instant::now());
        assert_eq!(waiting.count(), 4);
        assert_eq!(taken(&mut waiting), ["late", "c", "a", "b"]);
        assert_eq!(waiting.count(), 0);
    }

    #[test]
    fn what_rests_or_failed_waits_for_its_time_while_others_go_on() {
        let now = Instant::now();
        let mut waiting = waiting(&[("a", 1), ("b", 2)], now);
        let rest = Duration::from_secs(3);
        waiting.found("fresh".into(), &state(0), rest, now);
        let (name, memory) = waiting.take().unwrap();
        waiting.back(name, Memory { attempts: 1, ..memory }, Some(now + rest * 2));
        assert_eq!(taken(&mut waiting), ["b"]);
        assert_eq!(waiting.next(), Some(now + rest));
        waiting.wake(now + rest);
        assert_eq!(taken(&mut waiting), ["fresh"]);
        waiting.wake(now + rest * 2);
        assert_eq!(waiting.take().unwrap().1.attempts, 1);
    }

    #[test]
    fn what_is_only_to_be_moved_away_can_be_taken_before_all_others() {
        let mut waiting = waiting(&[("a", 1), ("b", 2), ("c", 3)], Instant::now());
        assert!(waiting.take_stuck().is_none());
        let taken: Vec<_> = std::iter::from_fn(|| waiting.take()).collect();
        for (name, memory) in taken {
            let stuck = u32::from(&*name == OsStr::new("b"));
            waiting.back(name, Memory { stuck, ..memory }, None);
        }
        assert_eq!(waiting.stuck(), 1);
        let (name, _) = waiting.take_stuck().unwrap();
        assert_eq!((&*name, waiting.stuck()), (OsStr::new("b"), 0));
        assert!(waiting.take_stuck().is_none());
    }

    #[test]
    fn what_comes_under_a_name_that_is_taken_is_not_forgotten() {
        let mut waiting = waiting(&[("a", 1), ("b", 2)], Instant::now());
        let (first, _) = waiting.take().unwrap();
        let (second, _) = waiting.take().unwrap();
        waiting.found("a".into(), &state(5), Duration::ZERO, Instant::now());
        waiting.gone(OsStr::new("b"));
        assert!(waiting.forget(&first));
        assert!(!waiting.forget(&second));
        assert!(taken(&mut waiting).is_empty());
    }

    #[test]
    fn what_is_not_listed_any_more_is_gone_and_names_are_bounded() {
        let now = Instant::now();
        let mut waiting = waiting(&[("a", 1), ("b", 2), ("c", 3)], now);
        let (out, _) = waiting.take().unwrap();
        waiting.listed(&HashSet::from([OsStr::new("c")]), 0);
        assert_eq!(waiting.count(), 1);
        waiting.back(out, Memory { stuck: 1, ..Memory::default() }, None);
        assert_eq!(waiting.stuck(), 1);
        for number in 0..MOST {
            waiting.found(format!("{number}").into(), &state(9), Duration::ZERO, now);
        }
        assert_eq!((waiting.files.len(), waiting.count()), (MOST, MOST as u64 + 2));
        assert!(!waiting.has_room_for_more());
        for _ in 0..MOST / 2 {
            let (name, _) = waiting.take().unwrap();
            waiting.forget(&name);
        }
        assert!(waiting.has_room_for_more());
        assert_eq!(waiting.stuck(), 0);
        waiting.clear();
        assert_eq!(waiting.count(), 0);
    }
}
