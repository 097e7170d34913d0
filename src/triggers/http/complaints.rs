//! What is logged about guests whose answers are no responses: the first at once, then one a second with the number of
//! those in between, whatever a guest does.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often at most. A person needs one to look; the double of lines would say the same.
const EVERY: Duration = Duration::from_secs(1);

/// When something was logged last, and what was left out since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    /// Logs that an answer is no response, unless that was logged just now.
    pub(super) fn bad_reply(&self, trigger: &str, module: &str, call: u64, why: &str) {
        if let Some(unlogged) = self.admit(Instant::now()) {
            tracing::warn!(trigger, module, call, why, unlogged, "the guest's answer is no response");
        }
    }

    /// How many were left out before this one; `None` where it is left out itself.
    fn admit(&self, now: Instant) -> Option<u64> {
        let (last, left_out) = &mut *self.0.lock();
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_line_and_the_next_counts_the_others() {
        let (complaints, begin) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.admit(begin), Some(0));
        assert_eq!(complaints.admit(begin), None);
        assert_eq!(complaints.admit(begin + EVERY / 2), None);
        assert_eq!(complaints.admit(begin + EVERY), Some(2));
    }
}
