//! What a command printed, without what differs from one run to the next: times, spans, ids, and where the checkout lies.

/// The lines with single spaces, so that columns may be of any width, and with words in place of what differs.
pub(crate) fn normal(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", normal_line(line))).collect()
}

fn normal_line(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let (word, after) = split(word);
        let before = words.last().map_or("", String::as_str);
        let word = match word {
            // A span in two units, and one whose unit is a word of its own.
            _ if before == "SPAN" && is_span(word) => continue,
            "ms" if is_number(before) => {
                words.pop();
                "SPAN".to_owned()
            }
            _ if is_time(word) => "TIME".to_owned(),
            _ if is_span(word) => "SPAN".to_owned(),
            _ if is_number(word) && ["instance", "call", "id", "worker", "(process"].contains(&before) => {
                "ID".to_owned()
            }
            _ => match word.find("/examples/") {
                Some(at) if word.trim_start_matches('`').starts_with('/') => word.split_at(at).1.to_owned(),
                _ => word.to_owned(),
            },
        };
        words.push(format!("{word}{after}"));
    }
    words.join(" ")
}

/// A word and the punctuation after it; an opening bracket before a time is no part of it.
fn split(word: &str) -> (&str, &str) {
    let bare = word.trim_end_matches([',', ':', ')', ';']);
    let after = &word[bare.len()..];
    match bare.strip_prefix('(') {
        Some(inner) if is_time(inner) => (inner, after),
        _ => (bare, after),
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
}

/// A time of the day, as in `2026-11-23T01:24:16.346Z`.
fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T' && word.as_bytes()[4] == b'-'
}

/// A span of time in one unit, as in `1.5ms`.
fn is_span(word: &str) -> bool {
    ["us", "ms", "s", "m", "h", "d"].iter().any(|unit| {
        let number = word.strip_suffix(unit).unwrap_or_default();
        number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

#[test]
fn only_times_spans_ids_and_the_place_of_the_checkout_are_left_open() {
    let same = [
        ("failed, next try in 9m 59s    1  0", "failed, next try in 4s 1 0"),
        (
            "2026-11-23T01:24:16.346Z  module a  instance 3 ended on worker 1: trapped",
            "2027-01-01T00:00:00.000Z module a instance 14 ended on worker 0: trapped",
        ),
        (
            "last exit trapped, 0s ago (2026-11-23T01:24:16Z), call 22, from control",
            "last exit trapped, 1m 2s ago (2026-11-23T02:24:16Z), call 7, from control",
        ),
        ("deadline of 5000 ms exceeded after 5001 ms", "deadline of 5000 ms exceeded after 5012 ms"),
        ("file /tmp/x/examples/a.toml", "file /home/ada/wapcd/examples/a.toml"),
        ("cannot read `/tmp/x/examples/a.toml`", "cannot read `/home/ada/wapcd/examples/a.toml`"),
    ];
    for (one, other) in same {
        assert_eq!(normal(one), normal(other));
    }
    let different = [
        ("restarts 4 (trapped 4), 2 count", "restarts 4 (trapped 4), 3 count"),
        ("orders running 1 1 0", "orders backoff 1 1 0"),
        ("=> restart in 2s", "=> restart"),
        ("2 workers", "3 workers"),
    ];
    for (one, other) in different {
        assert_ne!(normal(one), normal(other));
    }
}
