//! The sign of life: given only when every worker and the supervisor have turned over since the last one, so that a thread
//! that hangs makes the service manager start the daemon anew.

use std::{sync::Arc, time::Duration};

use super::board::Board;
use crate::{actors::Turns, supervisor::SupervisorHandle};

/// Looks in the time within which a sign is to be given. A worker that is asked at one look has answered at the next, so a
/// sign comes at each second look at the latest: twice in its time. What comes between two looks may take up to half of the
/// time before it is missed; with fewer looks a machine with too much to do would be taken for one that hangs.
const LOOKS: u32 = 4;

/// The signs of life that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watchdog {
    /// The time within which one is to be given.
    within: Duration,
}

impl Watchdog {
    /// What the service manager wants of this process; `None`: no signs.
    pub(super) fn from_process() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        Self::parse(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), std::process::id())
    }

    /// The same from what the variables hold. They may be meant for the process that started this one.
    fn parse(within: Option<&str>, process: Option<&str>, own: u32) -> Option<Self> {
        let within = Duration::from_micros(within?.parse().ok().filter(|within| *within > 0)?);
        process.is_none_or(|process| process.parse() == Ok(own)).then_some(Self { within })
    }

    /// Gives signs of life for as long as there is some, and the daemon lives.
    pub(super) async fn keep_alive(self, board: Arc<Board>, running: SupervisorHandle) {
        let mut before: Option<Vec<Turns>> = None;
        loop {
            tokio::time::sleep(self.within / LOOKS).await;
            // By way of the supervisor's mailbox, which it only empties when it turns over.
            let Ok(now) = running.ask_turns().await else { continue };
            match &before {
                Some(before) if !have_turned(before, &now) => {}
                Some(_) => {
                    board.live();
                    before = Some(now);
                }
                None => before = Some(now),
            }
        }
    }
}

/// Whether every worker has turned over since. A thread that took the place of another has begun to.
fn have_turned(before: &[Turns], now: &[Turns]) -> bool {
    now.iter().enumerate().all(|(worker, now)| before.get(worker).is_none_or(|before| before != now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_given_where_this_process_is_asked_for_them() {
        let second = Some(Watchdog { within: Duration::from_secs(1) });
        assert_eq!(Watchdog::parse(Some("1000000"), None, 7), second);
        assert_eq!(Watchdog::parse(Some("1000000"), Some("7"), 7), second);
        assert_eq!(Watchdog::parse(Some("1000000"), Some("8"), 7), None);
        assert_eq!(Watchdog::parse(Some("1000000"), Some(""), 7), None);
        for none in [None, Some(""), Some("0"), Some("soon")] {
            assert_eq!(Watchdog::parse(none, None, 7), None, "{none:?}");
        }
    }

    #[test]
    fn one_worker_that_has_not_turned_over_is_enough_for_no_sign() {
        let turns = |counts: &[u64]| counts.iter().map(|turns| Turns { life: 0, turns: *turns }).collect::<Vec<_>>();
        assert!(have_turned(&turns(&[1, 5]), &turns(&[2, 6])));
        assert!(!have_turned(&turns(&[1, 5]), &turns(&[9, 5])));
        assert!(have_turned(&turns(&[1]), &[Turns { life: 1, turns: 0 }]), "it was replaced");
        assert!(have_turned(&turns(&[1, 5]), &[]), "they end");
    }
}
