//! A reload is told when it begins and when it has ended, with how.

use rustix::{
    process::Signal,
    time::{ClockId, clock_gettime},
};

use crate::{
    harness::{Daemon, module},
    manager::Manager,
};

fn now_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// Lets the daemon reload, and returns what it told at the end.
fn told_of(manager: &Manager, daemon: &Daemon, reload: impl FnOnce(&Daemon)) -> String {
    let (from, before) = (manager.count(), now_us());
    reload(daemon);
    let began = manager.wait_for(from, "RELOADING=1");
    let at: i64 = manager.value(began, "MONOTONIC_USEC").expect("in the same message").parse().unwrap();
    assert!(before <= at && at <= now_us(), "{before} {at}");
    let ended = manager.wait_for(began, "READY=1");
    manager.value(ended, "STATUS").unwrap()
}

#[test]
fn a_reload_by_signal_or_by_wapcctl_is_told_with_its_verdict_which_stays_until_the_next() {
    let manager = Manager::new();
    let daemon = manager.start(&module("orders", ""));
    let hangup = |daemon: &Daemon| daemon.signal(Signal::HUP);
    assert_eq!(told_of(&manager, &daemon, hangup), "reloaded, nothing differs");

    daemon.home().configure(&format!("{}{}", module("orders", ""), module("mail", "")));
    assert_eq!(told_of(&manager, &daemon, hangup), "reloaded with 1 change");
    let at = manager.wait_for_status(0, "2 modules running; reloaded with 1 change");

    daemon.home().configure("[modules.orders]\npath = \"menu.wasm\"\nwrong = 1\n");
    let refused = told_of(&manager, &daemon, |daemon| assert_eq!(daemon.wapcctl(&["reload"]).status.code(), Some(1)));
    assert!(refused.starts_with("reload refused: ") && refused.contains("wrong"), "{refused}");
    let stays = manager.wait_for_status(at, &format!("2 modules running; {refused}"));
    daemon.ctl(&["stop", "mail"]);
    manager.wait_for_status(stays, &format!("1 module running, 1 stopped; {refused}"));

    let from = manager.count();
    daemon.wapcctl(&["reload", "--dry-run"]);
    daemon.home().configure(&module("orders", ""));
    assert_eq!(told_of(&manager, &daemon, hangup), "reloaded with 1 change");
    assert_eq!(manager.count_of(from, manager.count(), "RELOADING=1"), 1, "a plan is no reload");
}
