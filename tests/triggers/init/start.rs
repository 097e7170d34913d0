//! `on_start` when a module starts: before any call, once, as often as it takes, and no further.

use wapcd::supervisor::status::ModuleState;

use super::{GATED, act, call_beside, count, failed_starts, home, hooked, open_gate, spawn, states, text, wait_for};
use crate::harness::eventually;

#[test]
fn no_call_is_served_before_on_start_has_ended_and_those_that_came_are_answered_then() {
    let daemon = spawn(home(&hooked("m", GATED)));
    eventually("some attempts have failed", || failed_starts(&daemon).len() > 2);
    let call = call_beside(&daemon, "m", "ready");
    eventually("it waits", || daemon.module("m").queued == 1);
    let attempts = failed_starts(&daemon).len();
    eventually("some more have failed", || failed_starts(&daemon).len() > attempts + 2);
    let status = daemon.module("m");
    assert_eq!((status.state, status.queued, status.instances.len()), (ModuleState::Starting, 1, 0));
    let waits = status.on_start.unwrap();
    assert!(waits.starts_with("on_start `open`, attempt ") && waits.ends_with(" of 1000: the gate is shut"), "{waits}");
    assert!(daemon.ctl(&["module", "m"]).contains(&waits[..20]), "{}", daemon.ctl(&["module", "m"]));
    assert!(daemon.ctl(&["modules"]).contains("waits for its on_start"), "{}", daemon.ctl(&["modules"]));
    open_gate(&daemon);
    let answer = call.join().unwrap();
    assert_eq!(answer.outcome(), (200, "yes".to_owned()));
    wait_for(&daemon, "m", ModuleState::Running);
    let status = daemon.module("m");
    assert_eq!((status.on_start, status.restarts), (None, 0));
    assert_eq!(states(&daemon, "m"), ["starting", "running"]);
    // All of it on one guest: what fails with an error does not end it.
    let failed = failed_starts(&daemon);
    assert!(
        failed.iter().enumerate().all(|(at, (attempt, why))| *attempt as usize == at + 1 && why == "the gate is shut")
    );
    assert_eq!(count(&daemon, "opened"), failed.len() as u64 + 1);
    daemon.log_line(&["on_start failed, it is called again", "\"module\":\"m\"", "the gate is shut", "\"call\":"]);
}

#[test]
fn it_is_called_once_for_all_instances_and_again_with_a_restart_of_the_module() {
    let daemon = home(&hooked("m", "on_start = \"open\"\ninstances = 4")).start();
    daemon.wait_for_instances("m", 4);
    assert_eq!(count(&daemon, "opened"), 1);
    assert_eq!(daemon.call("m", "trap", b"").kind(), "trapped");
    eventually("it is replaced", || daemon.module("m").restarts == 1);
    daemon.wait_for_instances("m", 4);
    assert_eq!(count(&daemon, "opened"), 1, "the module as a whole went on");
    let before: Vec<u64> = daemon.module("m").instances.iter().map(|it| it.id).collect();
    let status = act(&daemon, "m", "restart");
    assert_eq!((status.state, status.instances.len()), (ModuleState::Running, 4));
    assert!(status.instances.iter().all(|it| !before.contains(&it.id)), "{status:?} {before:?}");
    assert_eq!(count(&daemon, "opened"), 2);
    act(&daemon, "m", "stop");
    act(&daemon, "m", "start");
    assert_eq!((count(&daemon, "opened"), daemon.module("m").instances.len()), (3, 4));
}

#[test]
fn a_module_whose_only_instance_ends_starts_again() {
    let daemon = home(&hooked("m", "on_start = \"open\"")).start();
    for times in 1..=3 {
        assert_eq!(daemon.call("m", "ready", b"").text(), "yes");
        assert_eq!(count(&daemon, "opened"), times);
        assert_eq!(daemon.call("m", "trap", b"").kind(), "trapped");
    }
}

#[test]
fn a_guest_that_ends_in_on_start_is_replaced_for_the_next_attempt() {
    for (payload, timeout, why) in [("t", "1m", "unreachable"), ("s", "50ms", "50 ms")] {
        let keys = GATED.replace("\"g\"", &format!("\"{payload}\", timeout = \"{timeout}\""));
        let daemon = spawn(home(&hooked("m", &format!("{keys}instances = 2"))));
        eventually("attempts have failed", || failed_starts(&daemon).len() > 2);
        assert!(failed_starts(&daemon).iter().all(|(_, told)| told.contains(why)), "{:?}", failed_starts(&daemon));
        assert_eq!(daemon.module("m").state, ModuleState::Starting);
        open_gate(&daemon);
        daemon.wait_for_instances("m", 2);
        let status = daemon.module("m");
        assert_eq!((status.state, status.restarts), (ModuleState::Running, 0));
        assert_eq!(count(&daemon, "opened"), failed_starts(&daemon).len() as u64 + 1);
    }
}

#[test]
fn what_fails_in_every_attempt_is_a_failed_start_with_all_that_follows_from_one() {
    let on_start = "on_start = { operation = \"open\", payload = \"f\", attempts = 2, retry_delay = \"1ms\" }\n";
    let restart = "restart = { intensity = 1, backoff = { initial = \"1ms\" }, retry_failed = \"never\" }";
    let daemon = spawn(home(&hooked("m", &format!("{on_start}instances = 3\n{restart}"))));
    wait_for(&daemon, "m", ModuleState::Failed);
    let status = daemon.module("m");
    let exit = status.last_exit.unwrap();
    assert_eq!(exit.causes, ["on_start `open` failed in each of 2 attempts, the last time with", "on purpose"]);
    assert_eq!(
        (exit.reason.as_str(), exit.operation.as_deref(), exit.origin.as_deref()),
        ("start_failed", Some("open"), Some("start"))
    );
    assert!(exit.call > Some(0));
    // Two starts of two attempts, whatever the number of instances.
    assert_eq!((count(&daemon, "opened"), failed_starts(&daemon).len(), status.restarts), (4, 2, 1));
    let refused = daemon.call("m", "ready", b"");
    assert_eq!(refused.kind(), "failed");
    assert!(refused.detail().contains("on_start") && refused.detail().contains("on purpose"), "{}", refused.detail());
}

#[test]
fn a_failed_module_gets_its_new_chance_with_another_on_start() {
    let keys = "on_start = { operation = \"open\", payload = \"g\" }\n\
                restart = { intensity = 0, retry_failed = \"50ms\" }";
    let daemon = spawn(home(&hooked("m", keys)));
    eventually("it failed more than once", || count(&daemon, "opened") > 2);
    assert_eq!(daemon.module("m").last_exit.unwrap().causes, ["on_start `open` failed", "the gate is shut"]);
    open_gate(&daemon);
    wait_for(&daemon, "m", ModuleState::Running);
    assert_eq!(daemon.call("m", "ready", b"").text(), "yes");
}

#[test]
fn a_lazy_module_is_opened_by_its_first_call() {
    let daemon = home(&hooked("m", "on_start = \"open\"\nlazy = true")).start();
    assert_eq!((daemon.module("m").state, count(&daemon, "opened")), (ModuleState::Idle, 0));
    assert_eq!(daemon.call("m", "ready", b"").text(), "yes");
    assert_eq!(count(&daemon, "opened"), 1);
}

#[test]
fn instances_that_a_reload_adds_before_it_has_ended_wait_for_it_too() {
    let daemon = spawn(home(&hooked("m", GATED)));
    eventually("an attempt has failed", || !failed_starts(&daemon).is_empty());
    daemon.home().configure(&text(super::STORE, &hooked("m", &format!("{GATED}instances = 3"))));
    daemon.ctl(&["reload", "--dry-run"]);
    let reload = call_reload(&daemon);
    eventually("it is adjusted", || daemon.status().configuration.reloads == 1);
    assert_eq!(daemon.module("m").state, ModuleState::Starting);
    open_gate(&daemon);
    daemon.wait_for_instances("m", 3);
    assert!(reload.join().unwrap());
    assert_eq!(count(&daemon, "opened"), failed_starts(&daemon).len() as u64 + 1);
}

fn call_reload(daemon: &crate::harness::Daemon) -> std::thread::JoinHandle<bool> {
    let client = daemon.client();
    std::thread::spawn(move || client.request("POST", "/v1/reload", "", b"").unwrap().status == 200)
}

#[test]
fn a_stop_ends_what_it_waits_for() {
    let daemon = spawn(home(&hooked("m", &format!("{GATED}on_stop = \"close\"\ninstances = 2"))));
    eventually("an attempt has failed", || !failed_starts(&daemon).is_empty());
    let call = call_beside(&daemon, "m", "ready");
    eventually("it waits", || daemon.module("m").queued == 1);
    assert_eq!(act(&daemon, "m", "stop").state, ModuleState::Stopped);
    assert_eq!(call.join().unwrap().kind(), "stopped");
    // It has not been started, and so there is nothing to stop.
    assert_eq!(count(&daemon, "closed"), 0);
    open_gate(&daemon);
    assert_eq!(act(&daemon, "m", "start").state, ModuleState::Running);
}

#[test]
fn a_restart_of_its_group_is_a_start_of_each_member_and_an_orderly_stop_of_those_that_live() {
    let keys = "on_start = \"open\"\non_stop = \"close\"\ninstances = 2";
    let group = "[groups.pair]\nstrategy = \"one_for_all\"\nmembers = [\"modules.m\", \"modules.n\"]\n";
    let daemon = home(&format!("{}{}{group}", hooked("m", keys), hooked("n", keys))).start();
    assert_eq!(count(&daemon, "opened"), 2);
    assert_eq!(daemon.call("n", "trap", b"").kind(), "trapped");
    eventually("both start again", || count(&daemon, "opened") == 4);
    for name in ["m", "n"] {
        daemon.wait_for_instances(name, 2);
        assert_eq!(daemon.call(name, "build", b"").text(), "a");
    }
    assert_eq!(count(&daemon, "closed"), 2);
}
