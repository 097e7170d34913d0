//! Groups: who is restarted with whom, in which order, and what happens when a group gives up.

use std::thread;

use wapcd::supervisor::status::{GroupState, ModuleState, ServiceState};

use crate::{
    client::Response,
    harness::{Daemon, Home, eventually, module},
    story::{binding, end_after_panics, group, group_status, ids, last, modules, story, tells, wait_for},
};

fn send(daemon: &Daemon, module: &'static str, operation: &'static str) -> thread::JoinHandle<Response> {
    let client = daemon.client();
    thread::spawn(move || client.call(module, operation, b""))
}

fn trap(daemon: &Daemon, name: &str) {
    assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
}

fn all_run(daemon: &Daemon) {
    eventually("all run", || {
        let status = daemon.status();
        status.modules.iter().all(|module| module.state == ModuleState::Running && !module.instances.is_empty())
            && status.groups.iter().all(|group| group.state == GroupState::Running)
    });
}

#[test]
fn a_member_that_ends_takes_with_it_whom_the_strategy_says_and_nobody_else() {
    let cases =
        [("one_for_one", [false, true, false]), ("one_for_all", [true; 3]), ("rest_for_one", [false, true, true])];
    thread::scope(|scope| {
        for (strategy, expected) in cases {
            scope.spawn(move || {
                let toml = modules(&["a", "b", "c", "alone"], "") + &group("g", strategy, &["a", "b", "c"], "");
                let daemon = Daemon::start(&toml);
                all_run(&daemon);
                let before = ids(&daemon, ["a", "b", "c", "alone"]);
                trap(&daemon, "b");
                eventually("b runs again", || {
                    daemon.module("b").state == ModuleState::Running && ids(&daemon, ["b"])[0] > before[1]
                });
                all_run(&daemon);
                let after = ids(&daemon, ["a", "b", "c", "alone"]);
                let fresh: Vec<bool> = after.iter().zip(before).map(|(after, before)| *after != before).collect();
                assert_eq!(fresh, [expected.as_slice(), &[false]].concat(), "{strategy}");
                let status = group_status(&daemon, "g");
                assert_eq!((status.strategy.as_str(), status.restarts_in_window), (strategy, 1));
            });
        }
    });
}

#[test]
fn members_stop_in_reverse_and_start_in_order_one_after_the_other() {
    // Not the order of the file.
    let toml = modules(&["c", "a", "b"], "") + &group("g", "one_for_all", &["a", "b", "c"], "");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    tells(&daemon, 0, &["module a: started", "module b: started", "module c: started"]);
    let running = last(&daemon);
    trap(&daemon, "b");
    tells(
        &daemon,
        running,
        &[
            "module b: exited trapped restart_group",
            "group g: restarts module a, module b, module c after module b",
            "module c: draining",
            "module c: backoff",
            "module a: draining",
            "module a: backoff",
            "module a: started",
            "module a: running",
            "module b: started",
            "module b: running",
            "module c: started",
            "module c: running",
        ],
    );
    assert_eq!(group_status(&daemon, "g").restarts, 1);
}

#[test]
fn a_group_that_restarts_too_often_is_restarted_by_the_one_above_and_then_all_fail() {
    let toml = modules(&["x", "y", "z"], "restart.backoff.initial = \"0s\"")
        + &group("inner", "one_for_one", &["x", "y"], "intensity = 1\nperiod = \"1h\"")
        + &group(
            "outer",
            "one_for_all",
            &["groups.inner", "z"],
            "intensity = 1\nperiod = \"1h\"\nretry_failed = \"never\"",
        );
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    let first = ids(&daemon, ["x", "y", "z"]);
    trap(&daemon, "x");
    eventually("x runs again", || ids(&daemon, ["x"])[0] > first[0]);
    assert_eq!(ids(&daemon, ["y", "z"]), first[1..]);
    let before = last(&daemon);
    trap(&daemon, "x");
    tells(
        &daemon,
        before,
        &[
            "module x: exited trapped restart_group",
            "group inner: gave up after module x: restart_group",
            "group outer: restarts module x, module y, module z after module x",
            "module z: draining",
            "module y: draining",
            "module x: started",
            "module y: started",
            "module z: running",
        ],
    );
    all_run(&daemon);
    assert!(ids(&daemon, ["x", "y", "z"]).iter().zip(first).all(|(after, before)| *after > before));
    // The inner group began anew, and the outer has used up what it has.
    assert_eq!(group_status(&daemon, "inner").restarts_in_window, 0);
    trap(&daemon, "y");
    all_run(&daemon);
    trap(&daemon, "y");
    for name in ["x", "y"] {
        wait_for(&daemon, name, ModuleState::Failed);
    }
    tells(&daemon, before, &["module y: exited trapped fail", "group outer: gave up after module y: fail"]);
    let refused = daemon.call("x", "echo", b"");
    let detail = refused.detail();
    assert_eq!((refused.status, refused.kind().as_str()), (409, "failed"));
    assert!(detail.contains("`outer`") && detail.contains("module y") && detail.contains("trap"), "{detail}");
    for name in ["inner", "outer"] {
        assert_eq!(group_status(&daemon, name).state, GroupState::Failed);
    }
    // Any member brings back all of it.
    daemon.ctl(&["start", "x"]);
    eventually("x and y run", || ids(&daemon, ["x", "y"]).iter().all(|id| *id > 0));
    assert_eq!(group_status(&daemon, "outer").state, GroupState::Running);
    assert_eq!(daemon.call("y", "number", b"").text(), "1");
}

#[test]
fn a_failed_group_gets_its_next_chance_when_its_time_has_come() {
    let keys = "intensity = 0\nretry_failed = \"3s\"";
    let toml = modules(&["a", "b"], "") + &group("g", "one_for_one", &["a", "b"], keys);
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    let before = ids(&daemon, ["a", "b"]);
    trap(&daemon, "a");
    for name in ["a", "b"] {
        wait_for(&daemon, name, ModuleState::Failed);
        assert!(daemon.module(name).next_try.is_some());
    }
    assert!(group_status(&daemon, "g").next_try.is_some());
    all_run(&daemon);
    assert!(ids(&daemon, ["a", "b"]).iter().zip(before).all(|(after, before)| *after > before));
    assert_eq!(group_status(&daemon, "g").restarts_in_window, 0);
}

#[test]
fn what_an_operator_stopped_stays_stopped_when_its_group_restarts_fails_and_comes_back() {
    let keys = "intensity = 1\nretry_failed = \"300ms\"";
    let toml = modules(&["a", "b", "c"], "restart.backoff.initial = \"0s\"")
        + &group("g", "one_for_all", &["a", "b", "c"], keys);
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    daemon.ctl(&["stop", "b"]);
    let before = ids(&daemon, ["c"])[0];
    trap(&daemon, "a");
    eventually("the others run", || ids(&daemon, ["a", "c"]).iter().all(|id| *id > before));
    assert_eq!(daemon.module("b").state, ModuleState::Stopped);
    let begin = last(&daemon);
    trap(&daemon, "c");
    tells(&daemon, begin, &["group g: gave up after module c: fail", "module a: running", "module c: running"]);
    assert_eq!(daemon.module("b").state, ModuleState::Stopped);
    assert!(!story(&daemon, begin).iter().any(|line| line.starts_with("module b")));
    assert_eq!(daemon.call("b", "echo", b"").kind(), "stopped");
    daemon.ctl(&["start", "b"]);
    assert_eq!(daemon.call("b", "echo", b"here").text(), "here");
}

#[test]
fn temporary_members_are_not_started_again_and_transient_ones_may_end() {
    let toml = modules(&["a"], "")
        + &module("once", "restart.type = \"temporary\"")
        + &module("task", "restart.type = \"transient\"")
        + &group("g", "one_for_all", &["a", "once", "task"], "intensity = 3");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    let before = ids(&daemon, ["a", "once", "task"]);
    assert_eq!(daemon.call("task", "quit", b"0").kind(), "exited");
    wait_for(&daemon, "task", ModuleState::Stopped);
    assert_eq!(ids(&daemon, ["a", "once"]), before[..2]);
    let begin = last(&daemon);
    trap(&daemon, "a");
    tells(&daemon, begin, &["module once: stopped", "module a: started", "module task: started"]);
    wait_for(&daemon, "once", ModuleState::Stopped);
    assert_eq!(daemon.call("once", "echo", b"").kind(), "stopped");
    eventually("both run", || ids(&daemon, ["a", "task"]).iter().all(|id| *id > 0));
    let begin = ids(&daemon, ["a"])[0];
    assert_eq!(daemon.call("task", "quit", b"3").kind(), "exited");
    eventually("all but one are started anew", || ids(&daemon, ["a", "task"]).iter().all(|id| *id > begin));
    assert_eq!(daemon.module("once").state, ModuleState::Stopped);
}

#[test]
fn no_call_of_a_sibling_is_lost_when_the_group_restarts() {
    let toml = modules(&["a", "b"], "limits = { call_timeout = \"1m\" }") + &group("g", "one_for_all", &["a", "b"], "");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    let before = ids(&daemon, ["b"])[0];
    let running = send(&daemon, "b", "wait/3000/number");
    eventually("a call runs", || daemon.module("b").in_flight == 1);
    let waiting: Vec<_> = (0..6).map(|_| send(&daemon, "b", "number")).collect();
    eventually("calls wait", || daemon.module("b").queued == 6);
    trap(&daemon, "a");
    let late = send(&daemon, "b", "number");
    let running = running.join().unwrap();
    assert_eq!((running.status, running.instance()), (200, Some(before)));
    let answers: Vec<Response> = waiting.into_iter().chain([late]).map(|call| call.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.instance() > Some(before)), "{answers:?}");
    let mut numbers: Vec<String> = answers.iter().map(Response::text).collect();
    numbers.sort();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7"]);
    let status = daemon.module("b");
    assert_eq!((status.calls_ok, status.calls_failed, status.calls_refused), (8, 0, 0));
}

#[test]
fn members_that_fail_one_after_the_other_while_the_group_stops_are_all_started_again() {
    let toml = modules(&["a", "b", "c"], "restart.backoff.initial = \"0s\"")
        + &group("g", "rest_for_one", &["a", "b", "c"], "intensity = 5");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    let before = ids(&daemon, ["a", "b", "c"]);
    // It holds the stop of the others up.
    let busy = send(&daemon, "c", "wait/3000/echo");
    eventually("a call runs", || daemon.module("c").in_flight == 1);
    trap(&daemon, "a");
    wait_for(&daemon, "c", ModuleState::Draining);
    trap(&daemon, "b");
    assert_eq!(busy.join().unwrap().status, 200);
    all_run(&daemon);
    assert!(ids(&daemon, ["a", "b", "c"]).iter().zip(before).all(|(after, before)| *after > before));
    tells(
        &daemon,
        0,
        &["module b: exited trapped restart_group", "module a: running", "module b: running", "module c: running"],
    );
}

#[test]
fn a_critical_group_that_gives_up_ends_the_daemon_with_an_error_that_names_it() {
    let toml = modules(&["a", "b"], "")
        + &module("other", "")
        + &group("vital", "one_for_one", &["a", "b"], "intensity = 0\ncritical = true");
    let mut daemon = Daemon::start(&toml);
    all_run(&daemon);
    let running = send(&daemon, "other", "wait/2000/number");
    eventually("a call runs", || daemon.module("other").in_flight == 1);
    trap(&daemon, "a");
    let running = running.join().unwrap();
    assert_eq!(running.text(), "1", "what runs elsewhere is finished");
    let exit = daemon.wait();
    assert_eq!(exit.code(), Some(1));
    let log = daemon.log();
    let end = log.lines().last().unwrap_or_default();
    assert!(end.contains("vital") && end.contains("module a"), "{log}");
}

#[test]
fn a_member_that_cannot_be_loaded_fails_its_group_and_a_new_file_brings_it_back() {
    let home = Home::new(
        &(module("a", "")
            + "[modules.b]\npath = \"b.wasm\"\n"
            + &module("alone", "")
            + &group("g", "one_for_one", &["a", "b"], "retry_failed = \"3s\"")),
    );
    home.write("b.wasm", "not wasm at all, and long enough to be looked at");
    let daemon = home.start();
    for name in ["a", "b"] {
        wait_for(&daemon, name, ModuleState::Failed);
    }
    assert_eq!(daemon.call("alone", "echo", b"fine").text(), "fine");
    let detail = daemon.call("a", "echo", b"").detail();
    assert!(detail.contains("`g`") && detail.contains("module b") && detail.contains("b.wasm"), "{detail}");
    assert_eq!(daemon.module("b").last_exit.unwrap().reason, "load_failed");
    daemon.home().write("b.wasm", crate::harness::menu());
    all_run(&daemon);
    assert_eq!(daemon.call("b", "echo", b"good").text(), "good");
}

#[test]
fn lazy_members_are_not_loaded_by_their_group_and_are_started_with_it_once_they_were() {
    let toml = module("a", "")
        + &module("lazy", "lazy = true")
        + &module("b", "")
        + &group("g", "one_for_all", &["a", "lazy", "b"], "intensity = 5");
    let daemon = Daemon::start(&toml);
    let busy = |name: &str| ids(&daemon, [name])[0];
    eventually("the others run", || busy("a") > 0 && busy("b") > 0);
    assert_eq!(daemon.module("lazy").state, ModuleState::Idle);
    let before = busy("b");
    trap(&daemon, "a");
    eventually("the others run again", || busy("a") > before && busy("b") > before);
    assert_eq!(daemon.module("lazy").state, ModuleState::Idle);
    assert_eq!(daemon.call("lazy", "echo", b"up").text(), "up");
    let before = busy("lazy");
    trap(&daemon, "b");
    eventually("all run again", || ["a", "lazy", "b"].iter().all(|name| busy(name) > before));
}

#[test]
fn a_binding_that_panics_restarts_what_depends_on_it() {
    let toml = "[bindings.flaky]\ntype = \"faulty\"\n".to_owned()
        + &module("before", "")
        + &module("user", "links = [\"flaky\"]")
        + &module("outside", "links = [\"flaky\"]")
        + &group("g", "rest_for_one", &["before", "bindings.flaky", "user"], "intensity = 3");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    assert_eq!(daemon.call("user", "host/flaky//echo", b"hello").text(), "hello");
    let old = ids(&daemon, ["before", "user", "outside"]);
    let begin = last(&daemon);
    let (status, text) = daemon.call("outside", "host/flaky//panic", b"ouch").outcome();
    assert_eq!(status, 422);
    assert!(!text.is_empty());
    tells(
        &daemon,
        begin,
        &[
            "binding flaky: exited panicked restart_group",
            "group g: restarts binding flaky, module user after binding flaky",
            "module user: backoff",
            "binding flaky: running",
            "module user: started",
            "module user: running",
        ],
    );
    let new = ids(&daemon, ["before", "user", "outside"]);
    assert_eq!((new[0], new[2]), (old[0], old[2]));
    assert!(new[1] > old[1]);
    let status = binding(&daemon, "flaky");
    assert_eq!(
        (status.state, status.restarts, status.last_exit.unwrap().reason),
        (ServiceState::Running, 1, "panicked".to_owned())
    );
    assert_eq!(daemon.call("user", "host/flaky//echo", b"again").text(), "again");
    end_after_panics(daemon);
}

#[test]
fn a_database_as_member_keeps_its_values_over_a_restart_of_its_group() {
    let toml = "[bindings.cache]\ntype = \"keyvalue\"\npath = \"cache.redb\"\n".to_owned()
        + &modules(&["a", "b"], "links = [\"cache\"]")
        + &group("g", "one_for_all", &["bindings.cache", "a", "b"], "intensity = 50");
    let daemon = Daemon::start(&toml);
    all_run(&daemon);
    for round in 1..=5 {
        let count = daemon.call("b", "host/cache//increment", br#"{"key":"visits"}"#);
        assert_eq!(count.text(), format!(r#"{{"value":{round}}}"#));
        let begin = last(&daemon);
        trap(&daemon, "a");
        tells(
            &daemon,
            begin,
            &[
                "module b: backoff",
                "binding cache: draining",
                "binding cache: running",
                "module a: started",
                "module b: running",
            ],
        );
        all_run(&daemon);
    }
}
