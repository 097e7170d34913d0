//! Messages inside the daemon: topics, groups, answers, how many calls run at once, and what is lost.

use std::time::{Duration, Instant};

use serde_json::Value;
use wapcd::{supervisor::status::ServiceState, triggers::Detail};

use crate::harness::{Daemon, SOON, eventually, module, pause_for};

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

/// Waits until that holds of what the trigger says.
pub(crate) fn facts_are(daemon: &Daemon, name: &str, what: &str, holds: impl Fn(&Facts) -> bool) -> Facts {
    let mut last = Facts::default();
    let start = Instant::now();
    while !holds(&last) {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}; {last:?}");
        pause_for(Duration::from_millis(5));
        last = facts(daemon, name);
    }
    last
}

/// Waits until the trigger hears messages.
pub(crate) fn wait_until_connected(daemon: &Daemon, name: &str) {
    facts_are(daemon, name, "the trigger hears messages", |facts| facts.connected);
}

/// A trigger of the module `m` that listens to these topics of the binding `bus`.
pub(crate) fn trigger(name: &str, topics: &str, keys: &str) -> String {
    format!("[triggers.{name}]\ntype = \"messages\"\nbinding = \"bus\"\ntopics = {topics}\nmodule = \"m\"\n{keys}\n")
}

/// Publishes by the control API.
pub(crate) fn publish(daemon: &Daemon, topic: &str, payload: &str) {
    let path = format!("/v1/bindings/bus/messages?topic={topic}");
    let response = daemon.request("POST", &path, "", payload.as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Asks by `wapcctl`, and gives the whole answer: payload and headers.
pub(crate) fn ask(daemon: &Daemon, topic: &str, payload: &str) -> (String, Value) {
    let answer = daemon.ctl(&["publish", "bus", topic, "--payload", payload, "--request", "--json"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    (text(&answer["payload"]), answer["headers"].clone())
}

/// Bytes that JSON has as base64, as text.
pub(crate) fn text(bytes: &Value) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    String::from_utf8(STANDARD.decode(bytes.as_str().unwrap()).unwrap()).unwrap()
}

/// A binding whose queues hold so many messages, and a module.
fn local(queue: u32, keys: &str) -> String {
    format!("[bindings.bus]\ntype = \"messaging\"\nqueue = {queue}\n{}", module("m", keys))
}

fn start(queue: u32, keys: &str, triggers: &str) -> Daemon {
    let daemon = Daemon::start(&format!("{}{triggers}", local(queue, keys)));
    for trigger in &daemon.status().triggers {
        wait_until_connected(&daemon, &trigger.name);
    }
    daemon
}

#[test]
fn a_message_reaches_a_guest_whose_answer_reaches_whoever_asked() {
    let triggers = trigger("t", "[\"orders.*\", \"mail.>\"]", "operation = \"echo\"");
    let daemon = start(100, "", &triggers);
    let answer = daemon.ctl(&["publish", "bus", "orders.new", "--payload", "hello", "--request"]);
    assert_eq!(answer.trim_end(), "hello");
    for topic in ["orders.old", "orders", "orders.new.again", "mail", "mail.a.b.c"] {
        publish(&daemon, topic, "x");
    }
    assert_eq!(ask(&daemon, "mail.in", "last").0, "last");
    facts_are(&daemon, "t", "what is heard has come", |facts| facts.ok == 4);
    assert_eq!(facts(&daemon, "t").received, 4);
}

#[test]
fn whoever_asked_hears_of_an_error_as_nats_services_tell_it() {
    let triggers = [
        trigger("failing", "\"fail\"", "operation = \"fail\""),
        trigger("trapping", "\"trap\"", "operation = \"trap\""),
        trigger("late", "\"late\"", "operation = \"spin\"\ntimeout = \"50ms\""),
        trigger("large", "\"large\"", "operation = \"answer\""),
    ];
    let daemon = start(100, "[modules.m.restart]\nintensity = 100", &triggers.concat());
    let (payload, headers) = ask(&daemon, "fail", "no such order\n7");
    assert_eq!(payload, "");
    assert_eq!(
        (&headers["Nats-Service-Error"], &headers["Nats-Service-Error-Code"]),
        (&"no such order 7".into(), &"502".into())
    );
    let failed = daemon.wapcctl(&["publish", "bus", "fail", "--payload", "no such order", "--request"]);
    assert_eq!((failed.status.code(), failed.stderr.as_slice()), (Some(1), &b"wapcctl: no such order (502)\n"[..]));
    let wrong = daemon.wapcctl(&["stop", "failing"]);
    assert_eq!(wrong.stderr, b"wapcctl: no module `failing`, but a trigger: write `triggers.failing`\n");
    assert_eq!(ask(&daemon, "trap", "").1["Nats-Service-Error-Code"], "500");
    assert_eq!(ask(&daemon, "late", "").1["Nats-Service-Error-Code"], "504");
    let (_, headers) = ask(&daemon, "large", "2000000");
    assert_eq!(headers["Nats-Service-Error-Code"], "413");
    assert_eq!(headers["Nats-Service-Error"], "the answer has 2000000 bytes, a message at most 1048576");
    daemon.ctl(&["stop", "m"]);
    assert_eq!(ask(&daemon, "fail", "").1["Nats-Service-Error-Code"], "503");
}

#[test]
fn of_a_group_each_message_goes_to_one() {
    let operation = "operation = \"echo\"\n";
    let grouped = format!("{operation}group = \"g\"");
    let triggers =
        [trigger("one", "\"a\"", &grouped), trigger("two", "\"a\"", &grouped), trigger("all", "\"a\"", operation)];
    let daemon = start(1000, "", &triggers.concat());
    (0..100).for_each(|number| publish(&daemon, "a", &number.to_string()));
    facts_are(&daemon, "all", "all have come", |facts| facts.ok == 100);
    eventually("each came once", || facts(&daemon, "one").ok + facts(&daemon, "two").ok == 100);
    assert!(facts(&daemon, "one").ok > 0 && facts(&daemon, "two").ok > 0);
}

#[test]
fn no_more_calls_run_at_once_than_may_over_all_topics() {
    let triggers = trigger("t", "[\"a\", \"b\", \"c\"]", "operation = \"wait/800/echo\"\nconcurrency = 2");
    let daemon = start(100, "instances = 6", &triggers);
    for topic in ["a", "b", "c"].iter().cycle().take(6) {
        publish(&daemon, topic, "x");
    }
    let mut most = 0;
    facts_are(&daemon, "t", "all are done", |facts| facts.ok == 6);
    // Six by two at a time take at least three times as long as one.
    let start = Instant::now();
    (0..6).for_each(|_| publish(&daemon, "a", "x"));
    while facts(&daemon, "t").ok < 12 {
        assert!(start.elapsed() < SOON, "{:?}", facts(&daemon, "t"));
        most = most.max(facts(&daemon, "t").running);
    }
    assert_eq!(most, 2);
    assert!(start.elapsed() >= Duration::from_millis(2_300), "{:?}", start.elapsed());
}

#[test]
fn what_a_burst_of_messages_loses_is_counted_and_told() {
    const BURST: u64 = 10_000;
    let daemon = start(100, "", &trigger("t", "\"a\"", "operation = \"busy/20/echo\"\nconcurrency = 1"));
    let client = daemon.client();
    let threads = (0..4).map(|_| {
        let client = client.clone();
        std::thread::spawn(move || {
            for _ in 0..BURST / 4 {
                let sent = client.request("POST", "/v1/bindings/bus/messages?topic=a", "", b"x").unwrap();
                assert_eq!(sent.status, 200);
            }
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    // Nothing has to come after it for that.
    assert!(facts(&daemon, "t").lost > 0);
    let all = facts_are(&daemon, "t", "all are known", |facts| facts.received + facts.lost == BURST);
    assert!(all.lost > 0 && all.received > 100, "{all:?}");
    daemon.log_line(&["a subscriber is too slow: it loses messages", "\"pattern\":\"a\""]);
    daemon.log_line(&["a subscriber that lost messages has caught up"]);
}

#[test]
fn the_guest_gets_a_map_where_that_is_wanted() {
    let json = trigger("json", "\"json.*\"", "operation = \"echo\"\nenvelope = \"json\"");
    let packed = trigger("packed", "\"packed\"", "operation = \"echo\"\nenvelope = \"messagepack\"");
    let daemon = start(100, "", &(json + &packed));
    let sent = ["publish", "bus", "json.a", "--payload", "body", "--header", "trace:5", "--request"];
    let map: Value = serde_json::from_str(&daemon.ctl(&sent)).unwrap();
    let reply = map["reply"].as_str().unwrap();
    assert!(reply.starts_with("_INBOX."), "{reply}");
    assert_eq!(
        map,
        serde_json::json!({"topic": "json.a", "headers": {"trace": "5"}, "reply": reply, "body": "Ym9keQ=="})
    );
    let sent = daemon.wapcctl(&["publish", "bus", "packed", "--payload", "body", "--request"]).stdout;
    assert!(sent.starts_with(b"\x84\xa5topic\xa6packed\xa7headers\x80\xa5reply"), "{sent:?}");
    assert!(sent.ends_with(b"\xa4body\xc4\x04body"), "{sent:?}");
}

#[test]
fn a_reload_changes_the_call_and_loses_no_message_that_waits() {
    let config = |topics: &str, keys: &str| local(1000, "") + &trigger("t", topics, keys);
    let daemon = Daemon::start(&config("\"a\"", "operation = \"echo\"\nconcurrency = 1"));
    wait_until_connected(&daemon, "t");
    assert_eq!(ask(&daemon, "a", "x").0, "x");
    daemon.home().configure(&config("\"a\"", "operation = \"busy/10/number\"\nconcurrency = 1\nenvelope = \"json\""));
    daemon.ctl(&["reload"]);
    assert_eq!(ask(&daemon, "a", "x").0, "2");
    assert_eq!(facts(&daemon, "t").ok, 2, "it was not started anew");
    (0..50).for_each(|_| publish(&daemon, "a", "x"));
    daemon.home().configure(&config("[\"a\", \"b\"]", "operation = \"number\"\nconcurrency = 1"));
    daemon.ctl(&["reload"]);
    eventually("the new one hears", || facts(&daemon, "t") == Facts { connected: true, ..Facts::default() });
    assert_eq!(ask(&daemon, "b", "x").0, "53", "each that waited was called for");
}

#[test]
fn a_binding_that_is_restarted_is_listened_to_again() {
    let daemon = start(100, "", &trigger("t", "\"a\"", "operation = \"echo\""));
    daemon.home().configure(&(local(200, "") + &trigger("t", "\"a\"", "operation = \"echo\"")));
    daemon.ctl(&["reload"]);
    eventually("the trigger was started anew", || {
        let status = daemon.status();
        status.triggers.iter().any(|trigger| trigger.restarts == 1)
    });
    wait_until_connected(&daemon, "t");
    assert_eq!(ask(&daemon, "a", "x").0, "x");
}

#[test]
fn a_binding_that_is_restarted_often_does_not_fail_its_trigger() {
    let trigger = trigger("t", "\"a\"", "operation = \"echo\"") + "[triggers.t.restart]\nintensity = 1\n";
    let daemon = start(100, "", &trigger);
    for restart in 1..=4 {
        daemon.home().configure(&(local(100 + restart, "") + &trigger));
        daemon.ctl(&["reload"]);
        eventually("the trigger was started anew", || {
            let status = &daemon.status().triggers[0];
            assert!(status.state != ServiceState::Failed, "{status:?}");
            status.restarts == u64::from(restart) && status.state == ServiceState::Running
        });
    }
    let status = &daemon.status().triggers[0];
    assert_eq!(status.restarts_by_reason.get("binding_ended"), Some(&4), "{status:?}");
    assert_eq!(status.restarts_in_window, 0);
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let durable = "operation = \"echo\"\ngroup = \"g\"\ndurable = { name = \"d\", dead_letter = \"a.dead\" }";
    let home = crate::harness::Home::new(&(local(10, "") + &trigger("t", "\"a.>\"", durable)));
    let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(78), "{told}");
    for part in
        ["which is local and keeps no messages", "beside a durable consumer", "a topic that is none of `topics`"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}
