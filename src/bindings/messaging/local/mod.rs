//! Topics inside the daemon: from guests and operators on one side to whoever listens on the other.
//!
//! ```text
//!  publish ──▶ Trie: who listens? ──▶ a Queue each, of a group one ──▶ Subscription::next
//!     │          (read lock)             (full: lost, counted)
//!     └──▶ Inboxes: does a request wait for this answer?
//! ```
//!
//! Nothing is stored: who does not listen at the moment of a publish never gets the message.

mod trie;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::time::timeout_at;

use self::trie::{Listener, Trie};
use super::{
    broker::{Broker, Carrier, Published, Publishing, Subscription, Trouble},
    durable::{Consumer, Durable},
    inboxes::{self, Inboxes},
    message::{Message, Outgoing},
    operations::{nobody_answers, nobody_listens},
    queue::{Queue, Room},
};
use crate::{
    bindings::payload::bad_request,
    config::{MessagingSettings, Topic},
    host::{HostCallError, HostErrorKind},
};

/// The broker inside the daemon.
pub(super) struct LocalBroker(Arc<Shared>);

struct Shared {
    binding: Arc<str>,
    max_message: u64,
    room: Room,
    /// `None` after the stop.
    listeners: RwLock<Option<Trie>>,
    inboxes: Inboxes<Message>,
    /// Whose turn it is in groups.
    turn: AtomicUsize,
}

/// What became of a message.
#[derive(Default)]
struct Delivered {
    /// Listeners and groups that it was for.
    meant: usize,
    /// Those that have it.
    taken: usize,
}

impl LocalBroker {
    pub(super) fn new(binding: Arc<str>, settings: &MessagingSettings) -> Self {
        Self(Arc::new(Shared {
            binding,
            max_message: settings.max_message,
            room: Room::from(settings),
            listeners: RwLock::new(Some(Trie::default())),
            inboxes: Inboxes::new(inboxes::PREFIX.to_owned()),
            turn: AtomicUsize::new(0),
        }))
    }
}

impl Broker for LocalBroker {
    fn max_message(&self) -> u64 {
        self.0.max_message
    }

    fn publish(&self, message: Outgoing<'_>) -> Publishing {
        Publishing::Now(self.0.deliver(&message).map(|_delivered| Published::default()))
    }

    fn request(&self, message: Outgoing<'_>, until: Instant) -> BoxFuture<'static, Result<Message, HostCallError>> {
        let mut inbox = self.0.inboxes.open();
        let delivered = message
            .with_reply_to(inbox.topic())
            .and_then(|message| Ok((self.0.deliver(&message)?, message.topic().to_owned())));
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let (delivered, topic) = delivered?;
            if delivered.meant == 0 {
                return Err(nobody_listens(&topic));
            }
            if delivered.taken == 0 {
                let text = format!("who listens to topic `{topic}` is too slow: the queue is full");
                return Err(HostCallError::new(HostErrorKind::Unavailable, text));
            }
            match timeout_at(until.into(), &mut inbox.answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_stopped)) => Err(shared.stopped()),
                Err(_elapsed) => Err(nobody_answers(&topic)),
            }
        })
    }

    fn subscribe(
        &self,
        pattern: &Topic,
        group: Option<&str>,
    ) -> BoxFuture<'static, Result<Subscription, HostCallError>> {
        let subscription = self.0.listen(pattern, group);
        Box::pin(std::future::ready(subscription))
    }

    fn keep(&self, _message: Outgoing<'_>) -> Publishing {
        Publishing::Now(Err(self.0.no_streams()))
    }

    fn consume(&self, _durable: Durable) -> BoxFuture<'static, Result<Box<dyn Consumer>, HostCallError>> {
        Box::pin(std::future::ready(Err(self.0.no_streams())))
    }

    fn trouble(&self) -> Option<Trouble> {
        self.0.listeners.read().is_none().then_some(Trouble::Stopped)
    }
}

impl Carrier for LocalBroker {
    fn stop(&self) {
        let listeners = self.0.listeners.write().take();
        if let Some(mut listeners) = listeners {
            listeners.clear(&mut |listener| listener.queue.end());
        }
        self.0.inboxes.end();
    }
}

impl Shared {
    fn stopped(&self) -> HostCallError {
        HostCallError::new(HostErrorKind::Unavailable, format!("binding `{}` has stopped", self.binding))
    }

    fn no_streams(&self) -> HostCallError {
        bad_request(format!(
            "binding `{}` has no streams: its messages stay in the daemon, and nothing keeps them",
            self.binding
        ))
    }

    fn deliver(&self, message: &Outgoing<'_>) -> Result<Delivered, HostCallError> {
        message.check_size(self.max_message)?;
        let listeners = self.listeners.read();
        let listeners = listeners.as_ref().ok_or_else(|| self.stopped())?;
        // Made for the first who wants it.
        let mut received = None;
        let mut delivered = Delivered::default();
        if message.topic().starts_with(inboxes::PREFIX) {
            let is_answer = self.inboxes.answer(message.topic(), || message.received());
            delivered = Delivered { meant: is_answer.into(), taken: is_answer.into() };
        }
        let mut groups = Vec::new();
        listeners.matching(message.topic(), &mut |listener| match &listener.group {
            Some(group) => groups.push((group, listener)),
            None => {
                let received = received.get_or_insert_with(|| message.received());
                delivered.meant += 1;
                if listener.queue.offer(received) {
                    delivered.taken += 1;
                } else {
                    listener.queue.lose();
                }
            }
        });
        // One group may listen with several patterns.
        groups.sort_by_key(|(group, _)| *group);
        for members in groups.chunk_by(|(left, _), (right, _)| left == right) {
            let received = received.get_or_insert_with(|| message.received());
            delivered.meant += 1;
            delivered.taken += usize::from(self.deliver_to_one(members, received));
        }
        Ok(delivered)
    }

    /// Gives a message to one member of a group, by turns; one without room is passed over.
    fn deliver_to_one(&self, members: &[(&Arc<str>, &Listener)], message: &Message) -> bool {
        let turn = self.turn.fetch_add(1, Relaxed) % members.len();
        let (before, from) = members.split_at(turn);
        let taken = from.iter().chain(before).any(|(_, listener)| listener.queue.offer(message));
        if let (false, [(_, first), ..]) = (taken, from) {
            first.queue.lose();
        }
        taken
    }

    fn listen(self: &Arc<Self>, pattern: &Topic, group: Option<&str>) -> Result<Subscription, HostCallError> {
        let queue = Arc::new(Queue::new(Arc::clone(&self.binding), pattern.to_string(), self.room));
        let mut listeners = self.listeners.write();
        let trie = listeners.as_mut().ok_or_else(|| self.stopped())?;
        let id = trie.insert(pattern.as_str(), group.map(Into::into), Arc::clone(&queue));
        drop(listeners);
        let delivery = Delivery { shared: Arc::downgrade(self), pattern: pattern.clone(), id };
        Ok(Subscription::new(queue, delivery))
    }
}

/// The entry of one subscription.
struct Delivery {
    shared: Weak<Shared>,
    pattern: Topic,
    id: u64,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        if let Some(trie) = shared.listeners.write().as_mut() {
            trie.remove(self.pattern.as_str(), self.id);
        }
    }
}
