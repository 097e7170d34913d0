//! What differs between two configurations, and what each difference takes: a pure function of both.
//!
//! `diff` compares them key by key; here are its words.

mod bindings;
mod children;
mod diff;
mod triggers;

use std::fmt;

use super::model::Member;

pub use self::diff::plan;

/// Everything that differs, in the order in which it is told: sections of the daemon, bindings, groups, modules and triggers as the
/// new configuration orders them, then what is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The differences; empty where both configurations say the same.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Whether both configurations say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One sentence for each key that only another start of the daemon can change; where there is one, the plan is refused.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        let refused = self.changes.iter().filter(|change| change.action == ChangeAction::NeedsDaemonRestart);
        let sentence = |path: String| format!("{path}: only a restart of the daemon changes this");
        refused
            .flat_map(|change| change.keys.iter().map(move |key| format!("{}.{key}", change.subject)))
            .map(sentence)
            .collect()
    }
}

impl fmt::Display for Plan {
    /// Writes each change on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub subject: Changed,
    /// What it takes.
    pub action: ChangeAction,
    /// The keys that differ, below the subject, as `limits.memory`; empty where the whole subject comes or goes.
    pub keys: Vec<String>,
}

/// What can differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Changed {
    /// A module, binding or group.
    Child(Member),
    /// A section of the daemon itself, as `logging`.
    Section(&'static str),
}

/// What a difference takes. Of several differences of one child the greatest decides; everything smaller is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeAction {
    /// It goes on as it is, with other limits, links or settings.
    Adjust,
    /// A module gets new code between two calls, because its path is another.
    Swap,
    /// A module gets fresh instances, or a binding a fresh backend.
    Restart,
    /// It is new.
    Add,
    /// It is gone.
    Remove,
    /// Only another start of the daemon can change this.
    NeedsDaemonRestart,
}

impl ChangeAction {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adjust => "adjust",
            Self::Swap => "swap",
            Self::Restart => "restart",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::NeedsDaemonRestart => "needs_daemon_restart",
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Child(Member::Module(name)) => write!(f, "modules.{name}"),
            Self::Child(Member::Binding(name)) => write!(f, "bindings.{name}"),
            Self::Child(Member::Group(name)) => write!(f, "groups.{name}"),
            Self::Child(Member::Trigger(name)) => write!(f, "triggers.{name}"),
            Self::Section(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Change {
    /// Writes it as `swap modules.orders (path)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            ChangeAction::NeedsDaemonRestart => "needs a restart of the daemon:",
            action => action.as_str(),
        };
        write!(f, "{action} {}", self.subject)?;
        if self.keys.is_empty() { Ok(()) } else { write!(f, " ({})", self.keys.join(", ")) }
    }
}
