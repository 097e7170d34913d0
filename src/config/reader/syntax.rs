//! Parses the text as TOML and turns what the parser says into problems with a place of their own.

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use super::{Problem, Report};
use crate::config::error::ConfigErrorKind;

/// What the parser calls a key that is there twice.
const DUPLICATE: &str = "duplicate key";

/// Bytes in which the header above a key is looked for. A file of nothing but keys that are there twice would
/// otherwise be searched from its beginning once for every line.
const SEARCHED: usize = 64 << 10;

/// Parses the text of a report. `None` when it is not TOML, so that nothing sensible can be said about its keys;
/// a file whose only fault is keys that are there twice is read on.
pub(in crate::config) fn parse<'d>(report: &Report<'d>) -> Option<DeTable<'d>> {
    let (table, errors) = DeTable::parse_recoverable(report.text());
    let mut readable = true;
    for error in &errors {
        if error.message() == DUPLICATE {
            let key_path = error.span().map(|span| path_of(report.text(), &span)).unwrap_or_default();
            report.add(&key_path, error.span(), duplicate());
        } else {
            readable = false;
            report.add("", error.span(), malformed(error.message()));
        }
    }
    readable.then(|| Spanned::into_inner(table))
}

fn duplicate() -> Problem {
    Problem {
        kind: ConfigErrorKind::Duplicate,
        found: "a key that is already there".to_owned(),
        expected: "every key and every name once".to_owned(),
        hint: None,
    }
}

fn malformed(message: &str) -> Problem {
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "TOML"));
    let found = if found.is_empty() { "something else" } else { found };
    Problem {
        kind: ConfigErrorKind::Syntax,
        found: format!("text that is not TOML ({found})"),
        expected: expected.to_owned(),
        hint: None,
    }
}

/// The full path of a key at this place. The tree holds only its first occurrence, so the text is asked: the key itself,
/// below the last header before it, or the header that it is part of.
fn path_of(text: &str, span: &Range<usize>) -> String {
    let key = text.get(span.clone()).unwrap_or_default();
    let from = text.floor_char_boundary(span.start.saturating_sub(SEARCHED));
    let before = text.get(from..span.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line.trim_start().starts_with('[') {
        return format!("{}{key}", line.trim_start().trim_start_matches('['));
    }
    let header = before.lines().rev().find(|line| line.starts_with('[')).unwrap_or_default();
    let header = header.trim_start_matches('[').split(']').next().unwrap_or_default();
    if header.is_empty() { key.to_owned() } else { format!("{header}.{key}") }
}
