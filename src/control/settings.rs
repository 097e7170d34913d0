//! What the server is given at its start, and what it works out of the daemon's bounds at each request, because a reload
//! may have changed them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{access::Grants, body::Allowed, daemon::Bounds};
use crate::{config::Config, supervisor::SETTLE};

/// Calls at one time, half of them to one module. Each may hold one payload, so this bounds the server's memory; and what
/// is left of the connections answers questions while so many calls wait for workers that hang.
const MAX_CALLS: usize = 192;
/// Swaps at one time, half of them of one module. Each may hold a whole module, 64 MiB by default, and most of its time is
/// compiling, which uses every core already.
const MAX_SWAPS: usize = 4;
/// Rollbacks at one time, and reloads at one time: they hold no more than a connection, and people ask for them one by one.
const MAX_CHANGES: usize = 16;
/// Clients that follow the events. Each holds a connection for as long as it likes, and a piece of the log while it is sent.
const FOLLOWERS: usize = 32;
/// What a body may have beyond the largest limit of all modules, so that the module itself, which knows its limit, refuses
/// it.
const BODY_SLACK: u64 = 64 << 10;

/// What the server takes from the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Path of the socket; absolute.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
    /// The group that the socket belongs to, its name or number; `None`: the process's own.
    pub socket_group: Option<String>,
    /// Who may do what.
    pub grants: Grants,
    /// Calls at one time; further ones are refused.
    pub max_calls: usize,
    /// Swaps at one time; further ones are refused.
    pub max_swaps: usize,
    /// Rollbacks at one time, and reloads at one time; further ones are refused.
    pub max_changes: usize,
    /// Clients that follow the events at one time; further ones are refused.
    pub followers: usize,
    /// Where the metrics can be read over TCP as well; port 0 means any that is free.
    pub metrics_listen: Option<SocketAddr>,
    /// How long things may take.
    pub waits: Waits,
}

/// How long things may take before the server gives up on the daemon or on a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// A question about the daemon. Answers come from memory in microseconds; the bound is for a daemon that is in
    /// trouble, and shorter than what a person waits before pressing Ctrl-C.
    pub answer: Duration,
    /// A start, stop or restart, where calls and the grace time are shorter.
    pub action: Duration,
    /// A swap, rollback or reload: as long as it takes to compile all modules of a large configuration on a small machine.
    pub change: Duration,
    /// What is added to the time that a call or a drain may take by configuration, before the server answers in its place.
    pub slack: Duration,
    /// How long a client may be silent inside its body. A pipe behind a script may be slow, so this is generous; a client
    /// that died without closing holds one of the server's connections for this long.
    pub silence: Duration,
    /// How long a client may take for its whole body, so that one that sends a byte now and then holds nothing for ever.
    pub body: Duration,
}

impl Waits {
    /// The longest that a swap, rollback or reload takes, where no call may take longer.
    pub const CHANGE: Duration = Duration::from_secs(600);
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            action: SETTLE,
            change: Self::CHANGE,
            slack: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            body: Duration::from_secs(600),
        }
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            socket: config.control.socket.clone(),
            socket_mode: config.control.socket_mode,
            socket_group: config.control.socket_group.clone(),
            grants: Grants {
                readers: config.control.readers.clone(),
                operators: config.control.operators.clone(),
                ..Grants::default()
            },
            max_calls: MAX_CALLS,
            max_swaps: MAX_SWAPS,
            max_changes: MAX_CHANGES,
            followers: FOLLOWERS,
            metrics_listen: config.metrics.listen,
            waits: Waits::default(),
        }
    }
}

impl Waits {
    /// How long a call may take before the server answers in the daemon's place.
    pub(super) fn call(&self, bounds: Bounds) -> Duration {
        bounds.call.saturating_add(self.slack)
    }

    /// How long a start, stop or restart may take.
    pub(super) fn action(&self, bounds: Bounds) -> Duration {
        bounds.call.max(bounds.grace).max(self.action).saturating_add(self.slack)
    }

    /// How long a swap, rollback or reload may take: instances take new code after the call that they run.
    pub(super) fn change(&self, bounds: Bounds) -> Duration {
        self.change.max(self.action(bounds))
    }

    /// What the body of a call may be.
    pub(super) fn payload(&self, bounds: Bounds) -> Allowed {
        let bytes = bounds.payload.saturating_add(BODY_SLACK);
        let limit = format!("{bytes} bytes, more than any module's limit allows");
        Allowed { bytes, limit, silence: self.silence, whole: self.body }
    }

    /// What the body of a swap may be.
    pub(super) fn code(&self, bounds: Bounds) -> Allowed {
        let bytes = bounds.module_size.saturating_add(BODY_SLACK);
        let limit = format!("{} bytes, the largest `limits.module_size` of all modules", bounds.module_size);
        Allowed { bytes, limit, silence: self.silence, whole: self.body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_may_have_follows_the_bounds_of_the_moment() {
        let (waits, s) = (Waits::default(), Duration::from_secs);
        let bounds = Bounds { payload: 1000, module_size: 2000, call: s(5), grace: s(30) };
        assert_eq!((waits.call(bounds), waits.action(bounds), waits.change(bounds)), (s(10), SETTLE + s(5), s(600)));
        let slow = Bounds { call: s(3_600), ..bounds };
        assert_eq!((waits.call(slow), waits.action(slow), waits.change(slow)), (s(3_605), s(3_605), s(3_605)));
        assert_eq!((waits.payload(bounds).bytes, waits.code(bounds).bytes), (1000 + BODY_SLACK, 2000 + BODY_SLACK));
        let endless = Bounds { payload: u64::MAX, module_size: u64::MAX, call: Duration::MAX, grace: Duration::MAX };
        assert_eq!((waits.payload(endless).bytes, waits.change(endless)), (u64::MAX, Duration::MAX));
    }
}
