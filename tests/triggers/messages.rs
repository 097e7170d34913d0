//! Messages inside the daemon: topics, groups, answers, how many calls run at once, and what is lost.

use std::time::{Duration, Instant};

use serde_json::Value;
use wapcd::triggers::Detail;

use crate::harness::{Daemon, eventually, module};

/// What a `messages` trigger says about itself.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) running: u64,
    pub(crate) connected: bool,
    pub(crate) why: Option<String>,
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    pub(crate) given_up: u64,
    pub(crate) lost: u64,
}

/// What the trigger of that name says.
pub(crate) fn facts(daemon: &Daemon, name: &str) -> Facts {
    let status = daemon.status();
    let trigger = status.triggers.into_iter().find(|trigger| trigger.name == name);
    let Some(facts) = trigger.and_then(|trigger| trigger.facts) else { return Facts::default() };
    let Detail::Messages { connected, why, received, redelivered, given_up, lost } = facts.detail else {
        panic!("{name} is of another type")
    };
    let (ok, failed, running) = (facts.calls_ok, facts.calls_failed, facts.calls_running);
    Facts { ok, failed, running, connected, why, received, redelivered, given_up, lost }
}

/// Waits until the trigger hears messages.
pub(crate) fn wait_until_connected(daemon: &Daemon, name: &str) {
    eventually("the trigger hears messages", || facts(daemon, name).connected);
}

/// Publishes, and prints the answer to a request.
fn publish(daemon: &Daemon, topic: &str, payload: &str) {
    daemon.ctl(&["publish", "bus", topic, "--payload", payload]);
}

fn request(daemon: &Daemon, topic: &str, payload: &str) -> String {
    daemon.ctl(&["publish", "bus", topic, "--payload", payload, "--request"])
}

const BUS: &str = "[bindings.bus]\ntype = \"messaging\"\nbackend = \"local\"\n";

/// A trigger of the module `m` that listens to these topics.
pub(crate) fn trigger(name: &str, topics: &str, keys: &str) -> String {
    format!(
        "[triggers.{name}]\ntype = \"messages\"\nbinding = \"bus\"\ntopics = {topics}\nmodule = \"m\"\n{keys}\n"
    )
}

fn start(triggers: &str, keys: &str) -> Daemon {
    let daemon = Daemon::start(&format!("{BUS}{}{triggers}", module("m", keys)));
    for trigger in &daemon.status().triggers {
        wait_until_connected(&daemon, &trigger.name);
    }
    daemon
}

#[test]
fn a_message_reaches_a_guest_whose_answer_reaches_whoever_asked() {
    let daemon = start(&trigger("t", "\"orders.*\"", "operation = \"echo\""), "");
    assert_eq!(request(&daemon, "orders.new", "hello").trim_end(), "hello");
    publish(&daemon, "orders.old", "x");
    publish(&daemon, "orders", "not heard");
    publish(&daemon, "orders.new.again", "not heard");
    eventually("both have come", || facts(&daemon, "t").ok == 2);
    assert_eq!(request(&daemon, "orders.third", "3").trim_end(), "3");
    assert_eq!(facts(&daemon, "t").received, 3);
}
