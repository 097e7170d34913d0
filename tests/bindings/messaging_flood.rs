//! Many messages and many subscribers, and what `publish` costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use wapcd::{
    bindings::messaging::{Outgoing, Publishing},
    config::MessagingBackend,
};

use crate::{
    harness::{Opened, SOON, open},
    messaging::{binding, broker, listen, nats, next, publish},
    servers::Nats,
};

/// Messages of each flood.
const MESSAGES: u64 = 100_000;

/// Takes numbers until the last one, in their order; how many came, and how many were missed.
async fn take(opened: &Opened, topic: &str, publishing: impl FnOnce()) -> (u64, u64) {
    let mut heard = listen(opened, topic, None).await;
    publishing();
    let (mut came, mut missed, mut last) = (0, 0, None);
    loop {
        let message = next(&mut heard).await;
        missed += message.missed;
        if message.payload == "end" {
            return (came, missed);
        }
        let number: u64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        assert!(last < Some(number), "{number} comes after {last:?}");
        (last, came) = (Some(number), came + 1);
    }
}

#[actix::test]
async fn a_hundred_thousand_messages_of_a_thread_keep_their_order_and_none_is_lost_untold() {
    let opened = open(&binding(MessagingBackend::Local));
    let broker = broker(&opened);
    let publishing = move || {
        thread::spawn(move || {
            let send = |text: String| broker.publish(Outgoing::new("flood", text.into()).unwrap());
            (0..MESSAGES).for_each(|number| assert!(matches!(send(number.to_string()), Publishing::Now(Ok(_)))));
            // The last one needs room.
            loop {
                let sent = Instant::now();
                send("end".to_owned());
                if sent.elapsed() > SOON || std::sync::Arc::strong_count(&broker) == 1 {
                    return;
                }
                thread::yield_now();
            }
        });
    };
    let (came, missed) = take(&opened, "flood", publishing).await;
    assert!(came + missed >= MESSAGES, "{came} came and {missed} are told to be missed");
    drop(opened);
}

/// How often the server is flooded where messages are lost on the way to the queue, which is told in the log alone: a client
/// of NATS holds few thousand for a subscriber, and a machine that has other things to do may leave it with more.
const TRIES: usize = 4;

#[actix::test]
async fn a_hundred_thousand_messages_pass_a_server_in_their_order() {
    let server = Nats::start();
    let mut tries = Vec::new();
    while tries.len() < TRIES {
        let (seen, sent) = flood(&open(&nats(server.server(), false))).await;
        assert!(seen <= sent, "{seen} of {sent}");
        if seen == sent {
            return;
        }
        tries.push((seen, sent));
    }
    panic!("some are lost untold each time: {tries:?}");
}

/// Sends so many and some more, and takes them in their order; how many came or are told to be missed, and of how many.
async fn flood(opened: &Opened) -> (u64, u64) {
    let mut heard = listen(opened, "flood", None).await;
    let publisher = opened.clone();
    let publishing = actix::spawn(async move {
        for number in 0_u64.. {
            publish(&publisher, "flood", number.to_string()).await.unwrap();
            if number >= MESSAGES {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let (mut last, mut seen) = (None, 0);
    loop {
        let message = next(&mut heard).await;
        let number: u64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        assert!(last < Some(number), "{number} comes after {last:?}");
        seen += message.missed;
        if number >= MESSAGES {
            publishing.abort();
            return (seen, number);
        }
        seen += 1;
        last = Some(number);
    }
}

#[actix::test]
async fn ten_thousand_subscribers_hear_their_own_topics_only() {
    let opened = open(&binding(MessagingBackend::Local));
    let mut heard = Vec::new();
    for number in 0..10_000 {
        heard.push(listen(&opened, &format!("many.{number}.*"), None).await);
    }
    let mut all = listen(&opened, "many.>", None).await;
    for number in (0..10_000).step_by(7) {
        publish(&opened, &format!("many.{number}.x"), number.to_string()).await.unwrap();
        assert_eq!(next(&mut heard[number]).await.payload, number.to_string());
        assert_eq!(next(&mut all).await.payload, number.to_string());
    }
    assert!(heard.iter_mut().all(|subscription| subscription.try_next().is_none()));
}
