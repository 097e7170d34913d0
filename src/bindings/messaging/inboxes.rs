//! The topics to which answers of requests go: each has one listener, who waits for one message.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What these topics begin with: as in NATS, so that rules of links are the same for every backend.
pub(super) const PREFIX: &str = "_INBOX.";

/// Requests that wait for their answers. Clones share them.
pub(super) struct Inboxes<T>(Arc<All<T>>);

struct All<T> {
    prefix: String,
    /// `None` after the end.
    waiting: Mutex<Option<HashMap<u128, oneshot::Sender<T>>>>,
}

/// One request that waits; dropping it gives up.
pub(super) struct Inbox<T> {
    all: Inboxes<T>,
    id: u128,
    /// The answer; an error where no answer can come any more.
    pub(super) answer: oneshot::Receiver<T>,
}

impl<T> Inboxes<T> {
    /// Inboxes whose topics begin with that.
    pub(super) fn new(prefix: String) -> Self {
        Self(Arc::new(All { prefix, waiting: Mutex::new(Some(HashMap::new())) }))
    }

    /// Opens one. Its topic is a secret of who asked and who was asked: nobody can guess it.
    pub(super) fn open(&self) -> Inbox<T> {
        let (sender, answer) = oneshot::channel();
        let id = rand::random();
        if let Some(waiting) = self.0.waiting.lock().as_mut() {
            waiting.insert(id, sender);
        }
        Inbox { all: self.clone(), id, answer }
    }

    /// Hands a message to the request that waits for it; `false` where none does.
    pub(super) fn answer(&self, topic: &str, message: impl FnOnce() -> T) -> bool {
        let id = topic.strip_prefix(&*self.0.prefix).and_then(|id| u128::from_str_radix(id, 16).ok());
        let Some(waiting) = id.and_then(|id| self.0.waiting.lock().as_mut()?.remove(&id)) else { return false };
        waiting.send(message()).is_ok()
    }

    /// The pattern of all its topics.
    pub(super) fn all(&self) -> String {
        format!("{}*", self.0.prefix)
    }

    /// Ends all, and those that are opened later: nobody answers any more.
    pub(super) fn end(&self) {
        self.0.waiting.lock().take();
    }
}

impl<T> Clone for Inboxes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Inbox<T> {
    pub(super) fn topic(&self) -> String {
        format!("{}{:032x}", self.all.0.prefix, self.id)
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        if let Some(waiting) = self.all.0.waiting.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_inbox_takes_one_answer_and_leaves_nothing_behind() {
        let inboxes = Inboxes::new(PREFIX.to_owned());
        let (mut first, second) = (inboxes.open(), inboxes.open());
        assert!(inboxes.answer(&first.topic(), || 1) && !inboxes.answer(&first.topic(), || 2));
        assert_eq!(first.answer.try_recv().unwrap(), 1);
        let topic = second.topic();
        drop((first, second));
        assert!(!inboxes.answer(&topic, || 3) && inboxes.0.waiting.lock().as_ref().unwrap().is_empty());
        for topic in ["_INBOX.", "_INBOX.zz", "orders", ""] {
            assert!(!inboxes.answer(topic, || 4), "{topic}");
        }
        let mut before = inboxes.open();
        inboxes.end();
        assert!(before.answer.try_recv().is_err() && inboxes.open().answer.try_recv().is_err());
    }
}
