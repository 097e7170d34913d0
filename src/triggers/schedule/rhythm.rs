//! What the clocks say about a schedule: a time has come, times have passed without a call, nothing yet. Pure: both clocks are
//! parameters, and so is chance.
//!
//! Cron expressions mean the clock on the wall. Intervals mean the one that only goes forward; they are kept as times on the
//! wall all the same, which move with whatever sets that clock back, or forward by little. A clock that goes forward by
//! more than that at once means, for both, that the machine slept.

use std::time::{Duration, Instant, SystemTime};

use super::times::{Passed, after, passed};
use crate::config::When;

/// How long nobody looks at the clock on the wall at most: so late is it noticed that the machine slept.
pub(super) const LOOK: Duration = Duration::from_secs(60);

/// A call may be late by so much, because of a busy machine or because sleep is noticed so late; beyond it is missed.
const GRACE: Duration = LOOK;

/// Clocks are corrected by less than that while machines are awake; times that passed within less are not worth telling.
const JUMP: Duration = Duration::from_secs(1);

/// Set back by at least so much, what comes every hour follows the clock; else it would come again.
const BACK_HOURLY: Duration = Duration::from_secs(60);

/// Set back by at least so much, the clock was wrong before, and what has been is no measure.
const BACK: Duration = Duration::from_secs(3 * 60 * 60);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// The one on the wall.
    pub(super) wall: SystemTime,
    /// The one that only goes forward, while the machine is awake.
    pub(super) steady: Instant,
}

/// What a look at the clocks asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// There is a call, which should have been then.
    pub(super) call: Option<SystemTime>,
    /// Times that have passed and had no call.
    pub(super) missed: u64,
    /// Whether the call makes up for them.
    pub(super) caught_up: bool,
    /// Whether they are worth telling.
    pub(super) told: bool,
}

/// How calls follow one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'s> {
    /// The times.
    pub(super) when: &'s When,
    /// By how much each call is put off at most.
    pub(super) jitter: Duration,
    /// Whether one call makes up for those that were missed.
    pub(super) catch_up: bool,
}

/// Where a schedule is in its times.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    /// The time up to which everything is done.
    done: SystemTime,
    /// The next time; `None`: there is none any more.
    next: Option<SystemTime>,
    /// When its call is, with what chance adds.
    call: Option<SystemTime>,
    /// What the clocks said last.
    seen: Clocks,
}

impl Rhythm {
    /// Everything up to now is done.
    pub(super) fn from_now(manner: Manner<'_>, now: Clocks, chance: f64) -> Self {
        let mut rhythm = Self { done: now.wall, next: None, call: None, seen: now };
        rhythm.aim(manner, chance);
        rhythm
    }

    /// Goes on where a daemon that ended had been, with one call for all that passed since then.
    pub(super) fn from(done: SystemTime, manner: Manner<'_>, now: Clocks, chance: f64) -> (Self, Due) {
        let ahead = done.duration_since(now.wall);
        let done = if ahead.is_ok_and(|ahead| ahead >= was_wrong(manner.when)) { now.wall } else { done };
        let mut rhythm = Self { done, next: None, call: None, seen: now };
        rhythm.aim(manner, chance);
        let Some(first) = rhythm.next.filter(|next| *next <= now.wall) else { return (rhythm, Due::default()) };
        let missed = passed(manner.when, first, now.wall).times;
        let due = Due { call: Some(now.wall), missed, caught_up: true, told: true };
        (Self::from_now(manner, now, chance), due)
    }

    /// Looks at the clocks; a time that has come is done with that.
    pub(super) fn look(&mut self, manner: Manner<'_>, now: Clocks, chance: f64) -> Due {
        self.follow(manner, now, chance);
        let (Some(first), Some(call)) = (self.next, self.call) else { return Due::default() };
        if now.wall < call {
            return Due::default();
        }
        let Passed { last, times } = passed(manner.when, first, now.wall);
        let due = if times > 1 { last } else { call };
        let late = |since: SystemTime| now.wall.duration_since(since).unwrap_or_default();
        self.done = last;
        self.aim(manner, chance);
        let told = late(first) >= JUMP;
        if late(due) <= GRACE {
            let missed = times - 1;
            Due { call: Some(due), missed, caught_up: manner.catch_up && missed > 0, told: told && missed > 0 }
        } else if manner.catch_up {
            Due { call: Some(now.wall), missed: times, caught_up: true, told }
        } else {
            Due { call: None, missed: times, caught_up: false, told }
        }
    }

    /// Chance anew, after its bounds have changed.
    pub(super) fn shake(&mut self, manner: Manner<'_>, chance: f64) {
        self.call = self.next.map(|next| {
            let room = after(manner.when, next).and_then(|then| then.duration_since(next).ok());
            // Before the next time, so that calls stay in their order.
            let most =
                room.map_or(manner.jitter, |room| manner.jitter.min(room.saturating_sub(Duration::from_millis(1))));
            if most.is_zero() { next } else { next + most.mul_f64(chance.clamp(0.0, 1.0)) }
        });
    }

    /// When to look again.
    pub(super) fn wake(&self) -> Instant {
        let wait = self.call.and_then(|call| call.duration_since(self.seen.wall).ok());
        let wait = if self.call.is_some() { wait.unwrap_or_default() } else { LOOK };
        self.seen.steady + wait.min(LOOK)
    }

    /// The next time.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.next
    }

    /// The time up to which everything is done.
    pub(super) fn done(&self) -> SystemTime {
        self.done
    }

    fn aim(&mut self, manner: Manner<'_>, chance: f64) {
        self.next = after(manner.when, self.done);
        self.shake(manner, chance);
    }

    /// Follows a clock that was set.
    fn follow(&mut self, manner: Manner<'_>, now: Clocks, chance: f64) {
        let steady = now.steady.saturating_duration_since(self.seen.steady);
        let should = self.seen.wall + steady;
        let seen = std::mem::replace(&mut self.seen, now);
        match (now.wall.duration_since(should), should.duration_since(now.wall)) {
            (Ok(ahead), _) if ahead < JUMP => self.keep_steady(manner.when, |at| at + ahead),
            // The machine slept, or the clock was far behind: times have passed.
            (Ok(_), _) => {}
            (Err(_), Ok(behind)) => {
                self.keep_steady(manner.when, |at| at.checked_sub(behind).unwrap_or(seen.wall));
                if matches!(manner.when, When::Cron(_)) && behind >= was_wrong(manner.when) {
                    *self = Self::from_now(manner, now, chance);
                }
            }
            (Err(_), Err(_)) => {}
        }
    }

    /// Intervals do not follow the clock on the wall.
    fn keep_steady(&mut self, when: &When, moved: impl Fn(SystemTime) -> SystemTime) {
        if matches!(when, When::Every(_)) {
            self.done = moved(self.done);
            self.next = self.next.map(&moved);
            self.call = self.call.map(&moved);
        }
    }
}

/// By how much a clock has to be behind what was done to be believed all the same.
fn was_wrong(when: &When) -> Duration {
    match when {
        When::Every(_) => Duration::ZERO,
        When::Cron(calendar) if calendar.is_hourly() => BACK_HOURLY,
        When::Cron(_) => BACK,
    }
}

#[cfg(test)]
mod tests;
