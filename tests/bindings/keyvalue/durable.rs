//! What a killed process leaves behind in a database file: everything that it answered for, or, where it may answer before the
//! disk, all but the last moments, without a gap.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use wapcd::config::Durability;

use super::redb;
use crate::harness::open;

/// Where the process that is to be killed finds its database; set for nobody else.
const DATABASE: &str = "WAPCD_TEST_KILLED_DATABASE";

/// Entries that are answered before the process is killed.
const ANSWERED: usize = 300;

#[test]
fn immediate_loses_nothing_that_it_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (answered, kept) = killed(directory.path(), Durability::Immediate);
    assert!(kept >= answered, "{answered} were answered, {kept} are there");
}

#[test]
fn eventual_loses_the_last_moments_at_most_and_leaves_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let (answered, kept) = killed(directory.path(), Durability::Eventual);
    assert!(kept > 0, "{answered} were answered over more than a second, and none is there");
}

/// Writes until it is killed, if it is the process that is to be.
#[test]
fn writes_until_it_is_killed() {
    let Some((durability, path)) = env::var(DATABASE).ok().and_then(|place| {
        let (durability, path) = place.split_once(':')?;
        let durability = if durability == "immediate" { Durability::Immediate } else { Durability::Eventual };
        Some((durability, path.to_owned()))
    }) else {
        return;
    };
    let opened = open(&redb(path.into(), durability));
    actix::System::new().block_on(async move {
        for n in 0_usize.. {
            opened.call("m", "set", json!({"key": format!("{n:08}"), "value": ""})).await.unwrap();
            let mut out = std::io::stderr().lock();
            writeln!(out, "answered {n}").unwrap();
            if durability == Durability::Eventual {
                tokio::time::sleep(std::time::Duration::from_millis(4)).await;
            }
        }
    });
}

/// Kills a process in the middle of its writes; how many it answered, and how many are there: the first ones.
fn killed(directory: &Path, durability: Durability) -> (usize, usize) {
    let path = directory.join("cache.redb");
    let how = if durability == Durability::Immediate { "immediate" } else { "eventual" };
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "keyvalue::durable::writes_until_it_is_killed", "--nocapture"])
        .env(DATABASE, format!("{how}:{}", path.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = 0;
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for line in lines.by_ref().map(Result::unwrap) {
        answered += usize::from(line.starts_with("answered "));
        if answered == ANSWERED {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(answered >= ANSWERED, "it ended after {answered} answers");
    let opened = open(&redb(path, durability));
    let kept = actix::System::new().block_on(async move {
        let mut kept = Vec::new();
        let mut after = json!(null);
        loop {
            let page = opened.call("m", "keys", json!({"limit": 1000, "after": after})).await.unwrap();
            kept.extend(page["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()));
            after = page["next"].clone();
            if after.is_null() {
                return kept;
            }
        }
    });
    let first: Vec<String> = (0..kept.len()).map(|n| format!("{n:08}")).collect();
    assert_eq!(kept, first, "there is a gap");
    (answered, kept.len())
}
