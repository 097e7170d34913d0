//! One message: the call, and what comes of it.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    answer::answer,
    payload::payload,
    state::{Phase, Shared},
};
use crate::{
    actors::{CallFailure, CallReply},
    bindings::messaging::{Delivery, Message, Verdict},
    config::{DurableConsumer, MessagesSettings},
    host::{HostCallError, chain},
    triggers::Notice,
};

/// The part of `ack_wait` after which the server is told that a call still runs: two of three such words may be lost.
const WORD: u32 = 3;

/// How long at least a message waits for a module that has no room for it.
const NO_ROOM: Duration = Duration::from_millis(100);

/// How long a verdict that was not sent waits for another try.
const VERDICT_AGAIN: Duration = Duration::from_millis(200);

/// Begins to work on a message; the permit is back when that has ended, or the trigger is stopped.
pub(super) fn begin(
    shared: &Arc<Shared>,
    permit: OwnedSemaphorePermit,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        shared.unless_stopped(work).await;
        drop(permit);
    });
}

/// Works on a message that nobody keeps.
pub(super) async fn live(shared: Arc<Shared>, message: Message) {
    shared.counts.received.fetch_add(1, Relaxed);
    let settings = shared.settings();
    let Some(reply) = call(&shared, &settings, &message, None).await else { return };
    send_answer(&shared, &message, &reply).await;
}

/// Works on a message that a stream keeps until it is told what becomes of it.
pub(super) async fn durable(shared: Arc<Shared>, consumer: DurableConsumer, delivery: Delivery) {
    shared.counts.received.fetch_add(1, Relaxed);
    if delivery.deliveries > 1 {
        shared.counts.redelivered.fetch_add(1, Relaxed);
    }
    let message = &delivery.message;
    let called = call_until_begun(&shared, &consumer, &delivery);
    let Some(reply) = with_words(&consumer, &delivery, called).await else { return };
    let verdict = match &reply.outcome {
        Ok(_) => {
            send_answer(&shared, message, &reply).await;
            Verdict::Done
        }
        // The message is none the worse for that, however often it was delivered.
        Err(failure) if failure.is_unavailable() => Verdict::Again(consumer.retry_delay),
        Err(_) if delivery.deliveries < u64::from(consumer.max_deliveries) => Verdict::Again(consumer.retry_delay),
        Err(failure) => {
            let verdict = give_up(&shared, &consumer, &delivery, failure).await;
            if verdict == Verdict::Never {
                send_answer(&shared, message, &reply).await;
            }
            verdict
        }
    };
    settle(&shared, &consumer, &delivery, verdict).await;
}

/// Calls the guest; `None` where there is no payload to call it with.
async fn call(
    shared: &Shared,
    settings: &MessagesSettings,
    message: &Message,
    deliveries: Option<u64>,
) -> Option<CallReply> {
    match payload(settings.envelope, message, deliveries) {
        Ok(payload) => Some(shared.caller.call_target(&settings.target, payload).await),
        Err(error) => {
            tracing::warn!(trigger = shared.name(), %error, "the map of a message cannot be written");
            None
        }
    }
}

/// Calls the guest until it has had the message, or nobody knows when it will. A server counts whatever is given back as if
/// it had failed, and cannot be told otherwise: so a message for which the module has no room now is kept meanwhile.
async fn call_until_begun(shared: &Shared, consumer: &DurableConsumer, delivery: &Delivery) -> Option<CallReply> {
    loop {
        let settings = shared.settings();
        let reply = call(shared, &settings, &delivery.message, Some(delivery.deliveries)).await?;
        let has_no_room = reply.outcome.as_ref().is_err_and(CallFailure::is_unavailable);
        // Another daemon may have a module that is not stopped.
        if !has_no_room || shared.refusal().is_some() || !shared.is_hearing() {
            return Some(reply);
        }
        tokio::select! {
            () = tokio::time::sleep(consumer.retry_delay.max(NO_ROOM)) => {}
            () = shared.reached(Phase::Draining) => return Some(reply),
        }
    }
}

/// Waits for a call, and tells the server from time to time that it is not over.
async fn with_words<T>(consumer: &DurableConsumer, delivery: &Delivery, called: impl Future<Output = T>) -> T {
    let words = async {
        loop {
            tokio::time::sleep(consumer.ack_wait / WORD).await;
            if let Err(error) = delivery.tell(Verdict::Working).await {
                tracing::debug!(%error, "the server is not told that a message is being worked on");
            }
        }
    };
    // A server that takes its time keeps nobody from the end of the call.
    tokio::select! {
        biased;
        reply = called => reply,
        never = words => never,
    }
}

async fn send_answer(shared: &Shared, message: &Message, reply: &CallReply) {
    let Some(reply_to) = &message.reply_to else { return };
    if let Err(error) = answer(&*shared.broker, reply_to, &reply.outcome).await {
        tracing::debug!(trigger = shared.name(), topic = &*message.topic, %error, "an answer was not sent");
    }
}

/// Puts a message that failed as often as it may where such messages are kept. Only what is there is given up.
async fn give_up(shared: &Shared, consumer: &DurableConsumer, delivery: &Delivery, failure: &CallFailure) -> Verdict {
    let why = chain(failure);
    if let Some(topic) = &consumer.dead_letter {
        let kept = async { shared.broker.keep(delivery.dead_letter(topic, &why)?).done().await };
        let kept: Result<_, HostCallError> = kept.await;
        let is_news = shared.stuck.swap(kept.is_err(), Relaxed) != kept.is_err();
        if let Err(error) = kept {
            if is_news {
                let (trigger, dead_letter) = (shared.name(), topic.as_str());
                let error = chain(&error);
                tracing::warn!(
                    trigger,
                    dead_letter,
                    error,
                    "messages that failed cannot be put elsewhere: they come again"
                );
            }
            return Verdict::Again(consumer.retry_delay);
        }
    }
    shared.counts.given_up.fetch_add(1, Relaxed);
    let kept = consumer.dead_letter.as_ref().map(ToString::to_string);
    shared.tell(Notice::GivenUp { what: delivery.message.topic.to_string(), why, kept });
    Verdict::Never
}

/// Tells the server what becomes of a message, by a later connection where there is none now, until the server delivers it
/// again anyway.
async fn settle(shared: &Shared, consumer: &DurableConsumer, delivery: &Delivery, verdict: Verdict) {
    let until = Instant::now() + consumer.ack_wait;
    while let Err(error) = delivery.tell(verdict).await {
        if Instant::now() >= until {
            tracing::debug!(trigger = shared.name(), %error, "the server does not know what became of a message: it comes again");
            return;
        }
        tokio::time::sleep(VERDICT_AGAIN).await;
    }
}
