//! Servers that others use as well: what operators and other programs see of the entries, and what guests see of theirs.

use std::time::Duration;

use async_nats::jetstream::{self, kv, stream};
use redis::aio::MultiplexedConnection;
use serde_json::json;
use wapcd::bindings::BackendState;

use super::{nats, redis as over_redis, set};
use crate::{
    harness::{SOON, open},
    servers::{Nats, Redis},
};

async fn client(server: &Redis) -> MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[actix::test]
async fn entries_in_redis_have_names_that_tell_whose_they_are() {
    let server = Redis::start();
    let opened = open(&over_redis(server.server()));
    let mut client = client(&server).await;
    opened.call("orders", "set", json!({"key": "a/1", "value": "MQ==", "ttl": "1h"})).await.unwrap();
    let value: String = redis::cmd("GET").arg("test:module:orders:a/1").query_async(&mut client).await.unwrap();
    let left: i64 = redis::cmd("PTTL").arg("test:module:orders:a/1").query_async(&mut client).await.unwrap();
    assert!(value == "1" && (1..=3_600_000).contains(&left), "{value} for {left} ms");
    let _: () = redis::cmd("SET").arg("test:module:orders:b").arg("2").query_async(&mut client).await.unwrap();
    assert_eq!(opened.call("orders", "get", json!({"key": "b"})).await, Ok(json!({"value": "Mg=="})));
    assert_eq!(opened.call("orders", "keys", json!({})).await, Ok(json!({"keys": ["a/1", "b"]})));
}

#[actix::test]
async fn what_redis_refuses_of_a_request_is_no_failure_of_the_server() {
    let server = Redis::start();
    let opened = open(&over_redis(server.server()));
    let mut client = client(&server).await;
    let _: i64 = redis::cmd("LPUSH").arg("test:module:m:list").arg("x").query_async(&mut client).await.unwrap();
    for (operation, request) in [
        ("get", json!({"key": "list"})),
        ("increment", json!({"key": "list"})),
        ("get_many", json!({"keys": ["list"]})),
        ("compare_and_set", json!({"key": "list", "expected": null, "value": ""})),
    ] {
        let error = opened.call("m", operation, request).await.unwrap_err();
        assert!(error.starts_with("conflict: "), "{error} for {operation}");
    }
    let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").query_async(&mut client).await.unwrap();
    for _ in 0..10 {
        let entries = json!({"entries": [{"key": "a", "value": ""}, {"key": "b", "value": ""}]});
        for (operation, request) in [
            ("set", json!({"key": "a", "value": ""})),
            ("compare_and_set", json!({"key": "a", "expected": null, "value": ""})),
            ("set_many", entries),
        ] {
            let error = opened.call("m", operation, request).await.unwrap_err();
            let expected = "unavailable: the server does not take it now: ";
            assert!(error.starts_with(expected) && error.contains("OOM"), "{error} for {operation}");
        }
    }
    assert_eq!(opened.call("m", "exists", json!({"key": "a"})).await, Ok(json!({"exists": false})));
    assert_eq!(opened.changes(), [BackendState::Connected]);
}

async fn bucket(server: &Nats) -> kv::Store {
    let client = async_nats::connect(server.url()).await.unwrap();
    jetstream::new(client).get_key_value("test-bucket").await.unwrap()
}

#[actix::test]
async fn clients_of_nats_read_what_guests_write_and_guests_what_they_write() {
    let server = Nats::start();
    let opened = open(&nats(server.server()));
    opened.call("orders", "set", json!({"key": "a.b", "value": "MQ=="})).await.unwrap();
    let bucket = bucket(&server).await;
    assert_eq!(bucket.get("module.orders.a=2Eb").await.unwrap().unwrap(), "1");
    bucket.put("module.orders.c", "2".into()).await.unwrap();
    assert_eq!(opened.call("orders", "get", json!({"key": "c"})).await, Ok(json!({"value": "Mg=="})));
    bucket.delete("module.orders.c").await.unwrap();
    assert_eq!(opened.call("orders", "exists", json!({"key": "c"})).await, Ok(json!({"exists": false})));
    assert_eq!(opened.call("orders", "keys", json!({})).await, Ok(json!({"keys": ["a.b"]})));
    // Over the mark that the deletion left.
    opened.call("orders", "set", json!({"key": "c", "value": "", "only_if_absent": true})).await.unwrap();
}

#[actix::test]
async fn what_was_deleted_or_has_expired_leaves_nothing_in_the_bucket() {
    let server = Nats::start();
    let opened = open(&nats(server.server()));
    for n in 0..20 {
        let key = format!("k{n}");
        if n % 2 == 0 {
            set(&opened, &key).await.unwrap();
            opened.call("m", "delete", json!({"key": key})).await.unwrap();
        } else {
            opened.call("m", "set", json!({"key": key, "value": "", "ttl": "1ms"})).await.unwrap();
        }
    }
    let bucket = bucket(&server).await;
    let start = std::time::Instant::now();
    loop {
        assert_eq!(opened.call("m", "keys", json!({})).await, Ok(json!({"keys": []})));
        let info: stream::Info = bucket.stream.get_info().await.unwrap();
        if info.state.messages == 0 {
            break;
        }
        assert!(start.elapsed() < SOON, "{} messages stay", info.state.messages);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix::test]
async fn a_bucket_that_is_gone_is_made_again() {
    let server = Nats::start();
    let opened = open(&nats(server.server()));
    set(&opened, "k").await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    jetstream::new(client).delete_key_value("test-bucket").await.unwrap();
    let start = std::time::Instant::now();
    while let Err(error) = set(&opened, "k").await {
        assert!(error.starts_with("unavailable: "), "{error}");
        assert!(start.elapsed() < SOON, "it stays gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
