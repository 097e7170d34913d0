//! What happens after an exit. Plain values in, plain values out: no clock, no actor, no wasm.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use crate::{
    actors::ExitReason,
    config::{Restart, RestartType},
};

/// The restarts of one module that still count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    restarts: VecDeque<Instant>,
}

impl History {
    /// Restarts that count at `now`.
    #[must_use]
    pub fn in_window(&self, period: Duration, now: Instant) -> u32 {
        let counts = |at: &&Instant| now.saturating_duration_since(**at) < period;
        u32::try_from(self.restarts.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }
}

/// What to do with a module after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start a fresh instance at once.
    Restart,
    /// Leave it stopped: it ended as it may end.
    Stop,
    /// Leave it failed: it ended too often.
    GiveUp,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::GiveUp => "give_up",
        })
    }
}

/// Decides after one exit and returns the history that follows from it.
///
/// `succeeded` tells whether a call has succeeded since the exit before: where the module says `reset_on_success`, that
/// clears the history. A deadline that passed while the guest waited for somebody else is restarted and not counted.
#[must_use]
pub fn decide(
    spec: &Restart,
    exit: ExitReason,
    succeeded: bool,
    history: History,
    now: Instant,
) -> (Decision, History) {
    let mut history = if succeeded && spec.reset_on_success { History::default() } else { history };
    let normal = matches!(exit, ExitReason::Stopped | ExitReason::Exited(0));
    match spec.restart_type {
        RestartType::Temporary => return (if normal { Decision::Stop } else { Decision::GiveUp }, history),
        RestartType::Transient if normal => return (Decision::Stop, history),
        RestartType::Transient | RestartType::Permanent => {}
    }
    if matches!(exit, ExitReason::DeadlineExceeded { in_host_call: true }) {
        return (Decision::Restart, history);
    }
    history.restarts.retain(|at| now.saturating_duration_since(*at) < spec.period);
    if history.restarts.len() >= spec.intensity as usize {
        return (Decision::GiveUp, history);
    }
    history.restarts.push_back(now);
    (Decision::Restart, history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backoff;

    fn spec(restart_type: RestartType, intensity: u32, reset_on_success: bool) -> Restart {
        let backoff = Backoff { initial: Duration::ZERO, max: Duration::ZERO, factor: 1.0, jitter: 0.0 };
        let period = Duration::from_secs(30);
        Restart { restart_type, intensity, period, reset_on_success, retry_failed: None, backoff }
    }

    /// Decisions for exits at the given seconds.
    fn run(spec: &Restart, exits: &[(u64, ExitReason, bool)]) -> Vec<Decision> {
        let start = Instant::now();
        let mut history = History::default();
        let mut decisions = Vec::new();
        for (at, exit, succeeded) in exits {
            let (decision, next) = decide(spec, *exit, *succeeded, history, start + Duration::from_secs(*at));
            history = next;
            decisions.push(decision);
        }
        decisions
    }

    const TRAP: ExitReason = ExitReason::Trapped;

    #[test]
    fn a_module_is_restarted_as_often_as_its_intensity_says_and_then_given_up() {
        use Decision::{GiveUp, Restart};
        let permanent = spec(RestartType::Permanent, 2, true);
        assert_eq!(
            run(&permanent, &[(0, TRAP, false), (1, TRAP, false), (2, TRAP, false)]),
            [Restart, Restart, GiveUp]
        );
        let never = spec(RestartType::Permanent, 0, true);
        assert_eq!(run(&never, &[(0, TRAP, false)]), [GiveUp]);
    }

    #[test]
    fn restarts_older_than_the_period_no_longer_count() {
        let permanent = spec(RestartType::Permanent, 1, true);
        let exits = [(0, TRAP, false), (30, TRAP, false), (59, TRAP, false)];
        assert_eq!(run(&permanent, &exits), [Decision::Restart, Decision::Restart, Decision::GiveUp]);
    }

    #[test]
    fn a_successful_call_clears_the_history_unless_the_module_counts_plainly() {
        let exits = [(0, TRAP, false), (1, TRAP, true), (2, TRAP, true)];
        assert_eq!(run(&spec(RestartType::Permanent, 1, true), &exits), [Decision::Restart; 3]);
        let plain = run(&spec(RestartType::Permanent, 1, false), &exits);
        assert_eq!(plain, [Decision::Restart, Decision::GiveUp, Decision::GiveUp]);
    }

    #[test]
    fn waiting_for_somebody_else_past_the_deadline_does_not_count() {
        let exit = ExitReason::DeadlineExceeded { in_host_call: true };
        let exits = [(0, exit, false), (1, exit, false), (2, exit, false)];
        assert_eq!(run(&spec(RestartType::Permanent, 0, true), &exits), [Decision::Restart; 3]);
        let own = ExitReason::DeadlineExceeded { in_host_call: false };
        assert_eq!(run(&spec(RestartType::Permanent, 0, true), &[(0, own, false)]), [Decision::GiveUp]);
    }

    #[test]
    fn transient_and_temporary_modules_may_end_normally() {
        let (zero, one) = (ExitReason::Exited(0), ExitReason::Exited(1));
        let transient = spec(RestartType::Transient, 5, true);
        assert_eq!(run(&transient, &[(0, zero, false), (1, one, false)]), [Decision::Stop, Decision::Restart]);
        let temporary = spec(RestartType::Temporary, 5, true);
        assert_eq!(run(&temporary, &[(0, zero, false), (1, one, false)]), [Decision::Stop, Decision::GiveUp]);
        assert_eq!(run(&spec(RestartType::Permanent, 5, true), &[(0, zero, false)]), [Decision::Restart]);
    }
}
