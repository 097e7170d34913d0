//! Threads that tell that they turn over, whenever somebody asks. Nothing wakes them otherwise.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The threads of the control server, as whoever wants to know whether they hang sees them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How often it was asked.
    asked: watch::Sender<u64>,
    /// Number of the last question that each thread has answered.
    answered: Mutex<Vec<Arc<AtomicU64>>>,
}

/// The answers of one thread; gone with it.
struct Answers {
    pulse: Pulse,
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Asks every thread to turn over once more, and tells which question each has answered last. A thread that hangs tells
    /// the same number each time.
    #[must_use]
    pub fn ask(&self) -> Vec<u64> {
        let answered = self.0.answered.lock().iter().map(|last| last.load(Relaxed)).collect();
        self.0.asked.send_modify(|asked| *asked += 1);
        answered
    }

    /// Answers for the thread on which this runs, for as long as it does.
    pub(super) async fn answer(self) {
        let mut asked = self.0.asked.subscribe();
        let answers = Answers::new(self);
        while asked.changed().await.is_ok() {
            answers.last.store(*asked.borrow_and_update(), Relaxed);
        }
    }
}

impl Answers {
    fn new(pulse: Pulse) -> Self {
        let last = Arc::default();
        pulse.0.answered.lock().push(Arc::clone(&last));
        Self { pulse, last }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.pulse.0.answered.lock().retain(|last| !Arc::ptr_eq(last, &self.last));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[actix::test]
    async fn a_thread_that_turns_over_answers_each_question_and_one_that_ended_is_not_asked() {
        let pulse = Pulse::default();
        assert_eq!(pulse.ask(), [0; 0]);
        let thread = actix::spawn(pulse.clone().answer());
        tokio::task::yield_now().await;
        let first = pulse.ask();
        assert_eq!(pulse.ask(), first, "it had no turn in between");
        tokio::task::yield_now().await;
        assert_ne!(pulse.ask(), first);
        thread.abort();
        assert!(thread.await.unwrap_err().is_cancelled());
        assert_eq!(pulse.ask(), [0; 0]);
    }
}
