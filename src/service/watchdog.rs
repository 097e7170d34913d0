//! The sign of life: given only when every worker, the supervisor, the threads of connections and those of the control server
//! have turned over since the last one, so that a thread that hangs makes the service manager start the daemon anew.

use std::{sync::Arc, time::Duration};

use super::board::Board;
use crate::{
    control::Pulse,
    supervisor::{SupervisorHandle, ThreadTurns},
};

/// Looks in the time within which a sign is to be given. Who is asked at one look has answered at the next, so a sign comes
/// with each, and a thread that does not turn over for two of them is not missed yet, with the fourth to spare for a look that
/// comes late. With two looks the first answer that comes late would be taken for a hang; many more would wake every thread
/// for nothing.
const LOOKS: u32 = 4;

/// The look without a sign at which the log says so, long before the service manager ends the daemon: an answer that only
/// comes late is no news.
const TELLING: u32 = 2;

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
    pub(super) async fn keep_alive(self, board: Arc<Board>, running: SupervisorHandle, control: Pulse) {
        let mut before: Option<(ThreadTurns, Vec<u64>)> = None;
        let mut missed = 0;
        loop {
            tokio::time::sleep(self.within / LOOKS).await;
            // By way of the supervisor's mailbox, which it only empties when it turns over.
            let Ok(threads) = running.ask_turns().await else { continue };
            let now = (threads, control.ask());
            if let Some(before) = &before {
                if let Some(threads) = hanging(before, &now) {
                    missed += 1;
                    if missed == TELLING {
                        tracing::warn!(threads, "no sign of life is given, because a thread does not turn over");
                    }
                    continue;
                }
                missed = 0;
                board.live();
            }
            before = Some(now);
        }
    }
}

/// Where a thread has not turned over since; `None` if all have.
fn hanging(before: &(ThreadTurns, Vec<u64>), now: &(ThreadTurns, Vec<u64>)) -> Option<&'static str> {
    let (threads, control) = before;
    if !have_turned(&threads.workers, &now.0.workers) {
        Some("workers")
    } else if !have_turned(&threads.connections, &now.0.connections) {
        Some("connections")
    } else {
        (!have_turned(control, &now.1)).then_some("control")
    }
}

/// Whether every thread has turned over since. One that took the place of another has begun to.
fn have_turned<T: PartialEq>(before: &[T], now: &[T]) -> bool {
    now.iter().enumerate().all(|(thread, now)| before.get(thread).is_none_or(|before| before != now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::Turns;

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
