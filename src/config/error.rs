//! What can be wrong with a configuration, told so that a person can mend it: where, what was found, what was expected.

use std::{error::Error, fmt, io, path::PathBuf};

/// Every problem of one configuration, file by file in the order of each. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

/// One problem of a configuration.
///
/// It is displayed as `file:line:column: key.path: found …, expected …`, with a hint on a line of its own where there is one.
#[derive(Debug)]
pub struct ConfigError {
    /// The file it is in.
    pub file: PathBuf,
    /// Where in the file; `None` where the problem is the file itself or something that should be in it.
    pub position: Option<Position>,
    /// The key, from the top of the file, such as `modules.greeter.limits.memory`; empty where no key is meant.
    pub key_path: String,
    /// Which kind of problem it is.
    pub kind: ConfigErrorKind,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Why the operating system did not give the file.
    pub source: Option<io::Error>,
}

/// A place in a text; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Kinds of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// The file cannot be read or is not text.
    File,
    /// The text is not TOML.
    Syntax,
    /// A key or section that does not exist.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A value of another type, such as a number where a text belongs.
    WrongType,
    /// A value of the right type that says nothing sensible, such as a size without its unit.
    BadValue,
    /// A number, size or time outside its bounds.
    OutOfRange,
    /// The same thing twice.
    Duplicate,
    /// The name of a binding or module that does not exist.
    UnknownName,
    /// Two settings that do not go together.
    Conflict,
}

impl ConfigErrors {
    /// Makes it of the problems that were found in each file, or says that there are none.
    ///
    /// Where a file could not be read or is not TOML, nothing is known of the names that it has, and those that are
    /// missing elsewhere are not reported.
    pub(super) fn from_files(files: Vec<Vec<ConfigError>>) -> Result<(), Self> {
        let sorted = files.into_iter().flat_map(|mut errors| {
            errors.sort_by_key(|error| error.position);
            errors
        });
        let mut errors: Vec<ConfigError> = sorted.collect();
        if errors.iter().any(|error| matches!(error.kind, ConfigErrorKind::File | ConfigErrorKind::Syntax)) {
            errors.retain(|error| error.kind != ConfigErrorKind::UnknownName);
        }
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The problems, to be put together with those of other files.
    pub(super) fn into_vec(self) -> Vec<ConfigError> {
        self.0
    }

    /// Gives the problems one by one, file by file in the order of each.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    /// Writes every problem; their causes too, since a list has no single source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
            if let Some(source) = &error.source {
                write!(f, ": {source}")?;
            }
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key_path.is_empty() {
            write!(f, " {}:", self.key_path)?;
        }
        write!(f, " found {}, expected {}", self.found, self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    fn error(line: usize, hint: Option<&str>) -> ConfigError {
        ConfigError {
            file: "/etc/wapcd.toml".into(),
            position: Some(Position { line, column: 5 }),
            key_path: "daemon.worker".to_owned(),
            kind: ConfigErrorKind::UnknownKey,
            found: "an unknown key".to_owned(),
            expected: "`workers`".to_owned(),
            hint: hint.map(str::to_owned),
            source: None,
        }
    }

    #[test]
    fn a_problem_says_where_what_and_how_to_mend_it() {
        assert_eq!(
            error(3, Some("did you mean `workers`?")).to_string(),
            "/etc/wapcd.toml:3:5: daemon.worker: found an unknown key, expected `workers`\n  did you mean `workers`?"
        );
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_one_a_block() {
        let errors = ConfigErrors::from_files(vec![vec![error(7, None), error(2, None)]]).unwrap_err();
        let text = errors.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(":2:5:") && lines[1].contains(":7:5:"), "{text}");
    }

    #[test]
    fn the_cause_of_an_unreadable_file_is_written_once() {
        let source = Some(io::Error::from(io::ErrorKind::PermissionDenied));
        let errors = ConfigErrors::from(ConfigError { source, position: None, ..error(1, None) });
        assert_eq!(errors.to_string().matches("permission denied").count(), 1, "{errors}");
    }
}
