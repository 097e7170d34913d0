//! What operators and new chances do to groups that wait or have failed.

use std::thread;

use wapcd::supervisor::{
    events::What,
    status::{GroupState, ModuleState, ServiceState},
};

use crate::{
    harness::{Daemon, Home, eventually, module},
    story::{binding, events, group, group_status, ids, modules, wait_for},
};

fn trap(daemon: &Daemon, name: &str) {
    assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
}

fn both_run(daemon: &Daemon) {
    eventually("both run", || ids(daemon, ["a", "b"]).iter().all(|id| *id > 0));
}

/// A daemon whose group of `a` and `b` waits for its restart.
fn in_back_off(initial: &str) -> Daemon {
    let backoff = format!(
        "limits.call_timeout = \"1m\"\nrestart.backoff = {{ initial = \"{initial}\", max = \"{initial}\", jitter = 0 }}"
    );
    let daemon =
        Daemon::start(&(modules(&["a", "b"], &backoff) + &group("g", "one_for_all", &["a", "b"], "intensity = 5")));
    both_run(&daemon);
    let before = ids(&daemon, ["a", "b"]);
    trap(&daemon, "a");
    eventually("both run again", || ids(&daemon, ["a", "b"]).iter().zip(before).all(|(now, then)| *now > then));
    trap(&daemon, "a");
    for name in ["a", "b"] {
        wait_for(&daemon, name, ModuleState::Backoff);
    }
    daemon
}

#[test]
fn every_member_of_a_group_in_back_off_says_when_it_is_started() {
    let daemon = in_back_off("3s");
    assert_eq!(group_status(&daemon, "g").state, GroupState::Restarting);
    eventually("it is told", || ["a", "b"].iter().all(|name| daemon.module(name).next_try.is_some()));
    let next = ["a", "b"].map(|name| daemon.module(name).next_try.unwrap());
    assert!((next[0] - next[1]).abs() < 0.5, "{next:?}");
    let client = daemon.client();
    let waiting = thread::spawn(move || client.call("b", "number", b"").outcome());
    both_run(&daemon);
    assert_eq!(waiting.join().unwrap(), (200, "1".to_owned()));
    let told = events(&daemon).into_iter().filter_map(|event| match event.what {
        What::StateChanged { to, next_try, .. } if to == "backoff" => Some(next_try),
        _ => None,
    });
    // Of the second restart: the first did not wait.
    let told: Vec<Option<f64>> = told.collect();
    assert!(told.iter().rev().take(2).all(Option::is_some), "{told:?}");
}

#[test]
fn an_operators_restart_of_a_member_ends_the_back_off_of_its_group() {
    let daemon = in_back_off("1h");
    daemon.ctl(&["restart", "b"]);
    both_run(&daemon);
    assert_eq!(daemon.call("a", "number", b"").text(), "1");
}

#[test]
fn a_member_that_is_stopped_after_its_group_failed_does_not_take_the_others_chance() {
    let keys = "intensity = 0\nretry_failed = \"3s\"";
    let daemon = Daemon::start(&(modules(&["a", "b"], "") + &group("g", "one_for_all", &["a", "b"], keys)));
    both_run(&daemon);
    trap(&daemon, "a");
    for name in ["a", "b"] {
        wait_for(&daemon, name, ModuleState::Failed);
    }
    daemon.ctl(&["stop", "b"]);
    wait_for(&daemon, "a", ModuleState::Running);
    assert_eq!(daemon.module("b").state, ModuleState::Stopped);
    assert_eq!(group_status(&daemon, "g").state, GroupState::Running);
}

#[test]
fn one_instance_that_ends_takes_the_others_of_its_module_with_it_and_their_calls_finish() {
    let toml = module("a", "instances = 2") + &module("b", "") + &group("g", "one_for_all", &["a", "b"], "");
    let daemon = Daemon::start(&toml);
    daemon.wait_for_instances("a", 2);
    both_run(&daemon);
    let old: Vec<u64> = daemon.module("a").instances.iter().map(|instance| instance.id).collect();
    let client = daemon.client();
    let running = thread::spawn(move || client.call("a", "wait/2000/echo", b"done"));
    eventually("the call runs", || daemon.module("a").in_flight == 1);
    trap(&daemon, "a");
    let running = running.join().unwrap();
    assert_eq!(running.text(), "done");
    assert!(old.contains(&running.instance().unwrap()));
    eventually("both are fresh", || {
        let instances = daemon.module("a").instances;
        instances.len() == 2 && instances.iter().all(|instance| !old.contains(&instance.id))
    });
    eventually("the group runs", || group_status(&daemon, "g").state == GroupState::Running);
}

#[test]
fn a_group_whose_database_is_taken_fails_and_comes_back_when_it_is_free() {
    let table = |path: &str| format!("[bindings.cache]\ntype = \"keyvalue\"\npath = {path:?}\n");
    let first = Daemon::start(&(table("cache.redb") + &module("menu", "")));
    let database = first.home().path().join("state/cache.redb");
    let toml = table(database.to_str().unwrap())
        + &modules(&["a", "b"], "links = [\"cache\"]")
        + &group("g", "rest_for_one", &["bindings.cache", "a", "b"], "intensity = 1\nretry_failed = \"2s\"");
    let second = Home::new(&toml).spawn("log");
    eventually("the second runs", || second.try_status().is_some());
    eventually("the group fails", || group_status(&second, "g").state == GroupState::Failed);
    assert_eq!(binding(&second, "cache").state, ServiceState::Failed);
    let refused = second.call("b", "echo", b"");
    let detail = refused.detail();
    assert_eq!(refused.kind(), "failed");
    assert!(detail.contains("`g`") && detail.contains("binding cache") && detail.contains("already open"), "{detail}");
    first.stop();
    both_run(&second);
    assert_eq!(second.call("b", "host/cache//increment", br#"{"key":"n"}"#).text(), r#"{"value":1}"#);
    assert_eq!(group_status(&second, "g").state, GroupState::Running);
}

#[test]
fn a_member_that_is_stopped_while_its_group_restarts_stays_stopped_and_the_others_start() {
    let daemon = in_back_off("3s");
    daemon.ctl(&["stop", "a"]);
    assert_eq!(daemon.module("a").state, ModuleState::Stopped);
    wait_for(&daemon, "b", ModuleState::Running);
    assert_eq!(daemon.module("a").state, ModuleState::Stopped);
    daemon.ctl(&["start", "a"]);
    assert_eq!(daemon.call("a", "number", b"").text(), "1");
}
