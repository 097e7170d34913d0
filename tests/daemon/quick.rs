//! Orders and exits that come while others are still carried out: no instance is left over, and no member is left behind.

use std::{collections::HashSet, thread, time::Instant};

use wapcd::supervisor::status::ModuleState;

use crate::{
    client::{Client, Response},
    harness::{Daemon, SOON, eventually, module},
};

/// Makes a call beside the test.
fn aside(client: Client, module: &str, operation: &str) -> thread::JoinHandle<Response> {
    let (module, operation) = (module.to_owned(), operation.to_owned());
    thread::spawn(move || client.call(&module, &operation, b""))
}

fn wait_until_busy(daemon: &Daemon, name: &str) {
    eventually("a call runs", || daemon.module(name).in_flight > 0);
}

fn is_running(daemon: &Daemon, name: &str) -> bool {
    daemon.module(name).state == ModuleState::Running
}

/// What a `wapcctl` would ask, by a client that does not wait for the outcome.
fn ask(daemon: &Daemon, name: &str, action: &str) -> thread::JoinHandle<()> {
    let (client, path) = (daemon.client(), format!("/v1/modules/{name}/{action}"));
    thread::spawn(move || {
        client.request("POST", &path, "", b"").unwrap();
    })
}

#[test]
fn a_start_after_a_stop_in_a_call_leaves_no_instance_over() {
    let daemon = Daemon::start(&module("menu", ""));
    let running = aside(daemon.client(), "menu", "wait/3000/echo");
    wait_until_busy(&daemon, "menu");
    let stop = ask(&daemon, "menu", "stop");
    eventually("it stops", || daemon.module("menu").state == ModuleState::Draining);
    let start = ask(&daemon, "menu", "start");
    assert_eq!(running.join().unwrap().status, 200, "the running call is finished");
    stop.join().unwrap();
    start.join().unwrap();
    eventually("it runs", || is_running(&daemon, "menu"));
    let calls: Vec<_> = (0..3).map(|_| aside(daemon.client(), "menu", "wait/300/echo")).collect();
    let took: HashSet<_> = calls.into_iter().map(|call| call.join().unwrap().instance().unwrap()).collect();
    let known: HashSet<_> = daemon.module("menu").instances.iter().map(|instance| instance.id).collect();
    assert_eq!(took, known, "only the one instance that the supervisor knows takes calls");
}

#[test]
fn a_restart_of_a_group_is_not_forgotten_when_a_part_of_it_is_restarted_meanwhile() {
    let toml = [
        "[groups.all]\nstrategy = \"one_for_all\"\nmembers = [\"front\", \"back\"]\nintensity = 5\n",
        "[groups.front]\nstrategy = \"one_for_all\"\nmembers = [\"a\", \"b\"]\nintensity = 5\n",
        "[groups.back]\nstrategy = \"one_for_all\"\nmembers = [\"c\", \"d\"]\nintensity = 0\n",
    ];
    let modules: String = ["a", "b", "c", "d"].iter().map(|name| module(name, "")).collect();
    let daemon = Daemon::start(&format!("{modules}{}", toml.concat()));
    // The group `back` gives up, so that everything is stopped, `d` and `b` first, which have calls.
    let long = aside(daemon.client(), "b", "wait/3000/echo");
    wait_until_busy(&daemon, "b");
    assert_eq!(daemon.call("c", "trap", b"").kind(), "trapped");
    eventually("`b` is stopped", || daemon.module("b").state == ModuleState::Draining);
    assert_eq!(daemon.call("a", "trap", b"").kind(), "trapped");
    assert_eq!(long.join().unwrap().status, 200);
    for name in ["a", "b", "c", "d"] {
        eventually("every member runs again", || is_running(&daemon, name));
        assert_eq!(daemon.call(name, "echo", b"x").text(), "x");
    }
}

#[test]
fn a_failed_group_gets_its_new_chance_also_when_a_member_was_stopped_meanwhile() {
    let group = "[groups.all]\nmembers = [\"a\", \"b\"]\nintensity = 0\nretry_failed = \"2s\"\n";
    let daemon = Daemon::start(&format!("{}{}{group}", module("a", ""), module("b", "")));
    assert_eq!(daemon.call("a", "trap", b"").kind(), "trapped");
    eventually("both have failed", || ["a", "b"].iter().all(|name| daemon.module(name).state == ModuleState::Failed));
    daemon.ctl(&["stop", "b"]);
    eventually("`a` gets its chance", || is_running(&daemon, "a"));
    assert_eq!(daemon.module("b").state, ModuleState::Stopped);
}

#[test]
fn a_group_that_restarts_when_the_daemon_stops_still_answers_what_it_has_accepted() {
    let group = "[groups.all]\nstrategy = \"one_for_all\"\nmembers = [\"a\", \"b\"]\nintensity = 5\n";
    let daemon = Daemon::start(&format!("{}{}{group}", module("a", ""), module("b", "")));
    let long = aside(daemon.client(), "b", "wait/3000/echo");
    wait_until_busy(&daemon, "b");
    assert_eq!(daemon.call("a", "trap", b"").kind(), "trapped");
    eventually("`b` is stopped", || daemon.module("b").state == ModuleState::Draining);
    let waits = aside(daemon.client(), "a", "echo");
    eventually("a call waits for `a`", || daemon.module("a").queued > 0);
    drop(daemon);
    assert_eq!(long.join().unwrap().status, 200);
    assert_eq!(waits.join().unwrap().outcome(), (200, String::new()));
}

#[test]
fn a_group_of_hundreds_starts_and_restarts_as_fast_as_its_members_do() {
    let names: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
    let modules: String = names.iter().map(|name| module(name, "")).collect();
    let group = format!("[groups.all]\nstrategy = \"one_for_all\"\nmembers = {names:?}\n");
    let daemon = Daemon::start(&format!("{modules}{group}"));
    let all_run = || daemon.status().modules.iter().all(|module| module.state == ModuleState::Running);
    eventually("all members run", all_run);
    assert_eq!(daemon.call("m1", "trap", b"").kind(), "trapped");
    let start = Instant::now();
    eventually("the group restarts", || daemon.status().groups[0].restarts == 1 && all_run());
    // Looking at all members for each step of each other member takes half a minute.
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}
