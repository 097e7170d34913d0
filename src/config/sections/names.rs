//! Names of modules, bindings and groups: they become file names, log fields and parts of URLs, so their letters are few.

use crate::config::{
    error::ConfigErrorKind,
    reader::{Named, Problem},
};

/// Letters of a name at most: with `.redb` behind it, it fits any file system, and a table of modules stays readable.
const LONGEST: usize = 64;

/// Notes a name that is not allowed. Reading goes on with it, so that what refers to it is not reported as well.
pub(super) fn check(named: &Named<'_>) {
    let Some(because) = fault(named.name) else {
        return;
    };
    named.problem(Problem {
        kind: ConfigErrorKind::BadValue,
        found: because,
        expected: expected(),
        hint: suggestion(named.name).map(|name| format!("a name that would do: `{name}`")),
    });
}

/// What a name should be.
pub(in crate::config) fn expected() -> String {
    format!("a name of 1 to {LONGEST} characters a-z, 0-9, _ and -, the first a letter or digit")
}

/// What is wrong with a name that stands in a configuration.
pub(in crate::config) fn fault(name: &str) -> Option<String> {
    let first = name.starts_with(['_', '-']).then(|| "a name that begins with _ or -".to_owned());
    fault_of_file(name).or(first)
}

/// What is wrong with a name that a file gives: it may begin with any of the letters.
pub(in crate::config) fn fault_of_file(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() {
        Some("an empty name".to_owned())
    } else if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        Some(format!("the character {other:?} in a name"))
    } else if name.len() > LONGEST {
        Some(format!("a name of {} characters", name.len()))
    } else {
        None
    }
}

/// The allowed name nearest to one that is not, if there is an obvious one.
fn suggestion(name: &str) -> Option<String> {
    let lower: String = name.to_lowercase().replace([' ', '.', '/'], "-");
    let name = lower.trim_start_matches(['_', '-']);
    (fault(name).is_none()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_allowed_letters_are_allowed() {
        for name in ["a", "0", "greeter", "greeter-2", "a_b", "7up", &"x".repeat(64)] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "A", "grüße", "a b", "a.b", "a/b", "..", "-a", "_a", "a\0", &"x".repeat(65)] {
            assert!(fault(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_name_with_capitals_or_dots_gets_a_suggestion() {
        assert_eq!(suggestion("My.Greeter").as_deref(), Some("my-greeter"));
        assert_eq!(suggestion("grüße"), None);
    }
}
