//! Waits before another try: longer each time, up to a bound, and never the same for all who wait for one server.

use std::time::Duration;

use crate::config::Backoff;

/// After the first wait a hiccup is over. After the longest what is back is noticed soon, and a try in this time is nothing to
/// any server.
const WAITS: Backoff =
    Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(2), factor: 2.0, jitter: 0.5 };

/// Waits of one series of tries.
pub(super) struct Pause {
    /// So many since the last success.
    waits: u32,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self { waits: 0 }
    }

    /// Begins anew, after a try that succeeded.
    pub(super) fn reset(&mut self) {
        self.waits = 0;
    }

    /// How long to wait now; `roll` is a random number from 0 to 1.
    pub(super) fn next(&mut self, roll: f64) -> Duration {
        let wait = WAITS.wait(self.waits, roll);
        self.waits = self.waits.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_success() {
        let mut pause = Pause::new();
        let waits: Vec<u128> = (0..7).map(|_| pause.next(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
        pause.reset();
        assert_eq!(pause.next(1.0).as_millis(), 50);
    }
}
