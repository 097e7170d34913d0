//! Asks for more time for a start, a reload and a stop, for as long as they get on. Without that, the limits of the unit
//! would have to know how long modules compile and how long calls may finish.

use std::{sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use super::board::{Board, Phase};
use crate::supervisor::{Standing, Start, SupervisorHandle};

/// How often it is looked whether there is progress. A third of [`MORE`], so that two looks may come late on a machine with
/// too much to do.
const LOOK: Duration = Duration::from_secs(10);

/// The time that is asked for each time. It only matters beyond the unit's own limits: a start that has stopped getting on
/// is given up so long after its last progress. Half of it would not outlast a pause of a loaded machine; twice as much would
/// make an operator wait longer for what is lost anyway.
const MORE: Duration = Duration::from_secs(30);

/// The computing that shows that compilers work, within [`LOOK`]: a tenth of one core. The daemon's clocks and beats take less
/// than a thousandth.
const WORK: Duration = Duration::from_secs(1);

/// How far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    start: Start,
    reload_lacks: usize,
    /// The time that the process has computed.
    computed: Duration,
}

/// Asks for more time while the daemon starts, reloads or stops, until it ends.
pub(super) async fn extend(board: Arc<Board>, running: SupervisorHandle) {
    let mut phase = board.phase();
    let mut before: Option<(Phase, Progress)> = None;
    loop {
        let Ok(now) = phase.wait_for(|phase| *phase != Phase::Ready).await.map(|phase| *phase) else { return };
        if let Ok(standing) = running.standing().await {
            let progress = Progress::of(&standing);
            let before = before.replace((now, progress)).filter(|(phase, _)| *phase == now);
            if now == Phase::Stopping || before.is_none_or(|(_, before)| progress.is_beyond(&before)) {
                board.extend(MORE);
            }
        }
        // An error is a phase that has not changed.
        tokio::time::timeout(LOOK, phase.changed()).await.map(drop).unwrap_or_default();
    }
}

impl Progress {
    fn of(standing: &Standing) -> Self {
        let computed = clock_gettime(ClockId::ProcessCPUTime);
        // Neither is negative.
        let computed = Duration::new(computed.tv_sec.unsigned_abs(), u32::try_from(computed.tv_nsec).unwrap_or(0));
        Self { start: standing.start, reload_lacks: standing.reload_lacks, computed }
    }

    /// Whether something has got on since. What is being started ends with its own deadlines, also where nothing is to be seen
    /// of it; what is compiled has none, and computes.
    fn is_beyond(&self, before: &Self) -> bool {
        let changed = (self.start, self.reload_lacks) != (before.start, before.reload_lacks);
        let compiles = self.start.loading + self.reload_lacks > 0;
        changed || self.start.starting > 0 || compiles && self.computed.saturating_sub(before.computed) >= WORK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(undecided: usize, loading: usize, starting: usize, computed: u64) -> Progress {
        let start = Start { undecided, loading, starting };
        Progress { start, reload_lacks: 0, computed: Duration::from_secs(computed) }
    }

    #[test]
    fn a_start_gets_on_when_something_is_decided_starts_or_compiles() {
        let before = progress(3, 1, 0, 10);
        assert!(progress(2, 1, 0, 10).is_beyond(&before), "one was decided");
        assert!(progress(3, 1, 0, 15).is_beyond(&before), "one compiles");
        assert!(!progress(3, 1, 0, 10).is_beyond(&before), "nothing happens");
        let before = progress(3, 0, 1, 10);
        assert!(progress(3, 0, 1, 10).is_beyond(&before), "one is being started");
        let before = progress(1, 0, 0, 10);
        assert!(!progress(1, 0, 0, 20).is_beyond(&before), "what computes is nothing that is waited for");
    }

    #[test]
    fn a_reload_gets_on_when_its_code_does() {
        let before = Progress { reload_lacks: 2, ..progress(0, 0, 0, 10) };
        assert!(Progress { reload_lacks: 1, ..before }.is_beyond(&before));
        assert!(Progress { computed: Duration::from_secs(12), ..before }.is_beyond(&before));
        assert!(!before.is_beyond(&before));
    }
}
