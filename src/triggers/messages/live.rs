//! Messages that are gone once they are delivered: topics inside the daemon, and those of a NATS server.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{
    pause::Pause,
    state::{Phase, Shared},
    work,
};
use crate::{
    bindings::messaging::{Subscription, Trouble},
    config::Topic,
};

/// Listens to all topics, until the trigger ends. `tried` is told when each was tried once.
pub(super) async fn run(shared: Arc<Shared>, tried: oneshot::Sender<()>) {
    let topics = shared.settings().topics.clone();
    let (told, all): (Vec<_>, Vec<_>) = topics.iter().map(|_| oneshot::channel()).unzip();
    let listening = topics.iter().zip(told).map(|(topic, told)| listen(&shared, topic, told));
    let first = async {
        join_all(all).await;
        // Whoever waited may be gone.
        tried.send(()).unwrap_or_default();
    };
    shared
        .unless_stopped(async {
            tokio::join!(first, join_all(listening));
            shared.finish().await;
        })
        .await;
}

/// Listens to one topic.
async fn listen(shared: &Arc<Shared>, topic: &Topic, tried: oneshot::Sender<()>) {
    let mut tried = Some(tried);
    let mut pause = Pause::new();
    let group = shared.settings().group.clone();
    while shared.is_hearing() {
        let begun = shared.broker.subscribe(topic, group.as_deref()).await;
        let failed = match begun {
            Ok(subscription) => {
                shared.hears(topic.as_str());
                // Whoever waited may be gone.
                tried.take().and_then(|tried| tried.send(()).ok());
                hear(shared, topic, subscription).await;
                pause.reset();
                None
            }
            Err(error) => Some(crate::host::chain(&error)),
        };
        if !shared.is_hearing() || shared.end_with_binding() {
            return;
        }
        shared.misses(topic.as_str(), failed.unwrap_or_else(|| "the subscription has ended".to_owned()));
        tried.take().and_then(|tried| tried.send(()).ok());
        tokio::select! {
            () = tokio::time::sleep(pause.next(rand::random())) => {}
            () = shared.reached(Phase::Draining) => {}
        }
    }
}

/// Takes messages until nothing comes any more. Where the trigger drains, what has come is still worked on: nobody else has it.
async fn hear(shared: &Arc<Shared>, topic: &Topic, mut subscription: Subscription) {
    let mut hears = subscription.hears();
    subscription.count_losses(Arc::clone(&shared.counts.lost));
    let mut draining = false;
    loop {
        let message = tokio::select! {
            biased;
            () = shared.reached(Phase::Draining), if !draining => {
                draining = true;
                subscription.close();
                continue;
            }
            Ok(()) = hears.changed() => {
                note(shared, topic, *hears.borrow_and_update());
                continue;
            }
            message = subscription.next() => message,
        };
        let Some(message) = message else { return };
        // Closed by nobody. Meanwhile others wait in the queue of the subscription, which is bounded.
        let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else { return };
        work::begin(shared, permit, work::live(Arc::clone(shared), message));
    }
}

/// Notes that the connection is lost, or is back.
fn note(shared: &Shared, topic: &Topic, hears: bool) {
    if hears {
        return shared.hears(topic.as_str());
    }
    let why = match shared.broker.trouble() {
        Some(Trouble::Down(why)) => why,
        // The end comes by another way.
        Some(Trouble::Stopped) => return,
        None => "the connection was lost".to_owned(),
    };
    if shared.is_hearing() {
        shared.misses(topic.as_str(), why);
    }
}
