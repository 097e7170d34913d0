//! `messaging` inside the daemon: a host call that publishes beside the broker itself, with nobody, one and eight who listen.

use std::{cell::RefCell, sync::Arc, time::Duration};

use wapcd::{
    actors::Modules,
    bindings::messaging::{Broker, Outgoing, Publishing, Subscription},
    config::{BindingSettings, MessagingBackend, MessagingSettings, Rules, Topic},
};

use crate::{
    calls::{Calls, TOPIC, value},
    harness::{Contender, Failure, Report, Stopwatch, race},
    stage::Stage,
};

/// Messages that may wait for one who listens: more than a batch publishes. They are taken after each, so that what is
/// timed ends with their queues.
const QUEUE: u32 = 1 << 24;

/// Their bytes, which meet no bound either.
const QUEUE_BYTES: u64 = 1 << 40;

pub(crate) fn measure(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let settings = MessagingSettings {
        backend: MessagingBackend::Local,
        queue: QUEUE,
        queue_bytes: QUEUE_BYTES,
        max_message: 1 << 20,
    };
    let opened = stage.open(BindingSettings::Messaging(settings), &Modules::default())?;
    let player = stage.player("caller", Rules::Topics(Vec::new()), &opened.actor)?;
    let broker = opened.backend.broker().ok_or("the binding has no broker")?;
    let (calls, value) = (Calls::publish(TOPIC)?, value());
    for (count, what) in
        [(0, "publish inside the daemon, nobody listens"), (1, "... one listens"), (8, "... eight listen")]
    {
        let listeners = RefCell::new(stage.system.block_on(listen(&broker, count))?);
        let laps = race(vec![
            Contender::timed("host call", |times| {
                let took = stage.time(&player, &calls, times)?;
                listeners.borrow_mut().iter_mut().try_for_each(|listener| drain(listener, times))?;
                Ok(took)
            }),
            Contender::timed("the broker itself", |times| {
                let took = publish(&broker, times, || Outgoing::new(TOPIC, value.clone()).map_err(Failure::from))?;
                listeners.borrow_mut().iter_mut().try_for_each(|listener| drain(listener, times))?;
                Ok(took)
            }),
        ])?;
        report.times(what, &laps);
    }
    Ok(())
}

async fn listen(broker: &Arc<dyn Broker>, count: usize) -> Result<Vec<Subscription>, Failure> {
    let pattern: Topic = TOPIC.parse()?;
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(broker.subscribe(&pattern, None).await?);
    }
    Ok(listeners)
}

fn publish<'m>(
    broker: &Arc<dyn Broker>,
    times: u32,
    message: impl Fn() -> Result<Outgoing<'m>, Failure>,
) -> Result<Duration, Failure> {
    let started = Stopwatch::start();
    for _ in 0..times {
        match broker.publish(message()?) {
            Publishing::Now(outcome) => drop(outcome?),
            Publishing::Later(_) => return Err("the broker does not answer at once".into()),
        }
    }
    Ok(started.elapsed())
}

/// Takes what was published; nothing of it may be missing.
fn drain(listener: &mut Subscription, times: u32) -> Result<(), Failure> {
    for _ in 0..times {
        match listener.try_next() {
            Some(message) if message.missed == 0 => {}
            _ => return Err("a message was lost".into()),
        }
    }
    Ok(())
}
