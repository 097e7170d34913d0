//! Back-off: what waits for how long, what that looks like, and what ends it.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wapcd::supervisor::{
    events::What,
    status::{ModuleState, ServiceState},
};

use crate::{
    harness::{Daemon, Home, SOON, eventually, menu, module},
    story::{binding, events, exits, ids, last, starts, tells, wait_for},
};

fn trap(daemon: &Daemon, name: &str) {
    assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
}

fn restart(keys: &str) -> String {
    format!("restart = {{ intensity = 20, period = \"1h\", {keys} }}")
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn the_first_exit_is_mended_at_once_and_the_waits_after_it_grow_up_to_a_bound() {
    let keys = restart("backoff = { initial = \"100ms\", max = \"400ms\", factor = 2.0, jitter = 0 }");
    let daemon = Daemon::start(&module("bad", &keys));
    assert_eq!(daemon.call("bad", "echo", b"").kind(), "ok");
    // Each but the first waits for the back-off of the one before.
    for _ in 0..5 {
        trap(&daemon, "bad");
    }
    eventually("it runs again", || starts(&daemon, "bad").len() == 6);
    let exits = exits(&daemon, "bad");
    let waits: Vec<Option<f64>> = exits.iter().map(|(_, _, wait)| *wait).collect();
    assert_eq!(waits, [None, Some(0.1), Some(0.2), Some(0.4), Some(0.4)]);
    for ((ended, _, wait), started) in exits.iter().zip(starts(&daemon, "bad").iter().skip(1)) {
        let (took, wait) = (started - ended, wait.unwrap_or(0.0));
        assert!(took >= wait - 0.002 && took < wait + SOON.as_secs_f64(), "{took} for a wait of {wait}");
    }
    assert_eq!(daemon.call("bad", "echo", b"").kind(), "ok");
    // The success counts at once.
    assert_eq!(daemon.module("bad").restarts_in_window, 0);
    // A success has cleared the history: at once again, and the count begins anew.
    trap(&daemon, "bad");
    eventually("it is told", || self::exits(&daemon, "bad").len() == 6);
    assert_eq!(self::exits(&daemon, "bad")[5].2, None);
    assert_eq!(daemon.module("bad").restarts_in_window, 1);
}

#[test]
fn a_back_off_is_seen_everywhere_and_calls_that_come_meanwhile_wait_for_the_fresh_instance() {
    let keys = restart("backoff = { initial = \"5s\", max = \"1h\", jitter = 0 }");
    let daemon = Daemon::start(&module("bad", &format!("limits = {{ call_timeout = \"1m\" }}\n{keys}")));
    trap(&daemon, "bad");
    trap(&daemon, "bad");
    wait_for(&daemon, "bad", ModuleState::Backoff);
    let (status, at) = (daemon.module("bad"), now());
    let next = status.next_try.unwrap();
    assert!(next > at && next < at + 5.01, "{next} at {at}");
    assert!(status.instances.is_empty() && status.uptime_s.is_none());
    let client = daemon.client();
    let waiting = thread::spawn(move || client.call("bad", "number", b""));
    eventually("the call waits", || daemon.module("bad").queued == 1);
    assert!(daemon.ctl(&["status"]).contains("backoff"));
    let page = daemon.ctl(&["module", "bad"]);
    assert!(page.contains("backoff") && page.contains("next try"), "{page}");
    let told = events(&daemon).into_iter().find_map(|event| match event.what {
        What::StateChanged { to, next_try, why, .. } if to == "backoff" => Some((next_try, why)),
        _ => None,
    });
    let (told, why) = told.unwrap();
    assert!((told.unwrap() - next).abs() < 0.5, "{told:?} {next}");
    assert!(why.unwrap().contains("trapped"));
    let answer = waiting.join().unwrap();
    assert_eq!(answer.outcome(), (200, "1".to_owned()));
    assert!(now() >= next - 0.002);
    eventually("it is known to run", || answer.instance() == Some(ids(&daemon, ["bad"])[0]));
    tells(&daemon, 0, &["module bad: backoff", "module bad: starting", "module bad: started", "module bad: running"]);
    assert_eq!(daemon.module("bad").next_try, None);
}

#[test]
fn a_module_that_ran_for_its_period_is_mended_at_once_though_no_call_succeeded() {
    let keys = "restart = { intensity = 20, period = \"3s\", backoff = { initial = \"50ms\", jitter = 0 } }";
    let daemon = Daemon::start(&module("bad", keys));
    trap(&daemon, "bad");
    trap(&daemon, "bad");
    eventually("it ran for its period", || daemon.module("bad").uptime_s > Some(3.05));
    assert_eq!(daemon.module("bad").restarts_in_window, 0);
    trap(&daemon, "bad");
    eventually("it is told", || exits(&daemon, "bad").len() == 3);
    let waits: Vec<Option<f64>> = exits(&daemon, "bad").into_iter().map(|(_, _, wait)| wait).collect();
    assert_eq!(waits, [None, Some(0.05), None]);
}

#[test]
fn a_call_that_waits_for_a_back_off_ends_at_its_deadline() {
    let limits = "limits = { call_timeout = \"2s\" }\n";
    let keys = restart("backoff = { initial = \"1h\", max = \"1h\" }");
    let daemon = Daemon::start(&module("bad", &format!("{limits}{keys}")));
    trap(&daemon, "bad");
    trap(&daemon, "bad");
    wait_for(&daemon, "bad", ModuleState::Backoff);
    let late = daemon.call("bad", "echo", b"");
    assert_eq!((late.status, late.kind().as_str()), (504, "expired"));
}

#[test]
fn an_operators_restart_ends_a_back_off() {
    let daemon = Daemon::start(&module("bad", &restart("backoff = { initial = \"1h\", max = \"1h\" }")));
    for action in ["restart", "restart"] {
        trap(&daemon, "bad");
        trap(&daemon, "bad");
        wait_for(&daemon, "bad", ModuleState::Backoff);
        daemon.ctl(&[action, "bad"]);
        assert_eq!(daemon.call("bad", "number", b"").text(), "1");
    }
}

#[test]
fn a_stop_ends_a_back_off() {
    let daemon = Daemon::start(&module("bad", &restart("backoff = { initial = \"5s\", max = \"5s\" }")));
    trap(&daemon, "bad");
    trap(&daemon, "bad");
    wait_for(&daemon, "bad", ModuleState::Backoff);
    let client = daemon.client();
    let waiting = thread::spawn(move || client.call("bad", "echo", b""));
    eventually("a call waits", || daemon.module("bad").queued == 1);
    daemon.ctl(&["stop", "bad"]);
    assert_eq!(daemon.module("bad").state, ModuleState::Stopped);
    assert_eq!(waiting.join().unwrap().kind(), "stopped");
    // Nothing comes of the wait that was begun.
    let begin = last(&daemon);
    crate::harness::pause_for(Duration::from_millis(5_200));
    assert_eq!(daemon.module("bad").state, ModuleState::Stopped);
    assert!(!crate::story::story(&daemon, begin).iter().any(|line| line.starts_with("module bad")));
}

#[test]
fn a_module_that_failed_gets_a_new_chance_from_its_file_when_its_time_has_come() {
    let home = Home::new("[modules.late]\npath = \"late.wasm\"\nrestart = { retry_failed = \"2s\" }\n");
    home.write("late.wasm", "not wasm at all, and long enough to be looked at");
    let daemon = home.start();
    wait_for(&daemon, "late", ModuleState::Failed);
    let status = daemon.module("late");
    assert!(status.next_try.is_some());
    assert_eq!(status.last_exit.unwrap().reason, "load_failed");
    // Once more in vain.
    eventually("it was tried again", || exits(&daemon, "late").len() >= 2);
    daemon.home().write("late.wasm", menu());
    wait_for(&daemon, "late", ModuleState::Running);
    assert_eq!(daemon.call("late", "echo", b"at last").text(), "at last");
    let status = daemon.module("late");
    assert_eq!((status.generation, status.restarts_in_window, status.next_try), (1, 0, None));
}

#[test]
fn a_module_that_failed_too_often_reads_its_file_for_its_new_chance() {
    // Where files are watched, its new file is its new chance.
    let watch = "[watch]\nmode = \"off\"\n";
    let bad = "[modules.bad]\npath = \"bad.wasm\"\nrestart = { intensity = 0, retry_failed = \"3s\" }\n";
    let home = Home::new(&format!("{watch}{bad}"));
    home.write("bad.wasm", menu());
    let daemon = home.start();
    let before = daemon.module("bad").sha256;
    trap(&daemon, "bad");
    wait_for(&daemon, "bad", ModuleState::Failed);
    let start = now();
    daemon.home().write("bad.wasm", crate::story::patient());
    wait_for(&daemon, "bad", ModuleState::Running);
    assert!(now() - start > 0.3, "not before its time");
    let status = daemon.module("bad");
    assert_eq!(status.generation, 2);
    assert_ne!(status.sha256, before);
}

#[test]
fn modules_wait_for_a_binding_that_is_on_its_way_and_start_without_it_when_it_is_late() {
    let table = |path: &str, initial: &str| {
        format!(
            "[bindings.cache]\ntype = \"keyvalue\"\npath = {path:?}\nrestart = {{ intensity = 1000, backoff = {{ initial = {initial:?}, max = {initial:?} }} }}\n"
        )
    };
    let first = Daemon::start(&(table("cache.redb", "1s") + &module("menu", "links = [\"cache\"]")));
    let database = first.home().path().join("state/cache.redb");
    let links = "links = [\"cache\"]\n";
    let toml = table(database.to_str().unwrap(), "50ms")
        + &module("patient", &format!("{links}binding_wait = \"1m\"\nlimits.call_timeout = \"1m\""))
        + &module("hasty", &format!("{links}binding_wait = \"10s\""))
        + &module("alone", "");
    let second = Home::new(&toml).spawn("log");
    eventually("the second runs", || second.try_status().is_some());
    wait_for(&second, "alone", ModuleState::Running);
    eventually("both wait", || {
        ["patient", "hasty"].iter().all(|name| second.module(name).waiting_for == ["binding cache"])
    });
    assert_eq!(second.module("patient").state, ModuleState::Starting);
    assert!(second.ctl(&["module", "patient"]).contains("binding cache"));
    wait_for(&second, "hasty", ModuleState::Running);
    assert_eq!(second.module("patient").state, ModuleState::Starting);
    second.log_line(&["starts without what it waited for"]);
    assert_eq!(binding(&second, "cache").last_exit.unwrap().reason, "start_failed");
    let client = second.client();
    let waiting = thread::spawn(move || client.call("patient", "host/cache//increment", br#"{"key":"a"}"#));
    eventually("a call waits", || second.module("patient").queued == 1);
    first.stop();
    assert_eq!(waiting.join().unwrap().outcome(), (200, r#"{"value":1}"#.to_owned()));
    assert_eq!(second.module("patient").waiting_for, [""; 0]);
    assert_eq!(binding(&second, "cache").state, ServiceState::Running);
    tells(&second, 0, &["module hasty: started", "binding cache: running", "module patient: started"]);
}

#[test]
fn a_backend_that_does_not_open_again_is_tried_with_growing_waits_while_its_callers_wait() {
    let toml = "[bindings.flaky]\ntype = \"faulty\"\nhealth = { interval = \"1s\", timeout = \"1s\", failures = 1 }\n\
                restart = { intensity = 20, backoff = { initial = \"1s\", jitter = 0 } }\n"
        .to_owned()
        + &module("user", "links = [\"flaky\"]\nlimits = { call_timeout = \"1m\" }");
    let daemon = Daemon::start(&toml);
    let ask = |operation: &str| daemon.call("user", &format!("host/flaky//{operation}"), b"").kind();
    assert_eq!(ask("broken_start"), "ok");
    assert_eq!(ask("sick"), "ok");
    eventually("it is in back-off, and says until when", || {
        let flaky = binding(&daemon, "flaky");
        flaky.state == ServiceState::Backoff && flaky.next_try.is_some()
    });
    // Its caller waits, and is answered by the backend that opens at last.
    let before = ids(&daemon, ["user"]);
    assert_eq!(ask("echo"), "ok");
    assert_eq!(ids(&daemon, ["user"]), before);
    let told: Vec<(String, Option<f64>)> =
        exits(&daemon, "flaky").into_iter().map(|(_, reason, wait)| (reason, wait)).collect();
    let expected = [
        ("unhealthy".to_owned(), None),
        ("start_failed".to_owned(), Some(1.0)),
        ("start_failed".to_owned(), Some(2.0)),
    ];
    assert_eq!(told, expected);
    let status = binding(&daemon, "flaky");
    assert_eq!((status.state, status.restarts), (ServiceState::Running, 3));
}
