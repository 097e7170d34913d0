//! One value of the file, with its key path and its place.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeArray, DeValue},
};

use super::{Problem, Report, Section};
use crate::config::error::ConfigErrorKind;

/// A found text is cut after so many characters: enough to recognise it, short enough for a line.
const SHOWN_CHARACTERS: usize = 60;

/// One value of the file.
#[derive(Clone)]
pub(in crate::config) struct Node<'d> {
    pub(super) report: &'d Report<'d>,
    path: String,
    span: Range<usize>,
    value: &'d DeValue<'d>,
}

impl<'d> Node<'d> {
    /// Makes a node of a value that was found under this key path.
    pub(super) fn new(report: &'d Report<'d>, path: String, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { report, path, span: value.span(), value: value.get_ref() }
    }

    /// The key path.
    pub(in crate::config) fn path(&self) -> &str {
        &self.path
    }

    /// Where the value is.
    pub(in crate::config) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line on which the value begins, as a report about another value names it: with its file if that is another.
    pub(in crate::config) fn place_for(&self, other: &Node<'_>) -> String {
        self.report.line_for(self.span.start, other.report)
    }

    /// The value as the parser read it.
    pub(in crate::config) fn value(&self) -> &'d DeValue<'d> {
        self.value
    }

    /// Notes a problem with this value. Always `None`, so that a reader can end with it.
    pub(in crate::config) fn problem<T>(&self, problem: Problem) -> Option<T> {
        self.report.add(&self.path, Some(self.span()), problem);
        None
    }

    /// Notes that the value has the right type but does not say what it should. Always `None`.
    pub(in crate::config) fn bad<T>(
        &self,
        kind: ConfigErrorKind,
        expected: impl Into<String>,
        hint: Option<String>,
    ) -> Option<T> {
        self.problem(Problem { kind, found: self.describe(), expected: expected.into(), hint })
    }

    /// Notes that the value has the wrong type. Always `None`.
    pub(in crate::config) fn wrong_type<T>(&self, expected: impl Into<String>) -> Option<T> {
        self.bad(ConfigErrorKind::WrongType, expected, None)
    }

    /// The value as a table whose keys are to be read.
    pub(in crate::config) fn section(&self, expected: &str) -> Option<Section<'d>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.report, self.path.clone(), self.span(), table)),
            _ => self.wrong_type(expected),
        }
    }

    /// One value of a table, without making its key known; `None` where there is none, or no table.
    pub(in crate::config) fn entry(&self, key: &str) -> Option<Self> {
        let value = self.value.as_table()?.get(key)?;
        Some(Self::new(self.report, join(&self.path, key), value))
    }

    /// The value as a list.
    pub(in crate::config) fn list(&self, expected: &str) -> Option<Vec<Self>> {
        match self.value {
            DeValue::Array(items) => Some(self.items(items)),
            _ => self.wrong_type(expected),
        }
    }

    fn items(&self, items: &'d DeArray<'d>) -> Vec<Self> {
        items
            .iter()
            .enumerate()
            .map(|(index, item)| Self::new(self.report, format!("{}[{index}]", self.path), item))
            .collect()
    }

    /// Whether the value is a text.
    pub(in crate::config) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Whether the value is a list.
    pub(in crate::config) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// What the value is, for a person.
    pub(in crate::config) fn describe(&self) -> String {
        match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => format!("the number {}", shortened(&number.to_string())),
            DeValue::Float(number) => format!("the number {}", shortened(number.as_str())),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(date) => format!("the date {date}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }
}

/// A text in quotes, escaped and cut so that it fits on a line.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    shown.extend(text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug));
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown.push('"');
    shown
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The path of a key below another, quoted where TOML wants it quoted.
pub(super) fn join(parent: &str, key: &str) -> String {
    let mut path = parent.to_owned();
    if !path.is_empty() {
        path.push('.');
    }
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare && key.len() <= SHOWN_CHARACTERS {
        path.push_str(key);
    } else {
        path.push_str(&quoted(key));
    }
    path
}
