//! Many callers at once: nothing is lost, and one wins.

use std::sync::Arc;

use serde_json::{Value, json};
use wapcd::config::Durability;

use super::{Fixture, nats, redis};
use crate::{
    harness::{Opened, open},
    servers::{Nats, Redis},
};

#[actix::test]
async fn memory_decides_races() {
    let fixture = Fixture::memory();
    decides_races(&[fixture.opened.clone(), fixture.opened.clone()]).await;
}

#[actix::test]
async fn redb_decides_races() {
    let fixture = Fixture::redb(Durability::Eventual);
    decides_races(&[fixture.opened.clone(), fixture.opened.clone()]).await;
}

/// Two bindings, as of two daemons, on one server.
#[actix::test]
async fn redis_decides_races() {
    let server = Redis::start();
    decides_races(&[open(&redis(server.server())), open(&redis(server.server()))]).await;
}

#[actix::test]
async fn nats_decides_races() {
    let server = Nats::start();
    decides_races(&[open(&nats(server.server())), open(&nats(server.server()))]).await;
}

async fn decides_races(openings: &[Opened; 2]) {
    increments_are_exact(openings).await;
    one_compare_and_set_wins(openings).await;
    one_set_if_absent_wins(openings).await;
}

/// Does the same in many tasks, and gives what each of them got.
async fn at_once(openings: &[Opened; 2], operation: &'static str, requests: Vec<Value>) -> Vec<Result<Value, String>> {
    let tasks: Vec<_> = requests
        .into_iter()
        .enumerate()
        .map(|(number, request)| {
            let opened = openings[number % 2].clone();
            actix::spawn(async move { opened.call("racer", operation, request).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

async fn increments_are_exact(openings: &[Opened; 2]) {
    let outcomes = at_once(openings, "increment", vec![json!({"key": "n"}); 200]).await;
    let mut numbers: Vec<i64> =
        outcomes.into_iter().map(|outcome| outcome.unwrap()["value"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
}

async fn one_compare_and_set_wins(openings: &[Opened; 2]) {
    for expected in [json!(null), json!("MA==")] {
        let key = format!("swap {expected}");
        if !expected.is_null() {
            openings[0].call("racer", "set", json!({"key": key, "value": expected})).await.unwrap();
        }
        let value = |n: u8| serde_json::to_value(crate::harness::Bin(vec![1, n])).unwrap();
        let requests = (0..50).map(|n| json!({"key": key, "expected": expected, "value": value(n)})).collect();
        let outcomes = at_once(openings, "compare_and_set", requests).await;
        let winners: Vec<usize> = (0..50).filter(|&number| outcomes[number].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(
            outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| error.starts_with("conflict: "))
        );
        let got = openings[1].call("racer", "get", json!({"key": key})).await.unwrap();
        assert_eq!(got["value"], value(u8::try_from(winners[0]).unwrap()));
    }
}

async fn one_set_if_absent_wins(openings: &[Opened; 2]) {
    let requests = vec![json!({"key": "first", "value": "", "only_if_absent": true}); 50];
    let outcomes = at_once(openings, "set", requests).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
}

/// Threads of a runtime each, as the workers are, over one backend.
#[test]
fn every_worker_shares_the_connections() {
    let (redis, nats) = (Redis::start(), Nats::start());
    for binding in [super::redis(redis.server()), super::nats(nats.server())] {
        let opened = Arc::new(open(&binding));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let opened = (*opened).clone();
                    actix::System::new().block_on(async move {
                        for _ in 0..50 {
                            opened.call("racer", "increment", json!({"key": "n"})).await.unwrap();
                        }
                    });
                });
            }
        });
        let opened = (*opened).clone();
        let last =
            actix::System::new().block_on(async move { opened.call("racer", "increment", json!({"key": "n"})).await });
        assert_eq!(last, Ok(json!({"value": 201})));
    }
}
