//! Every change of state, in the order in which it happened: the last ones in memory, and each in the log.
//!
//! What status, events and logs say agrees because one call records an event and writes its line.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::moments::unix;

mod event;
mod line;

pub use self::event::{Event, Subject, What};

/// Events that are kept, at some 300 bytes each and 8 KiB where an exit has long causes. A module that fails for good makes
/// about a dozen, so the story of a bad night fits; ten times as many would hold megabytes that nobody reads.
const KEPT: usize = 1000;

/// The events of a daemon. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<VecDeque<Event>>,
    /// Number of the last event.
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Shared { kept: Mutex::default(), last: watch::Sender::new(0) }))
    }
}

impl Events {
    /// Keeps an event and writes it to the log.
    pub fn record(&self, subject: Subject, what: What) {
        let at = unix(SystemTime::now());
        let mut kept = self.0.kept.lock();
        let seq = *self.0.last.borrow() + 1;
        let event = Event { seq, at, subject, what };
        line::write(&event);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
        // Under the lock, so that numbers follow each other.
        self.0.last.send_replace(seq);
    }

    /// The events after that number which are still kept, at most `limit` of them, oldest first.
    #[must_use]
    pub fn after(&self, seq: u64, limit: usize) -> Vec<Event> {
        let kept = self.0.kept.lock();
        kept.iter().filter(|event| event.seq > seq).take(limit).cloned().collect()
    }

    /// Number of the last event; 0 before the first. The receiver hears of every later one.
    #[must_use]
    pub fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    fn asked(n: usize) -> What {
        What::Asked { action: n.to_string() }
    }

    #[test]
    fn the_last_events_are_kept_in_order_and_counted_without_gaps() {
        let events = Events::default();
        for n in 1..=KEPT + 10 {
            events.record(Subject::Daemon, asked(n));
        }
        let kept = events.after(0, usize::MAX);
        assert_eq!((kept.len(), kept[0].seq, kept[0].what.clone()), (KEPT, 11, asked(11)));
        assert!(kept.windows(2).all(|two| two[0].seq + 1 == two[1].seq));
        let last = events.after(KEPT as u64 + 8, usize::MAX);
        assert_eq!(last.iter().map(|event| event.seq).collect::<Vec<_>>(), [KEPT as u64 + 9, KEPT as u64 + 10]);
        assert_eq!(events.after(20, 3).len(), 3);
        assert_eq!(*events.last().borrow(), KEPT as u64 + 10);
    }
}
