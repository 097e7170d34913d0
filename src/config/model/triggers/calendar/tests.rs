//! Expressions, months, years, and clocks that are put forward and back, as tables.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono_tz::{America, Australia, Europe};
use proptest::prelude::*;

use super::*;

fn moment(text: &str) -> SystemTime {
    let at: DateTime<Utc> = text.parse::<DateTime<chrono::FixedOffset>>().unwrap().into();
    UNIX_EPOCH + Duration::from_secs(at.timestamp().try_into().unwrap())
}

/// The times after a moment, as the clock on the wall has them, with its distance from UTC.
fn times(expression: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
    let calendar = Calendar::new(expression, zone).unwrap();
    let mut at = moment(from);
    let mut told = Vec::new();
    for _ in 0..count {
        at = calendar.after(at).unwrap();
        let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let local = DateTime::from_timestamp(seconds.try_into().unwrap(), 0).unwrap().with_timezone(&zone);
        told.push(local.format("%Y-%m-%d %H:%M:%S %:z").to_string());
    }
    told
}

#[test]
fn times_follow_the_expression() {
    for (expression, from, expected) in [
        ("0 30 2 * * *", "2026-11-23T00:00:00Z", vec!["2026-11-23 02:30:00", "2026-11-24 02:30:00"]),
        // Five fields begin with the minute.
        ("30 2 * * *", "2026-11-23T00:00:00Z", vec!["2026-11-23 02:30:00", "2026-11-24 02:30:00"]),
        ("@daily", "2026-11-23T00:00:00Z", vec!["2026-11-24 00:00:00", "2026-11-25 00:00:00"]),
        ("*/20 * * * * *", "2026-11-23T00:00:00Z", vec!["2026-11-23 00:00:20", "2026-11-23 00:00:40"]),
        // A moment is never its own next time.
        ("0 0 * * * *", "2026-11-23T01:00:00Z", vec!["2026-11-23 02:00:00"]),
        // Working days, by name and number; 2026-11-27 is a Friday.
        ("0 0 9 * * MON-FRI", "2026-11-27T10:00:00Z", vec!["2026-11-30 09:00:00"]),
        ("0 0 9 * * 1-5", "2026-11-27T10:00:00Z", vec!["2026-11-30 09:00:00"]),
        ("0 0 9 * * 7", "2026-11-27T10:00:00Z", vec!["2026-11-29 09:00:00"]),
        ("0 0 9 * * 0", "2026-11-27T10:00:00Z", vec!["2026-11-29 09:00:00"]),
        // A day of the month or a day of the week, where both are said.
        ("0 0 9 15 * MON", "2026-12-09T00:00:00Z", vec!["2026-12-14 09:00:00", "2026-12-15 09:00:00"]),
        // The first Monday, and the last Friday.
        ("0 0 9 * * MON#1", "2026-11-23T00:00:00Z", vec!["2026-12-07 09:00:00"]),
        ("0 0 9 * * FRI#L", "2026-11-23T00:00:00Z", vec!["2026-11-27 09:00:00"]),
        // Both of them; and the working day nearest to a Sunday.
        ("0 0 9 13 * +FRI", "2026-11-23T00:00:00Z", vec!["2027-08-13 09:00:00"]),
        ("0 0 9 15W * *", "2026-11-01T00:00:00Z", vec!["2026-11-16 09:00:00"]),
        // Months have different ends.
        ("0 0 0 31 * *", "2026-01-31T00:00:00Z", vec!["2026-03-31 00:00:00", "2026-05-31 00:00:00"]),
        ("0 0 0 L * *", "2027-01-31T00:00:00Z", vec!["2027-02-28 00:00:00", "2027-03-31 00:00:00"]),
        ("0 0 0 L 2 *", "2027-03-01T00:00:00Z", vec!["2028-02-29 00:00:00"]),
        ("0 0 0 29 2 *", "2026-11-23T00:00:00Z", vec!["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        // 2100 is no leap year.
        ("0 0 0 29 FEB *", "2096-03-01T00:00:00Z", vec!["2104-02-29 00:00:00"]),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59Z", vec!["2027-12-31 23:59:59"]),
    ] {
        let told = times(expression, Tz::UTC, from, expected.len());
        let told: Vec<&str> = told.iter().map(|told| told.trim_end_matches(" +00:00")).collect();
        assert_eq!(told, expected, "{expression} after {from}");
    }
}

#[test]
fn a_named_time_that_does_not_exist_comes_when_the_clock_is_put_forward_and_only_once() {
    // 2026-03-29 in Berlin: 02:00 becomes 03:00.
    let day_before = "2026-03-28T12:00:00Z";
    assert_eq!(
        times("0 30 2 * * *", Europe::Berlin, day_before, 2),
        ["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]
    );
    // Several of them are one, also with one that exists.
    assert_eq!(
        times("0 */15 2 * * *", Europe::Berlin, day_before, 2),
        ["2026-03-29 03:00:00 +02:00", "2026-03-30 02:00:00 +02:00"]
    );
    assert_eq!(
        times("0 0,30 1-3 * * *", Europe::Berlin, day_before, 5),
        [
            "2026-03-29 01:00:00 +01:00",
            "2026-03-29 01:30:00 +01:00",
            "2026-03-29 03:00:00 +02:00",
            "2026-03-29 03:30:00 +02:00",
            "2026-03-30 01:00:00 +02:00"
        ]
    );
    // 2026-03-08 in New York.
    assert_eq!(
        times("0 30 2 * * *", America::New_York, "2026-03-07T12:00:00Z", 2),
        ["2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"]
    );
}

#[test]
fn a_named_time_that_exists_twice_comes_the_first_time() {
    // 2026-10-25 in Berlin: 03:00 becomes 02:00.
    let day_before = "2026-10-24T12:00:00Z";
    assert_eq!(
        times("0 30 2 * * *", Europe::Berlin, day_before, 2),
        ["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"]
    );
    assert_eq!(
        times("0 */30 2 * * *", Europe::Berlin, day_before, 3),
        ["2026-10-25 02:00:00 +02:00", "2026-10-25 02:30:00 +02:00", "2026-10-26 02:00:00 +01:00"]
    );
    // Also for who looks in the middle of the second time.
    assert_eq!(times("* * 2,4 * * *", Europe::Berlin, "2026-10-25T01:10:00Z", 1), ["2026-10-25 04:00:00 +01:00"]);
    // 2026-11-01 in New York: 02:00 becomes 01:00.
    assert_eq!(
        times("0 30 1 * * *", America::New_York, "2026-10-31T12:00:00Z", 2),
        ["2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"]
    );
}

#[test]
fn what_comes_every_hour_follows_time_that_passes() {
    assert_eq!(
        times("0 30 * * * *", Europe::Berlin, "2026-03-29T00:00:00Z", 2),
        ["2026-03-29 01:30:00 +01:00", "2026-03-29 03:30:00 +02:00"]
    );
    assert_eq!(
        times("0 30 * * * *", Europe::Berlin, "2026-10-24T23:45:00Z", 3),
        ["2026-10-25 02:30:00 +02:00", "2026-10-25 02:30:00 +01:00", "2026-10-25 03:30:00 +01:00"]
    );
    // Half an hour comes twice there.
    assert_eq!(
        times("0 45 * * * *", Australia::Lord_Howe, "2026-04-04T14:00:00Z", 3),
        ["2026-04-05 01:45:00 +11:00", "2026-04-05 01:45:00 +10:30", "2026-04-05 02:45:00 +10:30"]
    );
    // No second is left out and none comes twice.
    for from in ["2026-03-29T00:59:00Z", "2026-10-25T00:59:00Z"] {
        let calendar = Calendar::new("* * * * * *", Europe::Berlin).unwrap();
        let mut at = moment(from);
        for _ in 0..120 {
            let next = calendar.after(at).unwrap();
            assert_eq!(next.duration_since(at).unwrap(), Duration::from_secs(1), "{from}");
            at = next;
        }
    }
}

#[test]
fn a_day_that_a_zone_left_out_comes_when_the_next_begins() {
    // Samoa went from the 29th to the 31st.
    assert_eq!(
        times("0 0 12 30 12 *", chrono_tz::Pacific::Apia, "2011-12-01T00:00:00Z", 1),
        ["2011-12-31 00:00:00 +14:00"]
    );
}

#[test]
fn what_is_no_expression_is_refused_with_its_reason() {
    for (expression, why) in [
        ("0 0 0 31 2 *", "this time never comes"),
        ("0 0 0 31 4,6,9,11 *", "this time never comes"),
        ("* * * *", "it has 4 fields: a sixth in front of the five of cron is the second"),
        ("", "it has 0 fields: a sixth in front of the five of cron is the second"),
        ("0 61 * * * *", "the minute `61`: number out of bounds"),
        ("0 25 * * *", "the hour `25`: number out of bounds"),
        ("0 0 0 1 1 * 2030", "it has 7 fields: a sixth in front of the five of cron is the second"),
    ] {
        assert_eq!(Calendar::new(expression, Tz::UTC).unwrap_err().to_string(), why, "{expression}");
    }
    for expression in
        ["0 61 * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 * 13 *", "0 0 0 * * 8", "a b c d e f", "@never"]
    {
        let error = Calendar::new(expression, Tz::UTC).unwrap_err();
        assert!(matches!(error, CalendarError::Field(_)), "{expression}: {error:?}");
    }
}

proptest! {
    /// Whatever somebody writes there: the daemon reads it while it runs.
    #[test]
    fn no_text_is_too_much(
        fields in prop::collection::vec("[0-9]{1,2}|\\*|\\*/[0-9]|[0-9]-[0-9]{1,2}|[0-9LW#?*/,+A-C-]{1,4}", 4..8),
        moment in 0_u64..4_000_000_000,
    ) {
        let text = fields.join(" ");
        if let Ok(calendar) = Calendar::new(&text, Europe::Berlin) {
            let moment = UNIX_EPOCH + Duration::from_secs(moment);
            prop_assert!(calendar.after(moment).is_none_or(|next| next > moment));
        }
    }

    /// Each time is on the grid of the expression, and none lies between two that follow one another.
    #[test]
    fn daily_times_are_a_day_apart_but_for_an_hour(hour in 0_u32..24, minute in 0_u32..60, from in 1_700_000_000_u64..1_900_000_000) {
        let calendar = Calendar::new(&format!("0 {minute} {hour} * * *"), Europe::Berlin).unwrap();
        let first = calendar.after(UNIX_EPOCH + Duration::from_secs(from)).unwrap();
        let second = calendar.after(first).unwrap();
        let apart = second.duration_since(first).unwrap().as_secs();
        prop_assert!((22 * 3600..=26 * 3600).contains(&apart), "{apart}");
    }
}
