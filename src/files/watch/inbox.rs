//! What the watching thread is told between two of its looks.
//!
//! Nothing queues up: orders replace each other and notices of one path become one, so that nobody who tells it something
//! waits, and a storm of notices costs one look.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

use super::Target;
use crate::config::Watch;

/// More paths than this are not remembered one by one: looking at everything is cheaper, and memory stays bounded.
const MOST_NOTICED: usize = 4096;

/// Everything that was told since the last look.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// A new set of targets.
    pub(super) targets: Option<Vec<Target>>,
    /// New settings.
    pub(super) settings: Option<Watch>,
    /// Paths to be reported even if nothing changes.
    pub(super) asked: HashSet<PathBuf>,
    /// Paths of which the kernel said something; `true`: last, that something was renamed there.
    pub(super) noticed: HashMap<PathBuf, bool>,
    /// Notices were lost.
    pub(super) everything: bool,
    /// The thread is to end.
    pub(super) end: bool,
}

impl Letters {
    fn is_empty(&self) -> bool {
        let Self { targets, settings, asked, noticed, everything, end } = self;
        targets.is_none() && settings.is_none() && asked.is_empty() && noticed.is_empty() && !everything && !end
    }
}

/// What one notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// It was renamed into place.
    Renamed,
    /// Its content changes.
    Content,
    /// Anything else.
    Other,
}

/// The place for letters to the thread.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    letters: Mutex<Letters>,
    came: Condvar,
}

impl Inbox {
    /// Adds to the letters.
    pub(super) fn tell(&self, write: impl FnOnce(&mut Letters)) {
        write(&mut self.letters.lock());
        self.came.notify_one();
    }

    /// Notes that the kernel said something of a path.
    pub(super) fn notice(&self, path: PathBuf, hint: Hint) {
        self.tell(|letters| {
            if letters.noticed.len() >= MOST_NOTICED {
                letters.noticed.clear();
                letters.everything = true;
            }
            let renamed = letters.noticed.entry(path).or_default();
            match hint {
                Hint::Renamed => *renamed = true,
                // Somebody writes on after the rename.
                Hint::Content => *renamed = false,
                Hint::Other => {}
            }
        });
    }

    /// Waits for letters until then, or for ever, and takes them all.
    pub(super) fn take(&self, until: Option<Instant>) -> Letters {
        let mut letters = self.letters.lock();
        while letters.is_empty() {
            match until {
                None => self.came.wait(&mut letters),
                Some(until) => {
                    if self.came.wait_until(&mut letters, until).timed_out() {
                        break;
                    }
                }
            }
        }
        std::mem::take(&mut letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_one_path_become_one_and_the_last_writer_decides_the_hint() {
        let inbox = Inbox::default();
        for (hints, renamed) in [
            (&[Hint::Other, Hint::Renamed, Hint::Other][..], true),
            (&[Hint::Content, Hint::Renamed], true),
            (&[Hint::Renamed, Hint::Content], false),
            (&[Hint::Other], false),
        ] {
            for hint in hints {
                inbox.notice("/a".into(), *hint);
            }
            assert_eq!(inbox.take(None).noticed, HashMap::from([("/a".into(), renamed)]), "{hints:?}");
        }
    }

    #[test]
    fn a_storm_of_notices_becomes_a_look_at_everything() {
        let inbox = Inbox::default();
        for number in 0..=MOST_NOTICED {
            inbox.notice(format!("/{number}").into(), Hint::Other);
        }
        let letters = inbox.take(None);
        assert!(letters.everything);
        assert!(letters.noticed.len() <= MOST_NOTICED);
    }

    #[test]
    fn waiting_ends_when_it_is_time() {
        assert!(Inbox::default().take(Some(Instant::now())).is_empty());
    }
}
