//! What names of objects are.
//!
//! The rules are those that every backend can keep: a part is a file's or directory's name with room for a mark, the whole is
//! a key of S3, and none of it means anything but itself to a path or URL.

use crate::{bindings::payload::bad_request, host::HostCallError};

/// Bytes of a name at most: those of a key of S3.
const MAX_NAME: usize = 1024;

/// Bytes between two `/` at most: what file systems take, less a mark of one byte (see `directory::mark`).
const MAX_PART: usize = 254;

/// Parts at most: a list holds a page of entries for each directory on its way down.
pub(super) const MAX_PARTS: usize = 32;

/// The name of an object in its space, within the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Box<str>);

impl Name {
    /// Takes a guest's name, as it is in this field of its request.
    ///
    /// # Errors
    /// `bad_request`, saying what is wrong and what is allowed.
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, HostCallError> {
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(fault) => Err(bad_request(format!(
                "field `{field}`: {fault}; a name has 1 to {MAX_NAME} bytes in at most {MAX_PARTS} parts with one `/` between \
                 them, each of 1 to {MAX_PART} bytes and neither `.` nor `..`, and no control characters"
            ))),
        }
    }

    /// Whether a text could be a name.
    pub(super) fn is_one(text: &str) -> bool {
        fault(text).is_none()
    }

    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if let Some(fault) = text_fault(text) {
        return Some(fault);
    }
    let mut parts = 0;
    for part in text.split('/') {
        parts += 1;
        match part {
            "" => return Some("a `/` stands at an end, or beside another".to_owned()),
            "." | ".." => return Some(format!("a part is `{part}`")),
            _ if part.len() > MAX_PART => return Some(format!("a part has {} bytes", part.len())),
            _ => {}
        }
    }
    (parts > MAX_PARTS).then(|| format!("it has {parts} parts"))
}

fn text_fault(text: &str) -> Option<String> {
    if text.len() > MAX_NAME {
        return Some(format!("it has {} bytes", text.len()));
    }
    let control = text.chars().find(char::is_ascii_control)?;
    Some(format!("it has the control character `{}`", control.escape_default()))
}

/// Checks a text that names are compared with, which need not be a name.
///
/// # Errors
/// `bad_request`.
pub(super) fn check_bound(field: &str, text: &str) -> Result<(), HostCallError> {
    match text_fault(text) {
        None => Ok(()),
        Some(fault) => {
            let allowed = format!("expected at most {MAX_NAME} bytes without control characters");
            Err(bad_request(format!("field `{field}`: {fault}, {allowed}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn long(parts: usize) -> String {
        vec!["x"; parts].join("/")
    }

    #[test]
    fn what_is_a_name_is_taken() {
        let names = [
            "a",
            "a/b",
            "...",
            "..a",
            ".hidden",
            "a+",
            "a%",
            "a b",
            "müller/1",
            "~",
            "#1",
            "a\\b",
            &"x".repeat(254),
            &long(32),
        ];
        for name in names {
            assert_eq!(Name::parse("name", name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason_and_the_rules() {
        let cases = [
            ("", "it is empty"),
            ("/a", "a `/` stands at an end"),
            ("a/", "a `/` stands at an end"),
            ("a//b", "a `/` stands at an end, or beside another"),
            ("/", "a `/` stands at an end"),
            (".", "a part is `.`"),
            ("a/../b", "a part is `..`"),
            ("a\0b", "the control character `\\u{0}`"),
            ("a\nb", "the control character `\\n`"),
            (&"x".repeat(255), "a part has 255 bytes"),
            (&"x/".repeat(513), "it has 1026 bytes"),
            (&long(33), "it has 33 parts"),
        ];
        for (name, fault) in cases {
            let error = Name::parse("name", name).unwrap_err().to_string();
            assert!(error.starts_with("bad_request: field `name`: ") && error.contains(fault), "{name:?}: {error}");
            assert!(error.contains("a name has 1 to 1024 bytes"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_directory(name in "[./a\\PC]{0,40}|(\\.{0,3}/?){0,9}") {
            if let Ok(name) = Name::parse("name", &name) {
                let parts: Vec<Component<'_>> = Path::new(name.as_str()).components().collect();
                prop_assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{name:?}");
                prop_assert_eq!(parts.len(), name.as_str().split('/').count());
            }
        }
    }
}
