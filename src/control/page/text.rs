//! Values as text for people: times, spans, sizes, and texts of guests that must not reach the terminal as they are.

/// The text on one line, with control characters written out.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The text with its line breaks kept and all other control characters written out.
#[must_use]
pub fn lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// The text with its line breaks kept, each further line behind this margin.
pub(super) fn below(text: &str, margin: &str) -> String {
    lines(text).replace('\n', &format!("\n{margin}"))
}

/// The text in one line: what stands on lines of its own follows after a semicolon.
pub(super) fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// The first characters of a hash: enough to tell it from others.
pub(super) fn hash(sha256: &str) -> String {
    sha256.chars().take(12).collect()
}

/// A name in JSON as words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A time span in its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{minutes}m {}s", whole % 60),
        3_600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A time span that is usually short, with its fraction.
pub(super) fn short(seconds: f64) -> String {
    match seconds.max(0.0) {
        0.0 => "0s".to_owned(),
        tiny if tiny < 0.001 => format!("{}us", trimmed(tiny * 1e6)),
        small if small < 1.0 => format!("{}ms", trimmed(small * 1e3)),
        few if few < 10.0 => format!("{}s", trimmed(few)),
        more => duration(more),
    }
}

/// A number below a thousand with two digits or more of it.
fn trimmed(number: f64) -> String {
    if number >= 10.0 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// How long ago a time was; both since the Unix epoch.
pub(super) fn ago(at: f64, now: f64) -> String {
    format!("{} ago", duration(now - at))
}

/// How long until a time; both since the Unix epoch.
pub(super) fn until(at: f64, now: f64) -> String {
    if at <= now { "now".to_owned() } else { format!("in {}", short(at - now)) }
}

/// A size in the largest unit that leaves a number of at least one.
pub(super) fn bytes(size: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = size as f64;
    let mut unit = "B";
    for next in units {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{size} B") } else { format!("{scaled:.1} {unit}") }
}

/// A time since the Unix epoch as RFC 3339 in UTC, to the second.
pub(super) fn utc(epoch: f64) -> String {
    // The last second of the year 9999, beyond which there is no such form.
    let seconds = epoch.clamp(0.0, 253_402_300_799.0) as u64;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same in a time zone of this name; `None` where there is none.
pub(super) fn local(epoch: f64, zone: &str) -> Option<String> {
    let zone: chrono_tz::Tz = zone.parse().ok()?;
    let moment = chrono::DateTime::from_timestamp(epoch as i64, 0)?.with_timezone(&zone);
    Some(moment.format("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// A time since the Unix epoch as RFC 3339 in UTC, to the millisecond.
pub(super) fn utc_ms(epoch: f64) -> String {
    let ms = (epoch.max(0.0) * 1000.0).round() as u64;
    let text = utc((ms / 1000) as f64);
    format!("{}.{:03}Z", text.trim_end_matches('Z'), ms % 1000)
}

/// The Gregorian date that lies so many days after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_utc_dates() {
        let table = [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_400.9, "2000-02-29T00:00:00Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
        ];
        for (epoch, text) in table {
            assert_eq!(utc(epoch), text);
        }
    }

    #[test]
    fn short_spans_keep_their_fraction_and_times_are_told_from_now() {
        let spans =
            [(0.0, "0s"), (0.000_25, "250us"), (0.0015, "1.5ms"), (0.25, "250ms"), (3.0, "3s"), (75.0, "1m 15s")];
        for (seconds, text) in spans {
            assert_eq!(short(seconds), text);
        }
        assert_eq!((ago(100.0, 280.0), ago(5.0, 3.0)), ("3m 0s ago".to_owned(), "0s ago".to_owned()));
        assert_eq!((until(103.0, 100.0), until(99.0, 100.0)), ("in 3s".to_owned(), "now".to_owned()));
        assert_eq!(utc_ms(0.9996), "1970-01-01T00:00:01.000Z");
        assert_eq!(utc_ms(951_782_400.25), "2000-02-29T00:00:00.250Z");
    }

    #[test]
    fn spans_and_sizes_have_units() {
        let spans = [(0.4, "0s"), (59.9, "59s"), (61.0, "1m 1s"), (7_260.0, "2h 1m"), (180_000.0, "2d 2h")];
        for (seconds, text) in spans {
            assert_eq!(duration(seconds), text);
        }
        for (size, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB")] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn a_guests_escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(lines("one\n\u{9b}two"), "one\n\\u{9b}two");
        assert_eq!(below("one\n\u{9b}two", "    "), "one\n    \\u{9b}two");
        assert_eq!(in_one_line("a mistake\n  did you mean `b`?"), "a mistake; did you mean `b`?");
    }
}
