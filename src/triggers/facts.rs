//! What a trigger says about itself. Status, tables, JSON and metrics are made of it.

use serde::{Deserialize, Serialize};

/// What a trigger says about itself.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct TriggerFacts {
    /// Guest calls that ended in a response.
    pub calls_ok: u64,
    /// Guest calls that did not.
    pub calls_failed: u64,
    /// Guest calls that wait or run.
    pub calls_running: u64,
    /// Why the last call that failed did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<f64>,
    /// What only its type has.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What only one type of trigger has to say.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// `http`.
    Http {
        /// Where it listens.
        listeners: Vec<ListenerFacts>,
        /// Connections at this moment.
        connections: u64,
        /// Connections that were refused, because there were as many as there may be.
        connections_refused: u64,
        /// Answers by the first digit of their status, `1xx` to `5xx`.
        responses: [u64; 5],
    },
    /// `schedule`.
    Schedule {
        /// When there are calls next, in seconds since the Unix epoch, the first five.
        next: Vec<f64>,
        /// When there was a call last, in seconds since the Unix epoch.
        last: Option<f64>,
        /// Times at which there was no call, because the one before still ran.
        skipped: u64,
        /// Times that passed while the daemon was down or the machine asleep.
        missed: u64,
        /// By how much the latest call was late, jitter not counted, in seconds.
        latest_s: f64,
    },
    /// `messages`.
    Messages {
        /// Whether it hears messages now.
        connected: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Messages that came, those that came again included.
        received: u64,
        /// Messages that came again.
        redelivered: u64,
        /// Messages that failed as often as they may.
        given_up: u64,
        /// Messages that found no room, because those before them took too long.
        #[serde(default)]
        lost: u64,
    },
    /// `files`.
    Files {
        /// Files that wait.
        waiting: u64,
        /// Files that were done.
        done: u64,
        /// Files that failed.
        failed: u64,
    },
}

/// One listener of a `http` trigger.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ListenerFacts {
    /// The socket, as the configuration has it; the port is the one that the system chose where that says 0.
    pub address: String,
    /// Whether connections are secured.
    pub tls: bool,
}

impl Detail {
    /// The name of the type in the configuration.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Schedule { .. } => "schedule",
            Self::Messages { .. } => "messages",
            Self::Files { .. } => "files",
        }
    }
}
