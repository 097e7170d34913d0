//! Servers that are killed, paused, absent and cut off: every call ends soon, and the binding heals by itself.

use std::time::{Duration, Instant};

use serde_json::json;
use wapcd::bindings::BackendState;

use super::{Backing, set};
use crate::{
    harness::{Opened, SOON, open},
    servers::{Nats, Proxy, Redis},
};

/// How long a call to a server that is gone may take: far more than it needs, on a machine that does much else.
const QUICK: Duration = Duration::from_secs(10);

/// The deadline of calls to a server that is silent.
const DEADLINE: Duration = Duration::from_millis(500);

/// That of calls to one that is well, or will be: calls that end by their deadlines count against it.
const PATIENCE: Duration = Duration::from_secs(5);

#[actix::test]
async fn a_redis_that_is_killed_is_unavailable_and_heals() {
    is_killed_and_heals::<Redis>().await;
}

#[actix::test]
async fn a_nats_that_is_killed_is_unavailable_and_heals() {
    is_killed_and_heals::<Nats>().await;
}

#[actix::test]
async fn a_redis_that_is_paused_times_out_and_heals() {
    is_paused_and_heals::<Redis>().await;
}

#[actix::test]
async fn a_nats_that_is_paused_times_out_and_heals() {
    is_paused_and_heals::<Nats>().await;
}

#[actix::test]
async fn a_redis_that_is_absent_is_unavailable() {
    is_absent::<Redis>().await;
}

#[actix::test]
async fn a_nats_that_is_absent_is_unavailable() {
    is_absent::<Nats>().await;
}

#[actix::test]
async fn a_connection_to_redis_that_is_cut_or_goes_silent_is_replaced() {
    is_cut_off::<Redis>().await;
}

#[actix::test]
async fn a_connection_to_nats_that_is_cut_or_goes_silent_is_replaced() {
    is_cut_off::<Nats>().await;
}

/// Kills the server while several tasks call: every call ends soon, as `unavailable`.
async fn kills_in_the_middle_of_calls(opened: &Opened, server: &mut impl Backing) {
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let opened = opened.clone();
            actix::spawn(async move {
                let begin = Instant::now();
                loop {
                    let start = Instant::now();
                    let outcome = set(&opened, &format!("during {caller}")).await;
                    assert!(start.elapsed() < QUICK, "a call took {} ms", start.elapsed().as_millis());
                    match outcome {
                        Ok(()) => assert!(begin.elapsed() < SOON, "calls go on succeeding"),
                        Err(error) => return error,
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    for caller in callers {
        let error = caller.await.unwrap();
        assert!(error.starts_with("unavailable: "), "{error}");
    }
}

/// Calls until one succeeds again.
async fn calls_until_it_heals(opened: &Opened) {
    let start = Instant::now();
    loop {
        match tokio::time::timeout(PATIENCE, set(opened, "after")).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => assert!(error.starts_with("unavailable: "), "{error}"),
            Err(_elapsed) => {}
        }
        assert!(start.elapsed() < SOON, "it does not heal: {:?}", opened.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_killed_and_heals<S: Backing>() {
    let mut server = S::start();
    let opened = open(&server.binding());
    set(&opened, "before").await.unwrap();
    assert_eq!(opened.status().state, BackendState::Connected);
    kills_in_the_middle_of_calls(&opened, &mut server).await;
    while opened.status().state == BackendState::Connected {
        assert!(set(&opened, "k").await.unwrap_err().starts_with("unavailable: "));
    }
    let down = set(&opened, "k").await.unwrap_err();
    assert!(down.starts_with("unavailable: the server of binding `cache` is down: "), "{down}");
    assert!(opened.check().await.is_err());
    server.restart();
    opened.until(BackendState::Connected).await;
    calls_until_it_heals(&opened).await;
    assert_eq!(opened.check().await, Ok(()));
    let got = opened.call("m", "get", json!({"key": "before"})).await.unwrap();
    assert_eq!(got, json!({"value": "MQ=="}), "what was acknowledged is still there");
    let expected = [BackendState::Connected, BackendState::Disconnected, BackendState::Connected];
    assert_eq!(opened.changes(), expected);
}

async fn is_paused_and_heals<S: Backing>() {
    let server = S::start();
    let opened = open(&server.binding());
    set(&opened, "before").await.unwrap();
    server.pause();
    let start = Instant::now();
    // Calls that end by their deadlines are what there is to see of it.
    while opened.status().state == BackendState::Connected {
        let outcome = tokio::time::timeout(DEADLINE, set(&opened, "during")).await;
        assert!(!matches!(outcome, Ok(Ok(()))), "a silent server answers");
        assert!(start.elapsed() < SOON, "nobody notices");
    }
    let at = Instant::now();
    assert!(set(&opened, "k").await.unwrap_err().starts_with("unavailable: the server of binding `cache` is down: "));
    assert!(at.elapsed() < QUICK);
    server.resume();
    opened.until(BackendState::Connected).await;
    calls_until_it_heals(&opened).await;
}

async fn is_absent<S: Backing>() {
    let opened = open(&S::absent());
    let start = Instant::now();
    let error = set(&opened, "k").await.unwrap_err();
    assert!(error.starts_with("unavailable: the server of binding `cache` is down: "), "{error}");
    assert!(start.elapsed() < QUICK);
    assert_eq!(opened.status().state, BackendState::Disconnected);
}

async fn is_cut_off<S: Backing>() {
    let server = S::start();
    let proxy = Proxy::to(server.port());
    let opened = open(&server.by_way_of(proxy.port()));
    set(&opened, "before").await.unwrap();
    for _ in 0..5 {
        proxy.cut();
        calls_until_it_heals(&opened).await;
    }
    proxy.swallow();
    let start = Instant::now();
    while opened.status().state == BackendState::Connected {
        let outcome = tokio::time::timeout(DEADLINE, set(&opened, "during")).await;
        assert!(!matches!(outcome, Ok(Ok(()))), "a call that is swallowed gets an answer");
        assert!(start.elapsed() < SOON, "nobody notices");
    }
    // The old connections stay silent for ever: only a new one can be it.
    proxy.pass();
    opened.until(BackendState::Connected).await;
    calls_until_it_heals(&opened).await;
}

/// Servers close connections that were idle; the next call must not pay for that.
#[actix::test]
async fn a_connection_that_the_server_closed_while_it_was_idle_costs_no_call() {
    let server = Redis::start();
    let proxy = Proxy::to(server.port());
    let opened = open(&server.by_way_of(proxy.port()));
    for n in 0..5 {
        set(&opened, "k").await.unwrap();
        let (before, start) = (proxy.connections(), Instant::now());
        proxy.cut();
        // It notices, and connects again by itself.
        while proxy.connections() == before {
            assert!(start.elapsed() < SOON, "it does not connect again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(set(&opened, "k").await, Ok(()), "after {n} cuts");
    }
    assert_eq!(opened.changes(), [BackendState::Connected]);
}
