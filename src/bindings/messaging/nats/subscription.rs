//! Somebody who listens to a NATS server: a task that moves messages into the bounded queue, and listens anew on every new
//! connection until nobody wants it any more.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
};

use super::{
    link::{Link, State},
    wire,
};
use crate::{
    bindings::{
        circuit::Failure,
        io,
        messaging::{broker::Subscription, queue::Queue},
    },
    config::Topic,
    host::BoxError,
};

/// How long a task waits for another connection before it says again that it has none.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a task needs.
pub(super) struct Listening {
    pub(super) link: Weak<Link>,
    pub(super) states: watch::Receiver<State>,
    pub(super) pattern: Topic,
    pub(super) group: Option<String>,
    pub(super) queue: Arc<Queue>,
    /// Told when nothing more is wanted than what is on its way.
    pub(super) closing: Arc<Notify>,
}

/// Starts to listen; answers when the server does.
pub(super) async fn subscribe(io: &Handle, listening: Listening) -> Result<Subscription, Failure> {
    let (queue, closing) = (Arc::clone(&listening.queue), Arc::clone(&listening.closing));
    let (ready, begun) = oneshot::channel();
    let task = io::run(io, listening.run(ready));
    match begun.await {
        Ok(Ok(())) => Ok(Subscription::new(queue, task).closing(closing)),
        Ok(Err(error)) => Err(Failure::Server(error)),
        Err(_stopped) => Err(Failure::Server("the binding has stopped".into())),
    }
}

impl Listening {
    async fn run(mut self, ready: oneshot::Sender<Result<(), BoxError>>) {
        let mut ready = Some(ready);
        let mut last = None;
        while let Some((id, begun)) = self.begin(last).await {
            match (begun, ready.take()) {
                (Ok(messages), wanted) => {
                    // Whoever wanted to know may be gone, and this with it.
                    wanted.and_then(|wanted| wanted.send(Ok(())).ok());
                    self.queue.set_hears(true);
                    let goes_on = self.forward(id, messages).await;
                    self.queue.set_hears(false);
                    if !goes_on {
                        break;
                    }
                }
                (Err(error), Some(wanted)) => {
                    wanted.send(Err(error)).ok();
                    break;
                }
                (Err(error), None) => tracing::debug!(error = &*error, "a subscription has to begin anew"),
            }
            last = Some(id);
        }
        self.queue.end();
    }

    /// Listens on the next connection after that one; `None` when the binding has stopped.
    async fn begin(&mut self, last: Option<u64>) -> Option<(u64, Result<Subscriber, BoxError>)> {
        loop {
            let state = self.states.borrow_and_update().clone();
            match state {
                State::Stopped => return None,
                State::Up(connection) if Some(connection.id) != last => {
                    let pattern = self.pattern.to_string();
                    let begun = async {
                        let messages = match self.group.clone() {
                            None => connection.client.subscribe(pattern).await?,
                            Some(group) => connection.client.queue_subscribe(pattern, group).await?,
                        };
                        connection.echo().await?;
                        Ok(messages)
                    };
                    return Some((connection.id, begun.await));
                }
                State::Up(_) | State::Down => {}
            }
            if let (Some(id), Some(link)) = (last, self.link.upgrade()) {
                link.lost(id);
            }
            tokio::select! {
                // Nothing is on its way where there is no connection.
                () = self.closing.notified() => return None,
                changed = tokio::time::timeout(PATIENCE, self.states.changed()) => {
                    if let Ok(Err(_gone)) = changed {
                        return None;
                    }
                }
            }
        }
    }

    /// Moves messages into the queue until the connection is lost or another takes its place; `false` where nothing more is
    /// wanted.
    async fn forward(&mut self, id: u64, mut messages: Subscriber) -> bool {
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return true };
                    self.put(message);
                }
                changed = self.states.changed() => {
                    let same = matches!(&*self.states.borrow_and_update(), State::Up(now) if now.id == id);
                    if changed.is_err() || !same {
                        return true;
                    }
                }
                () = self.closing.notified() => {
                    self.bring_the_rest(messages).await;
                    return false;
                }
            }
        }
    }

    /// Tells the server that nothing more is wanted, and takes what it sent before it heard that.
    async fn bring_the_rest(&self, mut messages: Subscriber) {
        let rest = async {
            // Where the connection is lost nothing comes any more.
            if messages.drain().await.is_ok() {
                while let Some(message) = messages.next().await {
                    self.put(message);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, rest).await.is_err() {
            tracing::debug!(pattern = %self.pattern, "the server did not say that a subscription has ended");
        }
    }

    fn put(&self, message: async_nats::Message) {
        if !self.queue.offer(&wire::received(message)) {
            self.queue.lose();
        }
    }
}
