//! NATS servers that are killed, paused, restarted and absent while messages go through them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::json;
use wapcd::bindings::{BackendState, messaging::Outgoing};

use crate::{
    harness::{Opened, SOON, open, try_open},
    messaging::{broker, listen, make_stream, nats, next, publish},
    servers::Nats,
};

/// Publishes until that succeeds, and says how often it did not.
async fn publish_until_done(opened: &Opened, topic: &str, payload: &str) -> usize {
    let start = Instant::now();
    for failures in 0.. {
        match publish(opened, topic, payload).await {
            Ok(_) => return failures,
            Err(error) => assert!(error.starts_with("unavailable: ") && start.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    0
}

#[actix::test]
async fn a_server_that_is_not_there_at_the_start_is_used_when_it_comes() {
    let mut server = Nats::start();
    server.kill();
    let opened = open(&nats(server.server(), false));
    let error = publish(&opened, "a", "lost").await.unwrap_err();
    assert!(error.starts_with("unavailable: the server of binding `bus` is down: 127.0.0.1:"), "{error}");
    let error = broker(&opened).subscribe(&"a".parse().unwrap(), None).await.unwrap_err().to_string();
    assert!(error.starts_with("unavailable: "), "{error}");
    assert!(opened.check().await.is_err());
    server.restart();
    opened.until(BackendState::Connected).await;
    opened.check().await.unwrap();
    let mut heard = listen(&opened, "a", None).await;
    publish(&opened, "a", "there").await.unwrap();
    // What was refused before is not sent later.
    assert_eq!(next(&mut heard).await.payload, "there");
}

#[actix::test]
async fn who_listens_goes_on_listening_when_the_server_was_killed_and_is_back() {
    let mut server = Nats::start();
    let opened = open(&nats(server.server(), false));
    let mut heard = listen(&opened, "a.*", None).await;
    for round in 0..3 {
        publish(&opened, "a.b", format!("before {round}")).await.unwrap();
        let mut message = next(&mut heard).await;
        // One more from the round before may have come late.
        while message.payload == "after" {
            message = next(&mut heard).await;
        }
        assert_eq!(message.payload, format!("before {round}"));
        server.kill();
        opened.until(BackendState::Disconnected).await;
        let error = publish(&opened, "a.b", "lost").await.unwrap_err();
        assert!(error.starts_with("unavailable: "), "{error}");
        server.restart();
        opened.until(BackendState::Connected).await;
        // It listens anew in a moment, and until then nobody does.
        let start = Instant::now();
        loop {
            publish_until_done(&opened, "a.b", "after").await;
            let message = tokio::time::timeout(Duration::from_millis(50), heard.next()).await;
            if let Ok(message) = message {
                assert_eq!(message.unwrap().payload, "after");
                break;
            }
            assert!(start.elapsed() < SOON, "it does not listen again");
        }
        while tokio::time::timeout(Duration::from_millis(100), heard.next()).await.is_ok() {}
    }
    assert_eq!(opened.changes().len(), 7, "{:?}", opened.changes());
}

#[actix::test]
async fn requests_in_flight_fail_at_once_when_the_server_is_killed() {
    let mut server = Nats::start();
    let opened = open(&nats(server.server(), false));
    let mut silent = listen(&opened, "ask", None).await;
    let asking = opened.clone();
    let asked =
        actix::spawn(async move { asking.call("tester", "request", json!({"topic": "ask", "payload": ""})).await });
    next(&mut silent).await;
    let start = Instant::now();
    server.kill();
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.starts_with("unavailable: the connection of binding `bus` was lost"), "{error}");
    assert!(start.elapsed() < SOON / 4, "{:?}", start.elapsed());
}

#[actix::test]
async fn a_paused_server_makes_nobody_wait_for_ever_and_goes_on() {
    let server = Nats::start();
    make_stream(&server).await;
    let opened = open(&nats(server.server(), true));
    publish(&opened, "stored.a", "before").await.unwrap();
    server.pause();
    let start = Instant::now();
    // Acknowledgements do not come: calls end with their callers' patience, and that makes the server be asked.
    while opened.status().state == BackendState::Connected {
        let impatient = tokio::time::timeout(Duration::from_millis(100), publish(&opened, "stored.a", "during"));
        impatient.await.ok();
        assert!(start.elapsed() < SOON, "it stays connected");
    }
    let error = publish(&opened, "stored.a", "refused").await.unwrap_err();
    assert!(error.starts_with("unavailable: "), "{error}");
    server.resume();
    opened.until(BackendState::Connected).await;
    publish_until_done(&opened, "stored.a", "after").await;
}

#[actix::test]
async fn what_a_stream_has_acknowledged_survives_kills_in_the_middle() {
    let mut server = Nats::start();
    make_stream(&server).await;
    let opened = open(&nats(server.server(), true));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (publisher, kept) = (opened.clone(), Arc::clone(&acknowledged));
    let publishing = actix::spawn(async move {
        for number in 0_u32.. {
            match publish(&publisher, "stored.numbers", number.to_string()).await {
                Ok(published) => kept.lock().push((published.sequence.unwrap(), number)),
                Err(error) => {
                    assert!(error.starts_with("unavailable: "), "{error}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    });
    for round in 1..=3 {
        let start = Instant::now();
        while acknowledged.lock().len() < round * 100 {
            assert!(start.elapsed() < SOON, "nothing is published any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        server.restart();
    }
    opened.until(BackendState::Connected).await;
    publishing.abort();
    publishing.await.ok();
    publish_until_done(&opened, "stored.numbers", "end").await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("STORED").await.unwrap();
    let acknowledged = acknowledged.lock().clone();
    for (sequence, number) in &acknowledged {
        let stored = stream.get_raw_message(*sequence).await.unwrap();
        assert_eq!((&*stored.subject, stored.payload), ("stored.numbers", number.to_string().into()));
    }
    assert!(acknowledged.is_sorted(), "they are stored in another order");
}

#[actix::test]
async fn a_message_that_no_stream_stores_is_not_acknowledged() {
    let server = Nats::start();
    make_stream(&server).await;
    let opened = open(&nats(server.server(), true));
    let error = publish(&opened, "elsewhere", "x").await.unwrap_err();
    assert_eq!(error, "not_found: no stream of the server stores topic `elsewhere`");
    let expecting = json!({"topic": "stored.a", "payload": "", "headers": {"Nats-Expected-Last-Sequence": "7"}});
    let error = opened.call("tester", "publish", expecting).await.unwrap_err();
    assert!(error.starts_with("conflict: the stream of topic `stored.a` is not as"), "{error}");
    let first = publish(&opened, "stored.a", "x").await.unwrap();
    assert_eq!((first.stream.as_deref(), first.sequence), (Some("STORED"), Some(1)));
}

#[actix::test]
async fn passwords_and_tls_are_used_and_wrong_ones_are_told_without_them() {
    for server in [Nats::with_password(), Nats::with_tls()] {
        let opened = open(&nats(server.server(), false));
        let mut heard = listen(&opened, "a", None).await;
        publish(&opened, "a", "x").await.unwrap();
        next(&mut heard).await;
        let mut stranger = server.server();
        stranger.user = Some("stranger".to_owned());
        let opened = open(&nats(stranger, false));
        let error = publish(&opened, "a", "x").await.unwrap_err();
        assert!(error.starts_with("unavailable: ") && error.contains("authorization"), "{error}");
        assert!(!error.contains(crate::servers::PASSWORD), "{error}");
        let mut missing = server.server();
        missing.password = Some(wapcd::config::SecretSource::File("/nowhere/password".into()));
        let error = try_open(&nats(missing, false)).err().unwrap();
        assert!(error.contains("cannot read the secret in file `/nowhere/password`"), "{error}");
    }
}

#[actix::test]
async fn the_end_of_the_binding_is_told_to_all() {
    let server = Nats::start();
    let opened = open(&nats(server.server(), false));
    let mut heard = listen(&opened, "a", None).await;
    let asking = opened.clone();
    let asked =
        actix::spawn(async move { asking.call("tester", "request", json!({"topic": "a", "payload": ""})).await });
    next(&mut heard).await;
    opened.factory().stop();
    opened.factory().stop();
    assert_eq!(tokio::time::timeout(SOON, heard.next()).await.unwrap(), None);
    let error = publish(&opened, "a", "x").await.unwrap_err();
    assert!(error.starts_with("unavailable: "), "{error}");
    let late = broker(&opened).publish(Outgoing::new("a", "x".into()).unwrap()).done().await;
    assert!(late.is_err());
    asked.abort();
}
