//! How children are looked after: restarts and their waits, ends, checks, and groups.

use std::{sync::Arc, time::Duration};

/// How long a child may take to end when it is stopped; OTP's `shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// So long; what still runs then is ended.
    After(Duration),
    /// It is ended at once.
    Kill,
    /// As long as it takes. Every call has a deadline, so a module ends all the same.
    Infinity,
}

/// When a child is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheck {
    /// From one check to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that must fail before the child counts as unhealthy; at least 1.
    pub failures: u32,
}

/// `[groups.NAME]`: children that are restarted together, and counted together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Who is restarted when a member is.
    pub strategy: Strategy,
    /// Its members in the order of their start; each is a member of this group only.
    pub members: Vec<Member>,
    /// At most so many restarts of members ...
    pub intensity: u32,
    /// ... in this time; then the group as a whole has failed.
    pub period: Duration,
    /// After which time a failed group gets a new chance; `None`: never.
    pub retry_failed: Option<Duration>,
    /// Whether the daemon stops when the group has failed for good.
    pub critical: bool,
}

/// A member of a group, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Member {
    /// A module.
    Module(Arc<str>),
    /// A binding.
    Binding(Arc<str>),
    /// Another group.
    Group(Arc<str>),
    /// A trigger.
    Trigger(Arc<str>),
}

/// OTP's strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the member that ended is restarted.
    OneForOne,
    /// All members are.
    OneForAll,
    /// The member that ended and those after it are.
    RestForOne,
}

impl Strategy {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        }
    }
}

/// `[modules.NAME.restart]` or `[bindings.NAME.restart]` over `[defaults.restart]`. In a group the group's intensity, period
/// and `retry_failed` hold instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Restart {
    /// What is restarted.
    pub restart_type: RestartType,
    /// At most so many restarts ...
    pub intensity: u32,
    /// ... in this time without a successful call.
    pub period: Duration,
    /// Whether a successful call clears the history.
    pub reset_on_success: bool,
    /// After which time a failed module gets a new chance; `None`: never.
    pub retry_failed: Option<Duration>,
    /// How long to wait before a restart.
    pub backoff: Backoff,
}

/// OTP's restart types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartType {
    /// Always restarted.
    Permanent,
    /// Restarted after a failure only.
    Transient,
    /// Never restarted.
    Temporary,
}

/// How long to wait before a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// By how much each wait is longer than the one before; at least 1.
    pub factor: f64,
    /// Random part of each wait, from 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// The wait after it has grown so often; `roll`, from 0 to 1, is the random share of the jitter.
    #[must_use]
    pub fn wait(&self, growths: u32, roll: f64) -> Duration {
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let grown = self.initial.as_secs_f64() * self.factor.powi(i32::try_from(growths).unwrap_or(i32::MAX));
        let wait = grown.min(self.max.as_secs_f64());
        Duration::try_from_secs_f64(wait * (1.0 - self.jitter * roll)).unwrap_or(self.max)
    }
}
