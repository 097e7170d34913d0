//! Collects problems and knows on which line and column a byte of the text lies.

use std::{cell::RefCell, ops::Range, path::Path};

use crate::config::error::{ConfigError, ConfigErrorKind, Position};

/// The problems of one file, collected while it is read.
pub(in crate::config) struct Report<'d> {
    file: &'d Path,
    text: &'d str,
    line_starts: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    /// Every key path that a reader asked for, so that tests can hold the documents against the schema.
    #[cfg(test)]
    pub(in crate::config) asked: RefCell<std::collections::BTreeSet<String>>,
}

/// What is wrong at one place.
pub(in crate::config) struct Problem {
    /// Which kind of problem.
    pub(in crate::config) kind: ConfigErrorKind,
    /// What is there.
    pub(in crate::config) found: String,
    /// What should be there.
    pub(in crate::config) expected: String,
    /// How to mend it.
    pub(in crate::config) hint: Option<String>,
}

impl<'d> Report<'d> {
    /// Starts without problems.
    pub(in crate::config) fn new(file: &'d Path, text: &'d str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self {
            file,
            text,
            line_starts,
            errors: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Notes a problem; without a span it concerns something that is not in the file.
    pub(in crate::config) fn add(&self, key_path: &str, span: Option<Range<usize>>, problem: Problem) {
        self.errors.borrow_mut().push(ConfigError {
            file: self.file.to_owned(),
            position: span.map(|span| self.position(span.start)),
            key_path: key_path.to_owned(),
            kind: problem.kind,
            found: problem.found,
            expected: problem.expected,
            hint: problem.hint,
            source: None,
        });
    }

    /// Ends the reading: every problem that was found.
    pub(in crate::config) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }

    /// A line of this file as another file's report names it.
    pub(super) fn line_for(&self, byte: usize, other: &Self) -> String {
        let line = self.position(byte).line;
        if self.file == other.file { format!("line {line}") } else { format!("line {line} of {}", self.file.display()) }
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &'d str {
        self.text
    }

    /// The line and column of a byte.
    pub(in crate::config) fn position(&self, byte: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        // A span that does not lie on a character's edge cannot come from the parser; its column is counted in bytes.
        let column = self.text.get(start..byte).map_or(byte.saturating_sub(start), |before| before.chars().count());
        Position { line, column: column + 1 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let report = Report::new(Path::new("f"), "a\nöö b\r\n\nlast");
        for (byte, line, column) in
            [(0, 1, 1), (1, 1, 2), (2, 2, 1), (6, 2, 3), (7, 2, 4), (10, 3, 1), (11, 4, 1), (15, 4, 5)]
        {
            assert_eq!(report.position(byte), Position { line, column }, "byte {byte}");
        }
    }

    #[test]
    fn a_place_past_the_end_is_on_the_last_line() {
        assert_eq!(Report::new(Path::new("f"), "").position(9), Position { line: 1, column: 10 });
    }
}
