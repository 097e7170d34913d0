//! Signs of life: given while every worker and the supervisor turn over, and not while one of them hangs.

use std::time::Duration;

use crate::{
    harness::{Daemon, Home, SOON, module, pause_for},
    held::{Held, thread_of, threads_of},
    manager::Manager,
};

/// The time within which signs are wanted.
const WITHIN: Duration = Duration::from_secs(1);

/// Waits for so many further signs.
fn wait_for_signs(manager: &Manager, count: usize) {
    let mut from = manager.count();
    for _ in 0..count {
        from = manager.wait_for(from, "WATCHDOG=1") + 1;
    }
}

/// No sign comes while the thread is held, and they come again afterwards.
fn assert_missed(manager: &Manager, daemon: &Daemon, thread: &str) {
    assert_all_missed(manager, &[thread_of(daemon, thread)], thread);
}

/// The same of several that are held at once.
fn assert_all_missed(manager: &Manager, threads: &[i32], what: &str) {
    let held = Held::all(threads);
    // What was under way when it was held may still be told.
    pause_for(WITHIN);
    let from = manager.count();
    pause_for(3 * WITHIN);
    assert_eq!(manager.count_of(from, manager.count(), "WATCHDOG=1"), 0, "{what} is held");
    drop(held);
    wait_for_signs(manager, 2);
}

#[test]
fn signs_come_from_the_start_on_also_while_guests_compute_and_miss_while_a_thread_hangs() {
    let manager = Manager::new();
    let daemon = manager.spawn_watched(Home::new(&module("orders", "instances = \"per-worker\"")), WITHIN);
    manager.wait_for(0, "READY=1");
    wait_for_signs(&manager, 3);

    let client = daemon.client();
    let computing = std::thread::spawn(move || client.call("orders", "busy/3000/echo", b"done").text());
    wait_for_signs(&manager, 4);
    assert_eq!(computing.join().unwrap(), "done");

    assert_missed(&manager, &daemon, "wapcd-worker-0");
    assert_missed(&manager, &daemon, "wapcd-worker-1");
    assert_missed(&manager, &daemon, "wapcd");
    assert_missed(&manager, &daemon, "control");
}

#[test]
fn signs_miss_while_the_threads_hang_that_accept_connections() {
    let manager = Manager::new();
    let web = "[triggers.web]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n\
               [[triggers.web.routes]]\npath = \"/\"\nmodule = \"orders\"\noperation = \"echo\"\n";
    let daemon = manager.spawn_watched(Home::new(&format!("{}{web}", module("orders", ""))), WITHIN);
    manager.wait_for(0, "READY=1");
    wait_for_signs(&manager, 3);
    let threads = threads_of(&daemon, |name| name.starts_with("io"));
    assert!(!threads.is_empty());
    assert_all_missed(&manager, &threads, "every thread of connections");
    daemon.log_line(&["no sign of life is given", "connections"]);
}

#[test]
fn no_sign_is_given_that_nobody_wants_or_that_another_process_is_asked_for() {
    let manager = Manager::new();
    let home = Home::new(&module("orders", ""));
    let variables = [("NOTIFY_SOCKET", manager.address()), ("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")];
    let daemon = home.spawn_with("log", &variables);
    manager.wait_for(0, "READY=1");
    assert!(SOON > WITHIN);
    pause_for(WITHIN);
    assert_eq!(manager.count_of(0, manager.count(), "WATCHDOG=1"), 0);
    assert_eq!(daemon.call("orders", "echo", b"on").text(), "on");
}
