//! Who has a binding's backend: so many host calls at once over all workers, and of those that wait each module in its turn.
//!
//! ```text
//!  enter ──▶ room? ── yes ──▶ Permit ── dropped ──▶ the next of the module whose turn it is
//!              └ no ──▶ queue of its module ◀── one from each in turn ─┘
//! ```
//!
//! A module that floods a binding fills its own queue only: another's call waits for at most one call of each module that
//! waits. When all queues together are full, it is the longest that loses its last call.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::BindingLimits;

/// The way to the backend of one binding, shared by its actors on all workers.
pub struct Turnstile {
    limits: BindingLimits,
    /// Whether calls are counted at all.
    counts: bool,
    state: Mutex<State>,
    refused: AtomicU64,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Modules with calls that wait, in the order of their turns; none is empty.
    modules: VecDeque<Queue>,
}

struct Queue {
    module: Arc<str>,
    turns: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to have one call in the backend; its end lets the next one in.
pub struct Permit(Option<Arc<Turnstile>>);

/// What comes of asking.
pub(super) enum Entry {
    /// Nothing is counted here, or there is room.
    Now(Permit),
    /// There is none: the permit comes, or the sender is dropped where others go before.
    Wait(oneshot::Receiver<Permit>),
    /// All places to wait are taken.
    Full,
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Calls in the backend.
    pub running: usize,
    /// Calls that wait for it.
    pub waiting: usize,
    /// Calls that were refused because too many waited.
    pub refused: u64,
}

impl Turnstile {
    /// A turnstile with these limits.
    #[must_use]
    pub fn new(limits: BindingLimits) -> Arc<Self> {
        Self::make(limits, true)
    }

    /// One that counts nothing: for what answers at once or has limits of its own.
    #[must_use]
    pub fn open(limits: BindingLimits) -> Arc<Self> {
        Self::make(limits, false)
    }

    fn make(limits: BindingLimits, counts: bool) -> Arc<Self> {
        Arc::new(Self { limits, counts, state: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// The limits of the binding.
    pub(super) fn limits(&self) -> &BindingLimits {
        &self.limits
    }

    /// Whether calls are counted here, and wait in turns.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// How long a call may take, waiting included.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.limits.timeout
    }

    /// How full it is.
    #[must_use]
    pub fn load(&self) -> Load {
        let state = self.state.lock();
        Load { running: state.running, waiting: state.waiting, refused: self.refused.load(Relaxed) }
    }

    /// Asks for a place in the backend for a call of that module.
    pub(super) fn enter(self: &Arc<Self>, module: &Arc<str>) -> Entry {
        if !self.counts {
            return Entry::Now(Permit(None));
        }
        let mut state = self.state.lock();
        // Those that wait go first, except where nobody of them is left.
        if state.running < self.limits.concurrent as usize && state.waiting == 0 {
            state.running += 1;
            return Entry::Now(Permit(Some(Arc::clone(self))));
        }
        if state.waiting >= self.limits.queue as usize && !state.make_room(module) {
            drop(state);
            self.refused.fetch_add(1, Relaxed);
            return Entry::Full;
        }
        let (turn, wait) = oneshot::channel();
        state.push(module, turn);
        drop(state);
        Entry::Wait(wait)
    }

    /// Gives the place of a call that has ended to the next.
    fn leave(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            let Some(turn) = state.next() else {
                state.running -= 1;
                return;
            };
            drop(state);
            match turn.send(Permit(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // Nobody waits for it any more. The place is still this one's to give.
                Err(mut permit) => permit.0 = None,
            }
        }
    }
}

impl State {
    fn push(&mut self, module: &Arc<str>, turn: oneshot::Sender<Permit>) {
        self.waiting += 1;
        match self.modules.iter_mut().find(|queue| queue.module == *module) {
            Some(queue) => queue.turns.push_back(turn),
            None => self.modules.push_back(Queue { module: Arc::clone(module), turns: VecDeque::from([turn]) }),
        }
    }

    /// The next call of the module whose turn it is, which then waits for the others' turns.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let mut queue = self.modules.pop_front()?;
        let turn = queue.turns.pop_front();
        self.waiting -= usize::from(turn.is_some());
        if !queue.turns.is_empty() {
            self.modules.push_back(queue);
        }
        turn
    }

    /// Makes room for a call of that module at the cost of those that nobody waits for, or of the longest queue if that is
    /// another's and longer than its own; whether there is room now.
    fn make_room(&mut self, module: &Arc<str>) -> bool {
        let before = self.waiting;
        for queue in &mut self.modules {
            queue.turns.retain(|turn| !turn.is_closed());
        }
        self.modules.retain(|queue| !queue.turns.is_empty());
        self.waiting = self.modules.iter().map(|queue| queue.turns.len()).sum();
        if self.waiting < before {
            return true;
        }
        let own = self.modules.iter().find(|queue| queue.module == *module).map_or(0, |queue| queue.turns.len());
        let Some(longest) = self.modules.iter_mut().max_by_key(|queue| queue.turns.len()) else { return false };
        if longest.turns.len() <= own + 1 {
            return false;
        }
        // Dropped: who waits for it is told that the binding is busy.
        longest.turns.pop_back();
        self.waiting -= 1;
        true
    }
}

impl Permit {
    /// Whether it lets through this turnstile.
    pub(super) fn is_of(&self, turnstile: &Arc<Turnstile>) -> bool {
        match &self.0 {
            Some(own) => Arc::ptr_eq(own, turnstile),
            None => !turnstile.counts,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(turnstile) = self.0.take() {
            turnstile.leave();
        }
    }
}

impl std::fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turnstile").field("load", &self.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    fn turnstile(concurrent: u32, queue: u32) -> Arc<Turnstile> {
        Turnstile::new(BindingLimits { concurrent, queue, ..BindingLimits::default() })
    }

    fn permit(entry: Entry) -> Permit {
        let Entry::Now(permit) = entry else { panic!("there is room") };
        permit
    }

    fn waiting(entry: Entry) -> oneshot::Receiver<Permit> {
        let Entry::Wait(wait) = entry else { panic!("it waits") };
        wait
    }

    #[test]
    fn modules_take_turns_however_many_calls_one_of_them_has() {
        let (turnstile, flood, other): (_, Arc<str>, Arc<str>) = (turnstile(1, 100), "flood".into(), "other".into());
        let mut running = permit(turnstile.enter(&flood));
        let mut flooding: Vec<_> = (0..50).map(|_| waiting(turnstile.enter(&flood))).collect();
        let mut others: Vec<_> = (0..3).map(|_| waiting(turnstile.enter(&other))).collect();
        let mut order = String::new();
        for _ in 0..6 {
            drop(running);
            let next = flooding.iter_mut().find_map(|wait| wait.try_recv().ok()).map(|permit| ('f', permit));
            let next =
                next.or_else(|| others.iter_mut().find_map(|wait| wait.try_recv().ok()).map(|permit| ('o', permit)));
            let (who, permit) = next.unwrap();
            order.push(who);
            running = permit;
        }
        assert_eq!(order, "fofofo");
        assert_eq!(turnstile.load(), Load { running: 1, waiting: 47, refused: 0 });
    }

    #[test]
    fn a_full_gate_refuses_the_longest_queue_first() {
        let (turnstile, flood, other): (_, Arc<str>, Arc<str>) = (turnstile(1, 3), "flood".into(), "other".into());
        let _running = permit(turnstile.enter(&flood));
        let mut flooding: Vec<_> = (0..3).map(|_| waiting(turnstile.enter(&flood))).collect();
        assert!(matches!(turnstile.enter(&flood), Entry::Full));
        let mut first = waiting(turnstile.enter(&other));
        assert!(matches!(flooding.pop().unwrap().try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        // Two of the one, one of the other: the next of the other would not leave the first with its share.
        assert!(matches!(turnstile.enter(&other), Entry::Full));
        assert!(matches!(first.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        assert_eq!(turnstile.load(), Load { running: 1, waiting: 3, refused: 2 });
    }

    #[test]
    fn a_place_is_not_given_to_those_who_went_away() {
        let (turnstile, module): (_, Arc<str>) = (turnstile(1, 3), "m".into());
        let running = permit(turnstile.enter(&module));
        drop(waiting(turnstile.enter(&module)));
        let mut last = waiting(turnstile.enter(&module));
        drop(running);
        drop(last.try_recv().unwrap());
        assert_eq!(turnstile.load(), Load { running: 0, waiting: 0, refused: 0 });
        drop(permit(turnstile.enter(&module)));
    }

    #[test]
    fn a_permit_that_arrives_as_its_call_goes_away_is_passed_on() {
        let (turnstile, module): (_, Arc<str>) = (turnstile(1, 3), "m".into());
        let running = permit(turnstile.enter(&module));
        let gone = waiting(turnstile.enter(&module));
        let mut last = waiting(turnstile.enter(&module));
        drop(running);
        drop(gone);
        drop(last.try_recv().unwrap());
        assert_eq!(turnstile.load().running, 0);
    }
}
