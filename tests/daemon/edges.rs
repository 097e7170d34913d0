//! Swaps and reloads that meet what else happens to a module: its group, its places, its file, each other.

use std::{fs, path::Path, thread, time::Duration};

use wapcd::supervisor::status::{GroupState, ModuleState, ModuleStatus};

use crate::{
    harness::{Daemon, Home, eventually, menu, module, pause_for},
    story::{group, group_status, modules},
};

/// Longer than a file rests before it is read.
const SETTLED: Duration = Duration::from_millis(400);

/// The menu as another build: the same but for a custom section.
fn build(number: u8) -> Vec<u8> {
    [menu(), &[0, 3, 1, b'n', number]].concat()
}

/// Puts a file there as a whole.
fn place(dir: &Path, name: &str, bytes: &[u8]) {
    let fresh = dir.join(format!(".{name}"));
    fs::write(&fresh, bytes).unwrap();
    fs::rename(fresh, dir.join(name)).unwrap();
}

fn swap_in_background(daemon: &Daemon, module: &'static str, file: &str) -> thread::JoinHandle<u16> {
    let (client, code) = (daemon.client(), fs::read(daemon.home().path().join(file)).unwrap());
    thread::spawn(move || client.request("POST", &format!("/v1/modules/{module}/swap"), "", &code).unwrap().status)
}

fn is_refused(status: &ModuleStatus) -> bool {
    status.last_swap_error.is_some()
}

#[test]
fn a_swap_ends_when_a_reload_takes_the_place_away_whose_turn_it_is() {
    let toml = |instances| {
        module("a", &format!("instances = {instances}\nlimits = {{ call_timeout = \"1m\" }}"))
            + "[modules.a.swap]\nprobe = { operation = \"wait/3500/echo\", payload = \"\" }\n"
    };
    let home = Home::new(&toml(2));
    home.write("two.wasm", build(2));
    let daemon = home.start();
    daemon.wait_for_instances("a", 2);
    let swap = swap_in_background(&daemon, "a", "two.wasm");
    eventually("the first has it", || daemon.module("a").swapping.is_some_and(|it| it.starts_with("1 of 2")));
    daemon.home().configure(&toml(1));
    daemon.ctl(&["reload"]);
    eventually("the swap ends", || daemon.module("a").swapping.is_none());
    assert_eq!(swap.join().unwrap(), 200);
    assert_eq!(daemon.module("a").generation, 2);
}

#[test]
fn a_file_that_is_no_module_does_not_take_the_place_of_what_runs_when_the_daemon_starts_anew() {
    let home = Home::new(&module("a", ""));
    home.write("menu.wasm", build(1));
    let daemon = home.start();
    let code = format!("state/swaps/{}.wasm", daemon.module("a").sha256.unwrap());
    eventually("its code is kept", || daemon.home().path().join(&code).exists());
    place(daemon.home().path(), "menu.wasm", b"no module");
    eventually("it is refused", || is_refused(&daemon.module("a")));
    let differs = daemon.module("a").differs;
    assert!(differs.as_ref().is_some_and(|why| why.contains("did not take over")), "{differs:?}");
    let sha256 = daemon.module("a").sha256;
    let mut daemon = daemon.stop().spawn("log2");
    daemon.wait_until_ready();
    assert_eq!(daemon.call("a", "echo", b"hello").outcome(), (200, "hello".to_owned()));
    assert_eq!(daemon.module("a").sha256, sha256);
    assert!(daemon.module("a").differs.is_some());
    // Until the file is another one.
    place(daemon.home().path(), "menu.wasm", &build(2));
    eventually("the file runs", || daemon.module("a").generation == 2);
    assert_eq!(daemon.module("a").differs, None);
}

#[test]
fn a_file_that_has_come_back_to_what_runs_has_nothing_to_be_reproached_with() {
    let daemon = Daemon::start(&module("a", ""));
    place(daemon.home().path(), "menu.wasm", b"no module");
    eventually("it is refused", || is_refused(&daemon.module("a")));
    place(daemon.home().path(), "menu.wasm", menu());
    eventually("the error is gone", || !is_refused(&daemon.module("a")));
    let status = daemon.module("a");
    assert_eq!((status.generation, status.differs), (1, None));
}

#[test]
fn a_file_that_was_gone_for_a_while_is_followed_when_it_comes_back() {
    let daemon = Daemon::start(&modules(&["a", "b"], ""));
    let dir = daemon.home().path().to_owned();
    fs::rename(dir.join("menu.wasm"), dir.join("elsewhere.wasm")).unwrap();
    daemon.log_line(&["module file is gone", "module a"]);
    // What is watched is made anew after that.
    daemon.home().configure(&modules(&["a"], ""));
    daemon.ctl(&["reload"]);
    pause_for(SETTLED);
    place(&dir, "menu.wasm", &build(2));
    eventually("it is swapped", || daemon.module("a").generation == 2);
}

#[test]
fn code_that_an_operator_sent_outlives_a_file_that_was_only_touched() {
    let home = Home::new(&module("a", ""));
    home.write("two.wasm", build(2));
    let daemon = home.start();
    daemon.ctl(&["swap", "a", daemon.home().path().join("two.wasm").to_str().unwrap()]);
    let sha256 = daemon.module("a").sha256;
    place(daemon.home().path(), "menu.wasm", menu());
    pause_for(2 * SETTLED);
    assert_eq!(daemon.module("a").sha256, sha256);
    place(daemon.home().path(), "menu.wasm", &build(3));
    eventually("the changed file runs", || daemon.module("a").differs.is_none());
    assert_ne!(daemon.module("a").sha256, sha256);
}

#[test]
fn code_that_no_instance_has_tried_does_not_take_over_because_its_module_is_restarted_with_its_group() {
    let toml = modules(&["a", "b"], "")
        + "[modules.a.swap]\nprobe = { operation = \"wait/3000/echo\", payload = \"x\", expect = \"y\" }\n"
        + &group("g", "one_for_all", &["a", "b"], "");
    let home = Home::new(&toml);
    home.write("two.wasm", build(2));
    let daemon = home.start();
    let before = daemon.module("a").instances[0].id;
    let swap = swap_in_background(&daemon, "a", "two.wasm");
    eventually("it rolls", || daemon.module("a").swapping.is_some_and(|it| it.starts_with("0 of 1")));
    assert_eq!(daemon.call("b", "trap", b"").kind(), "trapped");
    assert_eq!(swap.join().unwrap(), 422);
    eventually("a runs again", || daemon.module("a").instances.first().is_some_and(|it| it.id > before));
    let status = daemon.module("a");
    assert_eq!((status.generation, status.instances[0].generation), (1, 1));
    assert!(is_refused(&status));
}

fn failed_group(members: &[&str]) -> Daemon {
    let keys = "intensity = 0\nretry_failed = \"never\"";
    let toml = modules(&["a", "b", "c"], "") + &group("g", "one_for_all", members, keys);
    let daemon = Daemon::start(&toml);
    daemon.ctl(&["stop", "c"]);
    daemon.call("a", "trap", b"");
    eventually("the group has failed", || group_status(&daemon, "g").state == GroupState::Failed);
    eventually("its members have", || daemon.module("b").state == ModuleState::Failed);
    daemon
}

#[test]
fn a_member_that_leaves_a_failed_group_runs_again_unless_someone_stopped_it() {
    let daemon = failed_group(&["a", "b", "c"]);
    daemon.home().configure(&modules(&["a", "b", "c"], ""));
    daemon.ctl(&["reload"]);
    let state = |name: &str| daemon.module(name).state;
    eventually("those run that ran", || state("a") == ModuleState::Running && state("b") == ModuleState::Running);
    assert_eq!(state("c"), ModuleState::Stopped);
}

#[test]
fn a_member_that_leaves_a_failed_group_which_stays_runs_alone() {
    let daemon = failed_group(&["a", "b"]);
    let keys = "intensity = 0\nretry_failed = \"never\"";
    daemon.home().configure(&(modules(&["a", "b", "c"], "") + &group("g", "one_for_all", &["a"], keys)));
    daemon.ctl(&["reload"]);
    eventually("it runs", || daemon.module("b").state == ModuleState::Running);
    assert_eq!(daemon.module("a").state, ModuleState::Failed);
}

#[test]
fn other_settings_of_a_member_give_its_failed_group_another_chance_as_a_whole() {
    let daemon = failed_group(&["a", "b"]);
    let keys = "intensity = 0\nretry_failed = \"never\"";
    let toml = modules(&["a"], "queue = 7") + &modules(&["b", "c"], "") + &group("g", "one_for_all", &["a", "b"], keys);
    daemon.home().configure(&toml);
    daemon.ctl(&["reload"]);
    eventually("the group runs", || group_status(&daemon, "g").state == GroupState::Running);
    eventually("both run", || ["a", "b"].iter().all(|name| daemon.module(name).state == ModuleState::Running));
}
