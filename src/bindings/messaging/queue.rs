//! The messages that wait for one subscriber: bounded in number and in bytes, and never a reason to wait for whoever
//! publishes.
//!
//! A message that finds no room is lost for this subscriber alone. The loss is counted, told with the next message that
//! is taken, and logged when it begins and when it is over.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::message::Message;

/// How much may wait for one subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) messages: usize,
    /// A message that finds nothing before it has room all the same.
    pub(super) bytes: usize,
}

/// The queue of one subscriber.
pub(super) struct Queue {
    binding: Arc<str>,
    /// What it listens to, for the log.
    pattern: String,
    room: Room,
    state: Mutex<State>,
    hears: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// Lost since a message was last put in.
    missed: u64,
    /// Lost since it began to lose.
    lost: u64,
    /// Lost ever, where somebody counts that.
    counter: Arc<AtomicU64>,
    /// Nothing comes any more.
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn new(binding: Arc<str>, pattern: String, room: Room) -> Self {
        Self { binding, pattern, room, state: Mutex::default(), hears: watch::Sender::new(true) }
    }

    /// Whether messages come at the moment.
    pub(super) fn hears(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    /// Notes whether messages come.
    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.send_if_modified(|before| std::mem::replace(before, hears) != hears);
    }

    /// Puts a message in; `false` where there is no room for it.
    pub(super) fn offer(&self, message: &Message) -> bool {
        let size = message.size();
        let mut state = self.state.lock();
        let fits = state.waiting.len() < self.room.messages && state.bytes + size <= self.room.bytes;
        if state.ended || !(fits || state.waiting.is_empty()) {
            return false;
        }
        state.bytes += size;
        let missed = std::mem::take(&mut state.missed);
        state.waiting.push_back(Message { missed, ..message.clone() });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Counts a message that found no room.
    pub(super) fn lose(&self) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        state.missed += 1;
        state.lost += 1;
        state.counter.fetch_add(1, Relaxed);
        let begins = state.lost == 1;
        drop(state);
        if begins {
            let (binding, pattern) = (&*self.binding, &*self.pattern);
            tracing::warn!(binding, pattern, "a subscriber is too slow: it loses messages");
        }
    }

    /// Counts here from now on, and what was lost before.
    pub(super) fn count_losses(&self, counter: Arc<AtomicU64>) {
        let mut state = self.state.lock();
        counter.fetch_add(state.counter.load(Relaxed), Relaxed);
        state.counter = counter;
    }

    /// The next message, or `None` at the end.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.state.lock();
        if let Some(message) = self.take(&mut state) {
            return Poll::Ready(Some(message));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        // One waits at a time: whoever waited before is gone.
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next message, if it is there.
    pub(super) fn try_next(&self) -> Option<Message> {
        self.take(&mut self.state.lock())
    }

    fn take(&self, state: &mut State) -> Option<Message> {
        let message = state.waiting.pop_front()?;
        state.bytes -= message.size();
        if state.waiting.is_empty() && state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            let (binding, pattern) = (&*self.binding, &*self.pattern);
            tracing::info!(binding, pattern, lost, "a subscriber that lost messages has caught up");
        }
        Some(message)
    }

    /// Lets nothing more in: who waits for messages gets what is there, and then the end.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use bytes::Bytes;

    use super::*;
    use crate::bindings::messaging::Outgoing;

    fn message(payload: &'static str) -> Message {
        Outgoing::new("t", Bytes::from_static(payload.as_bytes())).unwrap().received()
    }

    fn queue(messages: usize, bytes: usize) -> Queue {
        Queue::new("b".into(), "t".into(), Room { messages, bytes })
    }

    #[test]
    fn what_has_no_room_is_lost_and_told_with_the_next_that_has() {
        let queue = queue(2, 1 << 20);
        let taken: Vec<bool> = ["1", "2", "3", "4"].map(|text| queue.offer(&message(text))).to_vec();
        assert_eq!(taken, [true, true, false, false]);
        queue.lose();
        queue.lose();
        assert_eq!(queue.try_next().unwrap().payload, "1");
        assert!(queue.offer(&message("5")));
        let rest: Vec<_> = std::iter::from_fn(|| queue.try_next()).map(|next| (next.payload, next.missed)).collect();
        assert_eq!(rest, [(Bytes::from("2"), 0), (Bytes::from("5"), 2)]);
        assert_eq!(queue.state.lock().bytes, 0);
    }

    #[test]
    fn losses_are_counted_when_they_happen() {
        let (queue, lost) = (queue(1, 1 << 20), Arc::new(AtomicU64::new(7)));
        queue.lose();
        queue.count_losses(Arc::clone(&lost));
        assert_eq!(lost.load(Relaxed), 8);
        queue.lose();
        assert_eq!(lost.load(Relaxed), 9);
    }

    #[test]
    fn who_loses_has_caught_up_when_nothing_waits_though_nothing_came_since() {
        let queue = queue(1, 1 << 20);
        assert!(queue.offer(&message("1")));
        queue.lose();
        queue.try_next().unwrap();
        assert_eq!(queue.state.lock().lost, 0);
    }

    #[test]
    fn bytes_are_bounded_but_a_single_message_always_fits() {
        let queue = queue(100, 1);
        assert!(queue.offer(&message("large")) && !queue.offer(&message("x")));
        queue.try_next().unwrap();
        assert!(queue.offer(&message("x")));
    }

    #[test]
    fn the_end_comes_after_what_is_there() {
        let queue = queue(2, 1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(queue.poll(&mut cx).is_pending());
        queue.offer(&message("1"));
        queue.end();
        assert!(!queue.offer(&message("2")));
        assert!(matches!(queue.poll(&mut cx), Poll::Ready(Some(_))));
        assert!(matches!(queue.poll(&mut cx), Poll::Ready(None)));
    }
}
