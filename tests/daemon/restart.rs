//! When a module is started anew, when it is given up, and what brings it back.

use std::{thread, time::Instant};

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, SOON, eventually, module};

fn twice(name: &str) -> String {
    module(name, "restart = { intensity = 2, period = \"1h\" }")
}

fn trap_until_failed(daemon: &Daemon, name: &str) {
    for _ in 0..3 {
        assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
    }
    eventually("the module fails", || daemon.module(name).state == ModuleState::Failed);
}

#[test]
fn past_its_intensity_a_module_fails_and_says_why_at_once_while_others_go_on() {
    let daemon = Daemon::start(&(twice("bad") + &twice("good")));
    trap_until_failed(&daemon, "bad");
    let refused = daemon.call("bad", "echo", b"");
    assert_eq!((refused.status, refused.kind().as_str()), (409, "failed"));
    let detail = refused.detail();
    assert!(detail.contains("module `bad` is failed") && detail.contains("trapped"), "{detail}");
    assert_eq!(daemon.call("good", "echo", b"on").text(), "on");
    let status = daemon.module("bad");
    assert_eq!((status.restarts, status.instances.len()), (2, 0));
    assert_eq!(status.last_exit.unwrap().operation.as_deref(), Some("trap"));
    daemon.log_line(&["state changed", "\"bad\"", "\"to\":\"failed\""]);
}

#[test]
fn whoever_waits_when_a_module_fails_is_told_at_once() {
    let daemon = Daemon::start(&module(
        "bad",
        "queue = 2\non_full = \"wait\"\nrestart = { intensity = 0 }\nlimits = { call_timeout = \"1m\" }",
    ));
    let send = |operation: &'static str| {
        let client = daemon.client();
        thread::spawn(move || client.call("bad", operation, b"").kind())
    };
    let trap = send("wait/2000/trap");
    eventually("the call runs", || daemon.module("bad").in_flight == 1);
    let waiting: Vec<_> = (0..5).map(|_| send("echo")).collect();
    eventually("the queue is full", || daemon.module("bad").queued == 2);
    let start = Instant::now();
    assert_eq!(trap.join().unwrap(), "trapped");
    for call in waiting {
        assert_eq!(call.join().unwrap(), "failed");
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn the_uptime_of_a_module_begins_anew_when_nothing_of_it_ran() {
    let daemon = Daemon::start(&(module("one", "") + &module("two", "instances = 2")));
    daemon.wait_for_instances("two", 2);
    let uptime = |name: &str| daemon.module(name).uptime_s;
    eventually("they run for a moment", || uptime("one") > Some(0.2) && uptime("two") > Some(0.2));
    let start = Instant::now();
    for name in ["one", "two"] {
        assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
        // An exit follows the answer of its call.
        eventually("it runs again", || daemon.module(name).restarts == 1 && uptime(name).is_some());
    }
    assert!(uptime("one").unwrap() <= start.elapsed().as_secs_f64());
    // The other instance ran all the time.
    let since = start.elapsed().as_secs_f64();
    assert!(uptime("two").unwrap() > since);
}

#[test]
fn an_operator_brings_a_failed_module_back_with_a_clear_history() {
    let daemon = Daemon::start(&twice("bad"));
    for action in ["start", "restart"] {
        trap_until_failed(&daemon, "bad");
        daemon.ctl(&[action, "bad"]);
        assert_eq!(daemon.module("bad").state, ModuleState::Running);
        assert_eq!(daemon.module("bad").restarts_in_window, 0);
        assert_eq!(daemon.call("bad", "number", b"").text(), "1");
    }
}

#[test]
fn a_successful_call_clears_the_history_unless_the_module_says_no() {
    let keys = "restart = { intensity = 2, period = \"1h\", reset_on_success = false }";
    let daemon = Daemon::start(&(twice("forgiving") + &module("strict", keys)));
    for _ in 0..4 {
        assert_eq!(daemon.call("forgiving", "trap", b"").kind(), "trapped");
        assert_eq!(daemon.call("forgiving", "echo", b"").kind(), "ok");
    }
    for _ in 0..2 {
        assert_eq!(daemon.call("strict", "trap", b"").kind(), "trapped");
        assert_eq!(daemon.call("strict", "echo", b"").kind(), "ok");
    }
    assert_eq!(daemon.call("strict", "trap", b"").kind(), "trapped");
    eventually("the strict one fails", || daemon.module("strict").state == ModuleState::Failed);
    assert_eq!(daemon.module("forgiving").state, ModuleState::Running);
}

#[test]
fn a_deadline_in_a_host_call_is_not_counted_and_one_of_a_computing_guest_is() {
    let limits = "limits = { call_timeout = \"1s\" }\nrestart = { intensity = 1, period = \"1h\" }\n";
    let links = "links = [{ binding = \"module\", namespace = \"slow\" }]";
    let toml = module("waits", &format!("{limits}{links}"))
        + &module("spins", limits)
        + &module("slow", "instances = 4\nrestart = { intensity = 1000 }");
    let daemon = Daemon::start(&toml);
    for n in 1..=4 {
        let failed = daemon.call("waits", "host/module/slow/wait/10000/echo", b"");
        assert_eq!((failed.status, failed.kind().as_str()), (504, "deadline-exceeded"), "{}", failed.text());
        assert!(failed.detail().contains("in a host call"), "{}", failed.detail());
        eventually("the instance is rebuilt", || daemon.module("waits").restarts == n);
        assert_eq!(daemon.module("waits").restarts_in_window, 0);
    }
    for _ in 0..2 {
        assert_eq!(daemon.call("spins", "spin", b"").kind(), "deadline-exceeded");
    }
    eventually("the spinning one fails", || daemon.module("spins").state == ModuleState::Failed);
    assert_eq!(daemon.module("waits").state, ModuleState::Running);
}

#[test]
fn a_module_with_several_instances_that_fails_ends_all_of_them() {
    let daemon = Daemon::start(&module("wide", "instances = 3\nrestart = { intensity = 0 }"));
    daemon.wait_for_instances("wide", 3);
    assert_eq!(daemon.call("wide", "trap", b"").kind(), "trapped");
    eventually("all instances end", || {
        let status = daemon.module("wide");
        status.state == ModuleState::Failed && status.instances.is_empty()
    });
    daemon.ctl(&["start", "wide"]);
    assert_eq!(daemon.module("wide").instances.len(), 3);
}
