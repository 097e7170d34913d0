//! `on_stop` when a module stops in order: once, on the last instance, after its calls, and never for long.

use std::{thread, time::Instant};

use rustix::process::Signal;
use wapcd::supervisor::status::ModuleState;

use super::{STORE, act, call_beside, count, events, failed_stops, home, home_with, hooked, open_gate, text, wait_for};
use crate::harness::{SOON, eventually};

/// A binding that remembers beyond the daemon.
const DURABLE: &str = "[bindings.store]\ntype = \"keyvalue\"\n";

#[test]
fn it_is_called_once_after_what_runs_and_before_the_module_has_stopped() {
    let daemon = home(&hooked("m", "on_start = \"open\"\non_stop = \"close\"\ninstances = 4")).start();
    daemon.wait_for_instances("m", 4);
    let calls: Vec<_> = (0..6).map(|_| call_beside(&daemon, "m", "wait")).collect();
    eventually("they run and wait", || daemon.module("m").in_flight == 4 && daemon.module("m").queued == 2);
    let client = daemon.client();
    let stop = thread::spawn(move || client.request("POST", "/v1/modules/m/stop", "", b"").unwrap().status);
    wait_for(&daemon, "m", ModuleState::Draining);
    assert_eq!(count(&daemon, "closed"), 0);
    open_gate(&daemon);
    assert!(calls.into_iter().all(|call| call.join().unwrap().status == 200), "what was accepted is answered");
    assert_eq!(stop.join().unwrap(), 200);
    assert_eq!((daemon.module("m").state, count(&daemon, "closed")), (ModuleState::Stopped, 1));
    assert_eq!(failed_stops(&daemon), [""; 0]);
    act(&daemon, "m", "start");
    daemon.wait_for_instances("m", 4);
    assert_eq!(count(&daemon, "opened"), 2);
    act(&daemon, "m", "stop");
    assert_eq!(count(&daemon, "closed"), 2);
}

#[test]
fn a_restart_and_an_end_that_is_none_of_its_own_are_no_stops() {
    let keys = "on_stop = \"close\"\ninstances = 2\nrestart = { intensity = 0, retry_failed = \"never\" }";
    let daemon = home(&hooked("m", keys)).start();
    act(&daemon, "m", "restart");
    assert_eq!(daemon.module("m").state, ModuleState::Running);
    assert_eq!(daemon.call("m", "trap", b"").kind(), "trapped");
    wait_for(&daemon, "m", ModuleState::Failed);
    act(&daemon, "m", "stop");
    assert_eq!(count(&daemon, "closed"), 0);
}

#[test]
fn a_module_that_a_reload_takes_away_is_called_while_its_binding_is_there() {
    let side = "[bindings.side]\ntype = \"keyvalue\"\n";
    let of_side = hooked("s", "on_stop = \"close\"").replace("to = \"store\"", "binding = \"store\", to = \"side\"");
    let m = hooked("m", "on_stop = \"close\"\ninstances = 2");
    let daemon = home_with(&format!("{STORE}{side}"), &format!("{m}{of_side}")).start();
    daemon.wait_for_instances("m", 2);
    daemon.home().configure(&text(STORE, ""));
    daemon.ctl(&["reload"]);
    eventually("all of it is gone", || {
        let status = daemon.status();
        status.modules.len() == 1 && status.bindings.iter().all(|binding| binding.name != "side")
    });
    eventually("it was called", || count(&daemon, "closed") == 1);
    assert_eq!(failed_stops(&daemon), [""; 0], "{:?}", events(&daemon));
}

#[test]
fn the_end_of_the_daemon_is_a_stop_and_a_kill_is_none() {
    let modules = hooked("m", "on_stop = \"close\"\ninstances = 2") + &hooked("n", "on_stop = \"close\"");
    let daemon = home_with(DURABLE, &modules).start();
    let daemon = daemon.stop().start();
    assert_eq!(count(&daemon, "closed"), 2);
    let daemon = daemon.kill().start();
    assert_eq!(count(&daemon, "closed"), 2);
}

#[test]
fn one_that_fails_is_told_and_keeps_nothing_from_stopping() {
    for (payload, timeout, why) in [("f", "20s", "on purpose"), ("t", "20s", "unreachable"), ("s", "50ms", "50 ms")] {
        let on_stop =
            format!("on_stop = {{ operation = \"close\", payload = \"{payload}\", timeout = \"{timeout}\" }}");
        let daemon = home(&hooked("m", &on_stop)).start();
        assert_eq!(act(&daemon, "m", "stop").state, ModuleState::Stopped);
        let told = failed_stops(&daemon);
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
        daemon.log_line(&["on_stop failed", "\"module\":\"m\"", why]);
        assert_eq!((count(&daemon, "closed"), daemon.module("m").restarts), (1, 0));
        assert_eq!(act(&daemon, "m", "start").state, ModuleState::Running);
    }
}

#[test]
fn one_that_hangs_is_ended_with_the_time_of_the_module_or_of_the_daemon() {
    let on_stop = "on_stop = { operation = \"close\", payload = \"s\", timeout = \"1h\" }\n";
    let daemon = home(&hooked("m", &format!("{on_stop}shutdown = \"100ms\""))).start();
    assert_eq!(act(&daemon, "m", "stop").state, ModuleState::Stopped);
    assert_eq!(count(&daemon, "closed"), 1);
    assert_eq!(failed_stops(&daemon).len(), 1, "{:?}", failed_stops(&daemon));

    let daemon = home(&format!("[daemon]\nworkers = 2\nshutdown_grace = \"300ms\"\n{}", hooked("m", on_stop)));
    let mut daemon = daemon.start();
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    daemon.log_line(&["on_stop failed"]);
}

#[test]
fn a_module_that_is_to_be_killed_is_not_called() {
    let daemon = home(&hooked("m", "on_stop = \"close\"\nshutdown = \"kill\"")).start();
    assert_eq!(act(&daemon, "m", "stop").state, ModuleState::Stopped);
    assert_eq!((count(&daemon, "closed"), failed_stops(&daemon).len()), (0, 0));
}

#[test]
fn the_last_instance_that_is_alive_is_called_where_another_ends_on_the_way() {
    let daemon = home(&hooked("m", "on_stop = \"close\"\ninstances = 2")).start();
    daemon.wait_for_instances("m", 2);
    let waiting = call_beside(&daemon, "m", "wait");
    eventually("it runs", || daemon.module("m").in_flight == 1);
    let trapping = daemon.call("m", "trap", b"");
    assert_eq!(trapping.kind(), "trapped");
    eventually("it is known", || daemon.module("m").last_exit.is_some());
    let client = daemon.client();
    let stop = thread::spawn(move || client.request("POST", "/v1/modules/m/stop", "", b"").unwrap().status);
    wait_for(&daemon, "m", ModuleState::Draining);
    open_gate(&daemon);
    assert_eq!((waiting.join().unwrap().status, stop.join().unwrap()), (200, 200));
    assert_eq!(count(&daemon, "closed"), 1);
}
