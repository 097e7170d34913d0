//! When a file that changes is worth reading. Plain values in, plain values out: no clock, no file.
//!
//! ```text
//!               as reported                       rests for `settle`, or 4 × `settle` since the first change,
//!              ┌───────────┐                      or was renamed into place
//!              ▼           │            ┌────────────────────────────────────────────▶ Report
//!   ───▶ nothing to tell ──┴─ changed ──▶ pending ◀─┐
//!                                         │         │ changed again, or being written
//!                                         └─────────┘
//! ```
//!
//! Only states are compared, so it does not matter which notices arrive, how many, or in which order: whoever looks often
//! enough ends with the report of the last state.

use std::time::{Duration, Instant};

use crate::files::fingerprint::Fingerprint;

/// No file is kept waiting for longer than this many times `settle` after its first change. Twice would read files that
/// are copied slowly once more than needed; eight times would be felt after a drop.
const BOUND: u32 = 4;

/// How soon a file that is being written is looked at again at the earliest, so that a `settle` of nothing does not
/// become a loop.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// What was seen of a file in one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// When.
    pub(super) at: Instant,
    /// Its state; `None`: there is none.
    pub(super) file: Option<Fingerprint>,
    /// Whether a notice said that it was renamed into place, and was therefore finished before.
    pub(super) renamed: bool,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it was reported.
    Nothing,
    /// It is to be looked at again then.
    Wait(Instant),
    /// It is in this state and may be read; `None`: it is gone.
    Report(Option<Fingerprint>),
}

/// What is known of one file between two looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settling {
    /// The state that was reported last.
    seen: Option<Fingerprint>,
    pending: Option<Pending>,
}

/// A change that is not reported yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    state: Option<Fingerprint>,
    /// From when the bound counts: the first change, or the last moment at which it was being written.
    first: Instant,
    /// From when it rests.
    last: Instant,
    /// Whether it is reported even where nothing has changed.
    asked: bool,
}

impl Settling {
    /// Begins with a state that somebody knows already; `None`: nothing is known, and nothing is there.
    pub(super) fn new(seen: Option<Fingerprint>) -> Self {
        Self { seen, pending: None }
    }

    /// Whether nothing was reported and nothing is about to be.
    pub(super) fn is_forgettable(&self) -> bool {
        self.seen.is_none() && self.pending.is_none()
    }

    /// Asks for a report even if nothing changes, after the file has rested again.
    pub(super) fn ask(&mut self, at: Instant) {
        let state = self.pending.map_or(self.seen, |pending| pending.state);
        self.pending = Some(Pending { state, first: at, last: at, asked: true });
    }

    /// Forgets what it waits for: the next look decides anew.
    pub(super) fn rest(&mut self) {
        self.pending = None;
    }

    /// Takes in one look at the file and says what follows. Only where it would be reported is it asked whether somebody
    /// has it open for writing, because the asking is felt by whoever opens it at that moment.
    pub(super) fn look(&mut self, sight: Sight, settle: Duration, is_being_written: impl FnOnce() -> bool) -> Verdict {
        let Sight { at, file, renamed } = sight;
        if file == self.seen && !self.pending.is_some_and(|pending| pending.asked) {
            self.pending = None;
            return Verdict::Nothing;
        }
        let pending = self.pending.get_or_insert(Pending { state: file, first: at, last: at, asked: false });
        if pending.state != file {
            pending.state = file;
            pending.last = at;
        }
        let due = (pending.last + settle).min(pending.first + settle * BOUND);
        let finished = renamed && file.is_some();
        if !finished && at < due {
            return Verdict::Wait(due);
        }
        if file.is_some() && is_being_written() {
            pending.first = at;
            pending.last = at;
            return Verdict::Wait(at + settle.max(LEAST_WAIT));
        }
        *self = Self::new(file);
        Verdict::Report(file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_millis(50);

    fn state(number: u64) -> Fingerprint {
        Fingerprint { dev: 1, ino: number, size: number, mtime_ns: i128::from(number), ctime_ns: 0 }
    }

    /// What happens to be seen, in one word.
    #[derive(Debug, Clone, Copy)]
    enum See {
        Gone,
        Is(u64),
        Renamed(u64),
        Written(u64),
        Asked,
    }
    use See::{Asked, Gone, Is, Renamed, Written};

    /// What is expected, in milliseconds since the start.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Expect {
        Nothing,
        Wait(u64),
        Report(u64),
        ReportGone,
        Unsaid,
    }
    use Expect::{Nothing, Report, ReportGone, Unsaid, Wait};

    #[test]
    #[allow(clippy::too_many_lines, reason = "it is a table")]
    fn each_history_ends_in_the_right_reports() {
        type History = (&'static str, Option<u64>, &'static [(u64, See, Expect)]);
        let table: &[History] = &[
            ("nothing happens", Some(1), &[(0, Is(1), Nothing), (30_000, Is(1), Nothing)]),
            ("nothing is there", None, &[(0, Gone, Nothing), (9, Gone, Nothing)]),
            ("a new file rests", None, &[(0, Is(1), Wait(50)), (50, Is(1), Report(1)), (51, Is(1), Nothing)]),
            ("a look before it is due changes nothing", None, &[(0, Is(1), Wait(50)), (20, Is(1), Wait(50))]),
            ("a late look reports", None, &[(0, Is(1), Wait(50)), (500, Is(1), Report(1))]),
            (
                "each change starts anew",
                Some(1),
                &[(0, Is(2), Wait(50)), (40, Is(3), Wait(90)), (90, Is(3), Report(3))],
            ),
            (
                "but not beyond four times",
                Some(1),
                &[
                    (0, Is(2), Wait(50)),
                    (45, Is(3), Wait(95)),
                    (90, Is(4), Wait(140)),
                    (135, Is(5), Wait(185)),
                    (180, Is(6), Wait(200)),
                    (199, Is(7), Wait(200)),
                    (200, Is(8), Report(8)),
                    (201, Is(9), Wait(251)),
                ],
            ),
            ("what was renamed into place is reported at once", Some(1), &[(0, Renamed(2), Report(2))]),
            ("also when it was pending", Some(1), &[(0, Is(2), Wait(50)), (1, Renamed(3), Report(3))]),
            ("a rename of what is known is nothing", Some(1), &[(0, Renamed(1), Nothing)]),
            (
                "what was renamed while it is being written waits",
                Some(1),
                &[
                    (0, Written(2), Wait(50)),
                    (50, Written(2), Wait(100)),
                    (100, Is(3), Wait(150)),
                    (150, Is(3), Report(3)),
                ],
            ),
            (
                "what is being written waits without bound, and rests afterwards",
                None,
                &[
                    (0, Is(1), Wait(50)),
                    (50, Written(2), Wait(100)),
                    (1000, Written(2), Wait(1050)),
                    (1010, Is(2), Wait(1050)),
                    (1050, Is(2), Report(2)),
                ],
            ),
            ("being written without a change is nothing", Some(1), &[(0, Written(1), Nothing)]),
            ("what goes is reported after a rest", Some(1), &[(0, Gone, Wait(50)), (50, Gone, ReportGone)]),
            ("gone is told once", Some(1), &[(0, Gone, Wait(50)), (50, Gone, ReportGone), (51, Gone, Nothing)]),
            (
                "deleted and created again is one report",
                Some(1),
                &[(0, Gone, Wait(50)), (20, Is(2), Wait(70)), (70, Is(2), Report(2))],
            ),
            ("what comes and goes was never there", None, &[(0, Is(1), Wait(50)), (20, Gone, Nothing)]),
            (
                "moved away and back is nothing, and later changes count from their own start",
                Some(1),
                &[(0, Gone, Wait(50)), (20, Is(1), Nothing), (300, Is(2), Wait(350)), (349, Is(2), Wait(350))],
            ),
            (
                "asked for, the same state is reported again once",
                Some(1),
                &[(0, Asked, Unsaid), (0, Is(1), Wait(50)), (50, Is(1), Report(1)), (60, Is(1), Nothing)],
            ),
            (
                "asked for while pending, it rests again",
                Some(1),
                &[(0, Is(2), Wait(50)), (40, Asked, Unsaid), (50, Is(2), Wait(90)), (90, Is(2), Report(2))],
            ),
            (
                "asked for, it still waits for the writer",
                Some(1),
                &[(0, Asked, Unsaid), (1, Written(1), Wait(51)), (40, Is(1), Wait(51)), (51, Is(1), Report(1))],
            ),
        ];
        let start = Instant::now();
        for (what, seen, steps) in table {
            let mut settling = Settling::new(seen.map(state));
            for (ms, see, expected) in *steps {
                let at = start + Duration::from_millis(*ms);
                let (file, renamed, being_written) = match *see {
                    Gone => (None, false, false),
                    Is(number) => (Some(state(number)), false, false),
                    Renamed(number) => (Some(state(number)), true, false),
                    Written(number) => (Some(state(number)), true, true),
                    Asked => {
                        settling.ask(at);
                        assert_eq!(*expected, Unsaid, "{what}");
                        continue;
                    }
                };
                let verdict = match settling.look(Sight { at, file, renamed }, SETTLE, || being_written) {
                    Verdict::Nothing => Nothing,
                    Verdict::Wait(until) => Wait(u64::try_from((until - start).as_millis()).unwrap()),
                    Verdict::Report(None) => ReportGone,
                    Verdict::Report(Some(file)) => Report(file.ino),
                };
                assert_eq!(verdict, *expected, "{what}: at {ms} ms, seeing {see:?}");
            }
        }
    }

    #[test]
    fn a_settle_of_nothing_reports_at_once_and_does_not_spin_on_a_writer() {
        let at = Instant::now();
        let mut settling = Settling::new(None);
        let sight = Sight { at, file: Some(state(1)), renamed: false };
        assert_eq!(settling.look(sight, Duration::ZERO, || true), Verdict::Wait(at + LEAST_WAIT));
        assert_eq!(settling.look(sight, Duration::ZERO, || false), Verdict::Report(Some(state(1))));
    }

    /// Something that is done to the file.
    #[derive(Debug, Clone, Copy)]
    enum Act {
        /// Changed or deleted.
        Change { to_nothing: bool, renamed: bool },
        /// Opened for writing, or closed.
        Writer { open: bool },
    }

    fn act() -> impl Strategy<Value = (u64, bool, Act)> {
        let change = (prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(to_nothing, renamed)| Act::Change { to_nothing, renamed });
        let writer = any::<bool>().prop_map(|open| Act::Writer { open });
        (0..120_u64, any::<bool>(), prop_oneof![4 => change, 1 => writer])
    }

    proptest! {
        /// Notices come or do not come; the file is looked at when one comes, when it is due, and in a scan every 400 ms.
        #[test]
        fn the_last_state_is_reported_in_time_and_never_more_often_than_it_changed(acts in prop::collection::vec(act(), 0..60)) {
            let start = Instant::now();
            let (mut file, mut written, mut number) = (None, false, 0);
            let (mut changes, mut reports, mut reported) = (0, 0, None);
            let mut settling = Settling::new(None);
            // Since when something that was noticed has waited without anybody writing.
            let mut waiting: Option<u64> = None;
            let (mut due, mut next) = (None, 0);
            let mut acts = acts.into_iter().scan(0, |ms, (gap, noticed, act)| { *ms += gap; Some((*ms, noticed, act)) }).peekable();
            let mut ms = 0;
            let mut quiet = 0;
            while quiet < 2000 {
                let (mut look, mut hint) = (due.is_some_and(|due| due <= ms) || next <= ms, false);
                quiet += 1;
                while let Some((_, noticed, act)) = acts.next_if(|(at, ..)| *at <= ms) {
                    quiet = 0;
                    match act {
                        Act::Change { to_nothing, renamed } => {
                            number += 1;
                            let new = if to_nothing { None } else { Some(state(number)) };
                            changes += u64::from(file != new);
                            file = new;
                            hint = renamed && noticed;
                        }
                        Act::Writer { open } => written = open && file.is_some(),
                    }
                    look |= noticed;
                }
                if acts.peek().is_none() {
                    written = false;
                } else {
                    quiet = 0;
                }
                if look {
                    next = next.max(ms) + if next <= ms { 400 } else { 0 };
                    let sight = Sight { at: start + Duration::from_millis(ms), file, renamed: hint };
                    let verdict = settling.look(sight, SETTLE, || written);
                    due = None;
                    match verdict {
                        Verdict::Nothing => {
                            prop_assert_eq!(file, reported);
                            waiting = None;
                        }
                        Verdict::Wait(until) => {
                            prop_assert!(until > sight.at, "it waits for the past");
                            due = Some(u64::try_from((until - start).as_millis()).unwrap());
                            if written && file.is_some() { waiting = None } else { waiting = waiting.or(Some(ms)) }
                        }
                        Verdict::Report(state) => {
                            prop_assert_eq!(state, file);
                            prop_assert!(!(written && file.is_some()), "reported while it is written");
                            prop_assert_ne!(state, reported, "reported twice");
                            reported = state;
                            reports += 1;
                            waiting = None;
                        }
                    }
                    if let Some(since) = waiting {
                        prop_assert!(ms < since + 200, "not reported {} ms after it was seen", ms - since);
                    }
                }
                ms += 1;
            }
            prop_assert_eq!(reported, file, "the last state was not reported");
            prop_assert!(reports <= changes, "{} reports of {} changes", reports, changes);
        }
    }
}
