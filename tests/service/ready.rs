//! Ready is said when everything that was to start has, or it is known that it will not; the status tells which.

use rustix::process::Signal;
use wapcd::supervisor::status::ModuleState;

use crate::{
    harness::{Home, module},
    manager::Manager,
};

/// An `on_start` that takes its time.
const SLOW: &str = "on_start = { operation = \"wait/4000/echo\", timeout = \"1m\" }";

#[test]
fn ready_is_said_once_the_slowest_module_has_started_and_a_lazy_one_is_not_waited_for() {
    let manager = Manager::new();
    let toml = format!("{}{}{}", module("quick", ""), module("slow", SLOW), module("later", "lazy = true"));
    let daemon = manager.spawn(Home::new(&toml));
    let ready = manager.wait_for(0, "READY=1");
    assert_eq!(daemon.module("slow").state, ModuleState::Running);
    let starting = manager.wait_for_status(0, "1 module idle, 1 starting, 1 running");
    assert!(starting < ready, "it was told what is waited for");
    assert_eq!(manager.value(ready, "STATUS").unwrap(), "1 module idle, 2 running");
    assert!(manager.wait(0, "more time is asked for", |it| it.value("EXTEND_TIMEOUT_USEC").is_some()) < ready);
    assert_eq!(manager.count_of(0, manager.count(), "READY=1"), 1);
}

#[test]
fn what_has_failed_for_good_or_waits_for_a_restart_keeps_nobody_waiting_and_is_named() {
    let manager = Manager::new();
    let home = Home::new(&format!(
        "{}[modules.broken]\npath = \"broken.wasm\"\nrestart = {{ intensity = 0 }}\n{}",
        module("orders", ""),
        module(
            "mail",
            "on_start = { operation = \"trap\" }\nrestart = { backoff = { initial = \"1m\", max = \"1m\" } }"
        ),
    ));
    home.write("broken.wasm", "no wasm");
    let daemon = manager.spawn(home);
    let ready = manager.wait_for(0, "READY=1");
    let text = "1 module running, 1 in back-off (mail), 1 failed (broken)";
    assert_eq!(manager.value(ready, "STATUS").as_deref(), Some(text));
    daemon.ctl(&["stop", "mail"]);
    manager.wait_for_status(ready, "1 module running, 1 stopped, 1 failed (broken)");
}

#[test]
fn a_module_that_requires_a_server_that_is_not_there_holds_up_nobody_for_longer_than_it_wants_to_wait() {
    let manager = Manager::new();
    let toml = format!(
        "[bindings.cache]\ntype = \"keyvalue\"\nbackend = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n{}{}",
        module("orders", ""),
        module("mail", "binding_wait = \"2s\"\nlinks = [{ to = \"cache\", required = true }]"),
    );
    let daemon = manager.start(&toml);
    let ready = manager.wait_for(0, "READY=1");
    let text = "1 module starting, 1 running; bindings: 1 disconnected (cache)";
    assert_eq!(manager.value(ready, "STATUS").as_deref(), Some(text));
    assert_eq!(daemon.module("mail").waiting_for, ["binding cache"]);
}

#[test]
fn a_trigger_that_cannot_listen_is_named_and_one_that_listens_does_so() {
    let manager = Manager::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("taken"), "kept").unwrap();
    let trigger = |name: &str, file: &str| {
        let path = dir.path().join(file);
        format!(
            "[triggers.{name}]\ntype = \"http\"\nlisten = [\"unix:{}\"]\nrestart = {{ type = \"temporary\" }}\n\
             [[triggers.{name}.routes]]\npath = \"/\"\nmodule = \"orders\"\noperation = \"echo\"\n",
            path.display()
        )
    };
    let toml = format!("{}{}{}", module("orders", ""), trigger("web", "web.sock"), trigger("bad", "taken"));
    let _daemon = manager.start(&toml);
    let ready = manager.wait_for(0, "READY=1");
    assert_eq!(manager.value(ready, "STATUS").as_deref(), Some("1 module running; 2 triggers, 1 stopped (bad)"));
    assert!(std::os::unix::net::UnixStream::connect(dir.path().join("web.sock")).is_ok());
}

#[test]
fn an_abstract_address_is_as_good_and_a_stop_is_told_with_what_it_waits_for() {
    let manager = Manager::abstract_one();
    let mut daemon = manager.start(&module("orders", ""));
    let client = daemon.client();
    let running = std::thread::spawn(move || client.call("orders", "wait/4000/echo", b"done").text());
    crate::harness::eventually("the call runs", || daemon.module("orders").in_flight == 1);
    daemon.signal(Signal::TERM);
    let stopping = manager.wait_for(0, "STOPPING=1");
    assert_eq!(manager.value(stopping, "STATUS").as_deref(), Some("stopping: SIGTERM"));
    manager.wait_for_status(stopping, "stopping: SIGTERM; 1 call to finish");
    manager.wait(stopping, "more time is asked for", |it| it.value("EXTEND_TIMEOUT_USEC").is_some());
    assert_eq!(running.join().unwrap(), "done");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_daemon_that_does_not_start_says_why() {
    let manager = Manager::new();
    let home = Home::new("[modules.orders]\npath = \"menu.wasm\"\nno_such_key = 1\n");
    let mut daemon = manager.spawn(home);
    assert_eq!(daemon.wait().code(), Some(78));
    let told = manager.wait(0, "a status", |message| message.value("STATUS").is_some());
    let text = manager.value(told, "STATUS").unwrap();
    assert!(text.contains("no_such_key"), "{text}");
    assert_eq!(manager.count_of(0, manager.count(), "READY=1"), 0);
}
