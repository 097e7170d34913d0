//! Messages that a stream keeps until they are done, by a consumer that the server keeps.
//!
//! No more messages are asked for than calls may begin, and none while the module refuses calls: each delivery counts on the
//! server, and a module that is stopped says nothing about a message.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    pause::Pause,
    state::{Phase, STREAM, Shared},
    work,
};
use crate::{
    bindings::messaging::{Consumer, Durable, Verdict},
    config::{DurableConsumer, MessagesSettings},
    host::chain,
};

/// How often a module that refuses calls is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Why messages are asked for no more by a consumer.
enum Over {
    /// The trigger ends.
    Draining,
    /// The module takes no calls.
    Refused(String),
    /// The connection or the consumer is gone.
    Lost(String),
}

/// Takes messages until the trigger ends. `tried` is told after the first try.
pub(super) async fn run(shared: Arc<Shared>, consumer: DurableConsumer, tried: oneshot::Sender<()>) {
    let ends = async {
        take_messages(&shared, &consumer, tried).await;
        shared.finish().await;
    };
    shared.unless_stopped(ends).await;
}

async fn take_messages(shared: &Arc<Shared>, consumer: &DurableConsumer, tried: oneshot::Sender<()>) {
    let mut tried = Some(tried);
    let mut pause = Pause::new();
    let wanted = wanted(&shared.settings(), consumer);
    while shared.is_hearing() {
        // Whoever waited may be gone.
        let mut told = || tried.take().and_then(|tried| tried.send(()).ok());
        if let Some(refusal) = shared.refusal() {
            shared.misses(STREAM, refusal.to_string());
            told();
            until_calls_are_taken(shared).await;
            continue;
        }
        let why = match shared.broker.consume(wanted.clone()).await {
            Ok(begun) => {
                shared.hears(STREAM);
                told();
                pause.reset();
                match pull(shared, consumer, begun).await {
                    Over::Draining => return,
                    Over::Refused(why) => {
                        shared.misses(STREAM, why);
                        continue;
                    }
                    Over::Lost(why) => why,
                }
            }
            Err(error) => chain(&error),
        };
        if shared.end_with_binding() {
            return;
        }
        shared.misses(STREAM, why);
        told();
        tokio::select! {
            () = tokio::time::sleep(pause.next(rand::random())) => {}
            () = shared.reached(Phase::Draining) => {}
        }
    }
}

fn wanted(settings: &MessagesSettings, consumer: &DurableConsumer) -> Durable {
    Durable {
        name: consumer.name.clone(),
        stream: consumer.stream.clone(),
        topics: settings.topics.clone(),
        ack_wait: consumer.ack_wait,
        at_once: settings.concurrency,
    }
}

async fn until_calls_are_taken(shared: &Shared) {
    while shared.is_hearing() && shared.refusal().is_some() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.reached(Phase::Draining) => {}
        }
    }
}

/// Takes messages by one consumer, until it is over.
async fn pull(shared: &Arc<Shared>, settings: &DurableConsumer, mut consumer: Box<dyn Consumer>) -> Over {
    let mut not_begun = Vec::new();
    let over = loop {
        // Closed by nobody.
        let permit = tokio::select! {
            permit = Arc::clone(&shared.permits).acquire_owned() => permit,
            () = shared.reached(Phase::Draining) => break Over::Draining,
        };
        let Ok(permit) = permit else { break Over::Draining };
        if let Some(refusal) = shared.refusal() {
            break Over::Refused(refusal.to_string());
        }
        let room = shared.permits.available_permits() + 1;
        let delivery = tokio::select! {
            biased;
            () = shared.reached(Phase::Draining) => break Over::Draining,
            delivery = consumer.next(room) => delivery,
        };
        match (delivery, shared.refusal()) {
            (Ok(delivery), None) => {
                work::begin(shared, permit, work::durable(Arc::clone(shared), settings.clone(), delivery));
            }
            (Ok(delivery), Some(refusal)) => {
                not_begun.push(delivery);
                break Over::Refused(refusal.to_string());
            }
            (Err(error), _) => break Over::Lost(chain(&error)),
        }
    };
    not_begun.extend(consumer.close().await);
    // Whoever else uses the consumer may have these at once, where this one ends.
    let again = if matches!(over, Over::Refused(_)) { settings.retry_delay } else { Duration::ZERO };
    for delivery in not_begun {
        if let Err(error) = delivery.tell(Verdict::Again(again)).await {
            tracing::debug!(trigger = shared.name(), %error, "a message that was not begun comes again later");
        }
    }
    over
}
