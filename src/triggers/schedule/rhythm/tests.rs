//! Looks at clocks that run, sleep, and are set, as tables.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::UNIX_EPOCH;

use chrono_tz::Tz;

use super::*;
use crate::config::Calendar;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Noon of a day, at which all of the tests begin.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_435_200)
}

fn every(time: Duration) -> When {
    When::Every(time)
}

fn cron(expression: &str) -> When {
    When::Cron(Box::new(Calendar::new(expression, Tz::UTC).unwrap()))
}

fn manner(when: &When) -> Manner<'_> {
    Manner { when, jitter: Duration::ZERO, catch_up: false }
}

/// A machine with both clocks.
#[derive(Clone, Copy)]
struct Machine(Clocks);

impl Machine {
    fn new() -> Self {
        Self(Clocks { wall: noon(), steady: Instant::now() })
    }

    fn works(&mut self, time: Duration) -> Clocks {
        self.0.steady += time;
        self.sleeps(time)
    }

    fn sleeps(&mut self, time: Duration) -> Clocks {
        self.0.wall += time;
        self.0
    }

    fn is_set_back(&mut self, time: Duration) -> Clocks {
        self.0.wall -= time;
        self.0
    }
}

#[test]
fn intervals_are_measured_from_time_to_time_and_do_not_drift() {
    let when = every(Duration::from_millis(10));
    let mut machine = Machine::new();
    let mut rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
    for n in 1_u32..=1000 {
        // Each is noticed later than the one before, up to five milliseconds.
        let late = Duration::from_micros(u64::from(n) * 5);
        let time = noon() + Duration::from_millis(10) * n;
        machine.works((time + late).duration_since(machine.0.wall).unwrap());
        let due = rhythm.look(manner(&when), machine.0, 0.0);
        assert_eq!(due, Due { call: Some(time), ..Due::default() }, "{n}");
    }
}

#[test]
fn nothing_is_due_before_its_time() {
    let when = every(SECOND);
    let mut machine = Machine::new();
    let mut rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
    let before = machine.works(Duration::from_millis(999));
    assert_eq!(rhythm.look(manner(&when), before, 0.0), Due::default());
    assert_eq!(rhythm.wake(), before.steady + Duration::from_millis(1));
}

#[test]
fn the_clock_on_the_wall_is_looked_at_once_a_minute_at_least() {
    let when = cron("0 0 0 1 1 *");
    let machine = Machine::new();
    let rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
    assert_eq!(rhythm.wake(), machine.0.steady + LOOK);
}

#[test]
fn times_that_a_busy_machine_left_out_are_one_call_and_are_counted() {
    let when = every(Duration::from_millis(100));
    let mut machine = Machine::new();
    let mut rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
    let due = rhythm.look(manner(&when), machine.works(Duration::from_millis(350)), 0.0);
    let last = noon() + Duration::from_millis(300);
    assert_eq!(due, Due { call: Some(last), missed: 2, caught_up: false, told: false });
    assert_eq!(rhythm.next(), Some(last + Duration::from_millis(100)));
    // What took longer is told.
    let due = rhythm.look(manner(&when), machine.works(5 * SECOND), 0.0);
    assert_eq!((due.missed, due.told), (49, true));
}

#[test]
fn a_machine_that_slept_calls_once_or_not_at_all() {
    let cases = [
        // Shorter than the pause between two calls: only the last time matters.
        (every(SECOND), false, 5 * HOUR, Some(0), 17_999, false),
        (every(SECOND), true, 5 * HOUR, Some(0), 17_999, true),
        // The last time is long ago: to be made up for, or missed.
        (every(2 * HOUR), false, 5 * HOUR, None, 2, false),
        (every(2 * HOUR), true, 5 * HOUR, Some(0), 2, true),
        (cron("0 0 14 * * *"), false, 5 * HOUR, None, 1, false),
        (cron("0 0 14 * * *"), true, 5 * HOUR, Some(0), 1, true),
        // Just missed is late.
        (cron("0 0 14 * * *"), false, 2 * HOUR + 30 * SECOND, Some(30), 0, false),
        (cron("0 0 14 * * *"), false, 2 * HOUR + 61 * SECOND, None, 1, false),
        (cron("0 0 14 * * *"), false, HOUR, None, 0, false),
    ];
    for (when, catch_up, slept, late, missed, caught_up) in cases {
        let manner = Manner { catch_up, ..manner(&when) };
        let mut machine = Machine::new();
        let mut rhythm = Rhythm::from_now(manner, machine.0, 0.0);
        let now = machine.sleeps(slept);
        let due = rhythm.look(manner, now, 0.0);
        let call = late.map(|late: u32| now.wall - late * SECOND);
        let expected = Due { call, missed, caught_up, told: missed > 0 };
        assert_eq!(due, expected, "{when:?}, catch_up = {catch_up}, {slept:?}");
        // No storm: nothing else is due now.
        assert_eq!(rhythm.look(manner, machine.works(Duration::ZERO), 0.0), Due::default());
        assert!(rhythm.next().unwrap() > now.wall);
    }
}

#[test]
fn more_than_anybody_counts_ends_with_now() {
    let when = cron("* * * * * *");
    let mut machine = Machine::new();
    let mut rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
    let now = machine.sleeps(5 * HOUR);
    let due = rhythm.look(manner(&when), now, 0.0);
    assert_eq!((due.call, due.missed), (Some(now.wall), 9_999));
    assert_eq!(rhythm.next(), Some(now.wall + SECOND));
}

#[test]
fn an_interval_does_not_notice_that_the_clock_is_set_back_or_a_little_forward() {
    let when = every(10 * SECOND);
    for set in [Some(5 * HOUR), Some(SECOND), None] {
        let mut machine = Machine::new();
        let mut rhythm = Rhythm::from_now(manner(&when), machine.0, 0.0);
        machine.works(4 * SECOND);
        match set {
            Some(back) => machine.is_set_back(back),
            None => machine.sleeps(Duration::from_millis(900)),
        };
        let now = machine.0;
        assert_eq!(rhythm.look(manner(&when), now, 0.0), Due::default());
        assert_eq!(rhythm.wake(), now.steady + 6 * SECOND, "{set:?}");
        assert!(rhythm.look(manner(&when), machine.works(6 * SECOND), 0.0).call.is_some());
    }
}

#[test]
fn no_time_of_an_expression_comes_again_because_the_clock_is_set_back() {
    // (expression, set back by, seconds until the next call)
    for (expression, back, wait) in [
        // Named hours: those that were are not again, until the clock was wrong by more than anybody believes.
        ("0 0 12,14 * * *", HOUR, 3 * 3600),
        ("0 0 12,14 * * *", 5 * HOUR, 5 * 3600),
        // Every hour: as time passes.
        ("0 * * * * *", 30 * SECOND, 90),
        ("0 * * * * *", HOUR, 60),
        ("0 0 * * * *", HOUR, 3600),
    ] {
        let when = cron(expression);
        let mut machine = Machine::new();
        let before = Clocks { wall: noon() - SECOND, ..machine.0 };
        let mut rhythm = Rhythm::from_now(manner(&when), before, 0.0);
        machine.works(SECOND);
        machine.0.wall = noon();
        assert!(rhythm.look(manner(&when), machine.0, 0.0).call.is_some(), "{expression}");
        let now = machine.is_set_back(back);
        assert_eq!(rhythm.look(manner(&when), now, 0.0), Due::default());
        let wait = Duration::from_secs(wait);
        assert_eq!(rhythm.next().unwrap().duration_since(now.wall).unwrap(), wait, "{expression} by {back:?}");
    }
}

#[test]
fn jitter_puts_a_call_off_and_never_past_the_next_time() {
    let when = every(10 * SECOND);
    for (jitter, chance, expected) in [
        (4 * SECOND, 0.0, 10_000),
        (4 * SECOND, 0.5, 12_000),
        (4 * SECOND, 1.0, 14_000),
        (HOUR, 1.0, 19_999),
        (Duration::ZERO, 0.9, 10_000),
    ] {
        let manner = Manner { jitter, ..manner(&when) };
        let mut machine = Machine::new();
        let mut rhythm = Rhythm::from_now(manner, machine.0, chance);
        let expected = Duration::from_millis(expected);
        assert_eq!(rhythm.wake(), machine.0.steady + expected, "{jitter:?} {chance}");
        // The time itself stays what it is, and so does the one after it.
        assert_eq!(rhythm.next(), Some(noon() + 10 * SECOND));
        let now = machine.works(expected);
        assert_eq!(rhythm.look(manner, now, chance).call, Some(now.wall));
        assert_eq!(rhythm.next(), Some(noon() + 20 * SECOND));
    }
}

#[test]
fn a_daemon_that_starts_again_makes_up_for_what_passed_by_one_call() {
    // (times, done before now, missed, seconds until the next time)
    for (when, done, missed, next) in [
        (every(SECOND), 10, 10, 1),
        (every(60 * SECOND), 59, 0, 1),
        (every(60 * SECOND), 60, 1, 60),
        (every(60 * SECOND), 150, 2, 60),
        (cron("0 0 11 * * *"), 3601, 1, 23 * 3600),
        (cron("0 0 11 * * *"), 3600, 0, 23 * 3600),
        (cron("0 0 11 * * *"), 3 * 86_400, 3, 23 * 3600),
    ] {
        let manner = Manner { catch_up: true, ..manner(&when) };
        let machine = Machine::new();
        let (rhythm, due) = Rhythm::from(noon() - Duration::from_secs(done), manner, machine.0, 0.0);
        let call = (missed > 0).then(noon);
        assert_eq!((due.call, due.missed, due.caught_up), (call, missed, missed > 0), "{when:?} {done}");
        assert_eq!(rhythm.next(), Some(noon() + Duration::from_secs(next)), "{when:?} {done}");
    }
}

#[test]
fn a_time_in_a_file_that_is_still_to_come_was_written_under_a_wrong_clock() {
    let now = Machine::new().0;
    for (when, ahead, next) in [
        (every(SECOND), HOUR, SECOND),
        (cron("0 * * * * *"), HOUR, 60 * SECOND),
        (cron("0 0 13,14 * * *"), HOUR, 2 * HOUR),
        (cron("0 0 13,14 * * *"), 24 * HOUR, HOUR),
    ] {
        let manner = Manner { catch_up: true, ..manner(&when) };
        let (rhythm, due) = Rhythm::from(noon() + ahead, manner, now, 0.0);
        assert_eq!(due, Due::default());
        assert_eq!(rhythm.next(), Some(noon() + next), "{when:?} {ahead:?}");
    }
}
