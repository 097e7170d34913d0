//! What operators do with triggers: stop, start, restart, call now.

use std::{os::unix::net::UnixStream, time::Duration};

use wapcd::supervisor::status::{ServiceState, TriggerStatus};

use crate::{
    harness::{Daemon, eventually, module, pause_for},
    messages,
};

/// A trigger at a Unix socket, and a schedule that would not call for a day.
fn config(more: &str) -> String {
    format!(
        "{}[triggers.web]\ntype = \"http\"\nlisten = \"unix:web.sock\"\n\
         routes = [{{ path = \"/\", module = \"menu\", operation = \"echo\" }}]\n{more}\n\
         [triggers.daily]\ntype = \"schedule\"\nevery = \"1d\"\nmodule = \"menu\"\noperation = \"echo\"\n",
        module("menu", "")
    )
}

fn trigger(daemon: &Daemon, name: &str) -> TriggerStatus {
    daemon.status().triggers.into_iter().find(|trigger| trigger.name == name).unwrap()
}

fn listens(daemon: &Daemon) -> bool {
    UnixStream::connect(daemon.home().path().join("run/web.sock")).is_ok()
}

fn started() -> Daemon {
    let daemon = Daemon::start(&config(""));
    eventually("both triggers run", || {
        daemon.status().triggers.iter().all(|trigger| trigger.state == ServiceState::Running)
    });
    daemon
}

#[test]
fn a_trigger_that_an_operator_stopped_listens_no_more_until_an_operator_starts_it() {
    let daemon = started();
    assert!(listens(&daemon));
    assert_eq!(daemon.ctl(&["stop", "triggers.web"]).trim_end(), "web: stopped");
    assert!(!listens(&daemon));

    daemon.home().configure(&config("access_log = true\nshutdown = \"1s\""));
    assert!(daemon.ctl(&["reload"]).contains("adjust  triggers.web"), "a reload that changes it");
    assert_eq!(trigger(&daemon, "web").state, ServiceState::Stopped);
    assert!(!listens(&daemon));
    assert_eq!(trigger(&daemon, "daily").state, ServiceState::Running);

    assert_eq!(daemon.ctl(&["start", "triggers.web"]).trim_end(), "web: running");
    assert!(listens(&daemon));
    assert_eq!(daemon.ctl(&["restart", "triggers.web"]).trim_end(), "web: running");
    assert!(listens(&daemon));
    assert_eq!(trigger(&daemon, "web").restarts, 0, "what an operator asks for is no failure");
    let events = daemon.ctl(&["events", "--trigger", "web"]);
    for text in ["an operator asked for: stop", "running -> draining", "draining -> stopped", "settings changed: "] {
        assert!(events.contains(text), "no {text:?} in {events}");
    }
}

#[test]
fn a_schedule_calls_when_an_operator_asks_for_it() {
    let daemon = started();
    let calls = || trigger(&daemon, "daily").facts.unwrap().calls_ok;
    assert_eq!(calls(), 0);
    assert_eq!(daemon.ctl(&["run", "daily"]).trim_end(), "daily: running");
    eventually("the call has ended", || calls() == 1);
    let page = daemon.ctl(&["trigger", "daily"]);
    assert!(
        page.contains("  from        every 1d") && page.contains("  calls       1 ok, 0 failed, 0 running"),
        "{page}"
    );

    let refused = |name: &str| String::from_utf8(daemon.wapcctl(&["run", name]).stderr).unwrap();
    assert!(refused("web").contains("trigger `web` begins no call now"), "{}", refused("web"));
    daemon.ctl(&["stop", "triggers.daily"]);
    assert!(refused("daily").contains("it is stopped"), "{}", refused("daily"));
}

#[test]
fn a_trigger_that_waits_for_its_binding_looks_again_when_a_reload_gives_it_another() {
    // It does not open, and is not tried again for long.
    let closed = "[bindings.closed]\ntype = \"messaging\"\nbackend = \"nats\"\nurl = \"tls://127.0.0.1:4222\"\n\
        tls = { ca = \"nowhere.pem\" }\nrestart = { backoff = { initial = \"10m\", max = \"10m\" } }\n";
    let bindings = format!("{closed}[bindings.bus]\ntype = \"messaging\"\n{}", module("m", ""));
    let with = |binding: &str| {
        bindings.clone() + &messages::trigger("t", "\"a\"", "operation = \"echo\"").replace("bus", binding)
    };
    let daemon = Daemon::start(&with("closed"));
    eventually("it waits", || trigger(&daemon, "t").waiting_for == ["binding closed"]);
    // By then it has looked by itself for the last time.
    pause_for(Duration::from_secs(11));
    daemon.home().configure(&with("bus"));
    daemon.ctl(&["reload"]);
    eventually("it runs", || trigger(&daemon, "t").state == ServiceState::Running);
    assert_eq!(trigger(&daemon, "t").waiting_for, [""; 0]);
}
