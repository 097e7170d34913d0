//! What triggers say has happened, besides the ends of calls.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Hears what happens in triggers, on whatever thread that is. Must not wait.
pub trait TriggerObserver: Send + Sync + 'static {
    /// Something happened in the trigger of that name.
    fn noticed(&self, trigger: &Arc<str>, notice: Notice);
}

/// Something that happened in a trigger.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// A certificate or credentials changed, and hold from now on.
    SecretChanged {
        /// The file.
        file: String,
    },
    /// A certificate or credentials changed and cannot be used: those before go on.
    SecretRefused {
        /// The file.
        file: String,
        /// Why not, without what is secret.
        why: String,
    },
    /// Times of a schedule passed while the daemon was down or the machine asleep.
    Missed {
        /// How many; at least one.
        times: u64,
        /// Whether one call makes up for them.
        caught_up: bool,
    },
    /// A message or file failed as often as it may.
    GivenUp {
        /// The topic of the message, or the name of the file.
        what: String,
        /// Why it failed last.
        why: String,
        /// Where it is now, if anywhere.
        kept: Option<String>,
    },
    /// Something in an inbox is not taken, or not moved away: it stays where it is.
    Hindered {
        /// The file or the directory.
        what: String,
        /// Why.
        why: String,
    },
    /// It hears messages again, or no more.
    Connection {
        /// Why no more; `None`: again.
        lost: Option<String>,
    },
}

impl Notice {
    /// Whether an operator should look.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::SecretChanged { .. } | Self::Connection { lost: None } => false,
            Self::SecretRefused { .. } | Self::Missed { .. } | Self::GivenUp { .. } | Self::Hindered { .. } => true,
            Self::Connection { lost: Some(_) } => true,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretChanged { file } => write!(f, "`{file}` changed and holds from now on"),
            Self::SecretRefused { file, why } => {
                write!(f, "`{file}` changed and cannot be used, what it was before goes on: {why}")
            }
            Self::Missed { times, caught_up: true } => {
                write!(f, "{times} times had passed, one call makes up for them")
            }
            Self::Missed { times, caught_up: false } => write!(f, "{times} times had passed without a call"),
            Self::GivenUp { what, why, kept: Some(kept) } => write!(f, "gave `{what}` up, it is in `{kept}`: {why}"),
            Self::GivenUp { what, why, kept: None } => write!(f, "gave `{what}` up: {why}"),
            Self::Hindered { what, why } => write!(f, "`{what}` stays where it is: {why}"),
            Self::Connection { lost: None } => f.write_str("hears messages again"),
            Self::Connection { lost: Some(why) } => write!(f, "hears no messages: {why}"),
        }
    }
}
