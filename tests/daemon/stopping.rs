//! The end of the daemon: what runs is finished within the grace time, what comes is refused, and the exit is 0.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    client::Response,
    harness::{Daemon, Home, eventually, module},
};

type Call = thread::JoinHandle<io::Result<Response>>;

fn send(daemon: &Daemon, module: &str, operation: &str, payload: &[u8]) -> Call {
    let (client, module, operation, payload) =
        (daemon.client(), module.to_owned(), operation.to_owned(), payload.to_vec());
    thread::spawn(move || client.try_call(&module, &operation, &payload))
}

/// A call that got an answer.
fn answer(call: Call) -> Response {
    call.join().unwrap().unwrap_or_else(|error| panic!("a call was lost without an answer: {error}"))
}

fn wait_for(daemon: &Daemon, module: &str, in_flight: u64, queued: u64) {
    eventually("the calls are there", || {
        let status = daemon.module(module);
        (status.in_flight, status.queued) == (in_flight, queued)
    });
}

fn wait_for_draining(daemon: &Daemon) {
    eventually("the daemon drains", || daemon.try_status().is_none_or(|status| status.draining));
}

#[test]
fn sigterm_lets_running_and_waiting_calls_finish_and_refuses_new_ones() {
    let links = "links = [{ binding = \"module\", namespace = \"inner\" }]\nlimits = { call_timeout = \"1m\" }";
    let mut daemon = Daemon::start(&(module("outer", links) + &module("inner", "") + &module("lazy", "lazy = true")));
    let running = send(&daemon, "outer", "wait/3000/host/module/inner/wait/100/echo", b"nested");
    wait_for(&daemon, "outer", 1, 0);
    let waiting: Vec<_> = (0..5).map(|n| send(&daemon, "outer", "host/module/inner/echo", &[n])).collect();
    wait_for(&daemon, "outer", 1, 5);
    daemon.signal(Signal::TERM);
    wait_for_draining(&daemon);
    for name in ["outer", "inner", "lazy"] {
        let refused = daemon.call(name, "echo", b"");
        assert_eq!((refused.status, refused.kind().as_str()), (503, "shutting-down"), "{name}");
    }
    let stop = daemon.wapcctl(&["restart", "outer"]);
    assert_eq!(stop.status.code(), Some(1));
    assert!(String::from_utf8(stop.stderr).unwrap().contains("the daemon is stopping"));
    assert_eq!(answer(running).outcome(), (200, "nested".to_owned()));
    for (n, call) in waiting.into_iter().enumerate() {
        assert_eq!(answer(call).body, [n as u8]);
    }
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.socket.exists());
}

#[test]
fn a_guest_that_traps_while_the_daemon_stops_is_replaced_for_what_waits() {
    let mut daemon = Daemon::start(&module("menu", ""));
    let trap = send(&daemon, "menu", "wait/2000/trap", b"");
    wait_for(&daemon, "menu", 1, 0);
    let waiting: Vec<_> = (0..3).map(|_| send(&daemon, "menu", "echo", b"after")).collect();
    wait_for(&daemon, "menu", 1, 3);
    daemon.signal(Signal::TERM);
    assert_eq!(answer(trap).kind(), "trapped");
    for call in waiting {
        assert_eq!(answer(call).outcome(), (200, "after".to_owned()));
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn no_accepted_call_fails_because_the_daemon_stops_under_load() {
    let links = "links = [{ binding = \"module\", namespace = \"inner\" }]\ninstances = 2";
    for round in 0..4 {
        let mut daemon = Daemon::start(&(module("outer", links) + &module("inner", "")));
        let callers: Vec<_> = (0..6)
            .map(|_| {
                let client = daemon.client();
                thread::spawn(move || {
                    // Until the first refusal or until nobody listens any more.
                    let call = || client.try_call("outer", "host/module/inner/echo", b"nested").ok();
                    let answers: Vec<_> = std::iter::from_fn(call).take_while(|answer| answer.status != 503).collect();
                    answers.iter().map(Response::outcome).collect::<Vec<_>>()
                })
            })
            .collect();
        eventually("calls are answered", || daemon.module("outer").calls_ok > 50);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait().code(), Some(0));
        for outcome in callers.into_iter().flat_map(|caller| caller.join().unwrap()) {
            assert_eq!(outcome, (200, "nested".to_owned()), "round {round}");
        }
    }
}

#[test]
fn callers_that_wait_for_room_are_told_that_the_daemon_stops() {
    let mut daemon =
        Daemon::start(&module("menu", "queue = 1\non_full = \"wait\"\nlimits = { call_timeout = \"1m\" }"));
    let running = send(&daemon, "menu", "wait/4000/echo", b"");
    wait_for(&daemon, "menu", 1, 0);
    let waiting = send(&daemon, "menu", "echo", b"");
    wait_for(&daemon, "menu", 1, 1);
    let outside: Vec<_> = (0..3).map(|_| send(&daemon, "menu", "echo", b"")).collect();
    // They are nowhere to be seen; a request that is answered after theirs shows that they arrived.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(100) {
        daemon.status();
    }
    daemon.signal(Signal::TERM);
    for call in outside {
        assert_eq!(answer(call).kind(), "shutting-down");
    }
    assert!(!running.is_finished(), "they were told only when there was room");
    assert_eq!((answer(running).status, answer(waiting).status), (200, 200));
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn calls_longer_than_the_grace_time_end_in_an_error_and_the_exit_is_still_0() {
    let limits = "limits = { call_timeout = \"60s\" }";
    let toml = module("spins", limits) + &module("waits", limits);
    let mut daemon = Daemon::start(&format!("[daemon]\nshutdown_grace = \"300ms\"\n{toml}"));
    let running = [send(&daemon, "spins", "spin", b""), send(&daemon, "waits", "wait/60000/echo", b"")];
    wait_for(&daemon, "spins", 1, 0);
    wait_for(&daemon, "waits", 1, 0);
    let waiting = send(&daemon, "spins", "echo", b"");
    wait_for(&daemon, "spins", 1, 1);
    let start = Instant::now();
    daemon.signal(Signal::TERM);
    for call in running {
        let ended = answer(call);
        assert_eq!((ended.status, ended.kind().as_str()), (502, "lost"), "{}", ended.text());
    }
    assert_eq!(answer(waiting).kind(), "shutting-down");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    daemon.log_line(&["grace time is over"]);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut daemon = Daemon::start(&module("menu", "limits = { call_timeout = \"60s\" }"));
    let running = send(&daemon, "menu", "spin", b"");
    wait_for(&daemon, "menu", 1, 0);
    daemon.signal(Signal::TERM);
    wait_for_draining(&daemon);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait().code(), Some(1), "within a shorter time than its grace");
    assert!(running.join().unwrap().is_err());
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let daemon = Daemon::start(&module("menu", ""));
    daemon.signal(Signal::HUP);
    let line = daemon.log_line(&["configuration reloaded"]);
    assert_eq!((&line["why"], &line["changes"]), (&"SIGHUP".into(), &"".into()));
    assert_eq!(daemon.call("menu", "echo", b"still here").text(), "still here");
}

#[test]
fn an_idle_daemon_stops_at_once_and_in_the_reverse_order_of_its_start() {
    let toml: String = (0..3).map(|n| module(&format!("m{n}"), "")).collect();
    let mut daemon = Daemon::start(&toml);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait().code(), Some(0), "within a shorter time than its grace");
    let log = daemon.log();
    let stopped: Vec<&str> = log.lines().filter(|line| line.contains("\"to\":\"stopped\"")).collect();
    assert_eq!(stopped.len(), 3);
    for (line, name) in stopped.iter().zip(["m2", "m1", "m0"]) {
        assert!(line.contains(name), "{stopped:?}");
    }
    assert!(log.lines().last().unwrap().contains("wapcd has stopped"));
}

#[test]
fn a_daemon_that_is_stopped_while_its_modules_load_ends_in_order() {
    for _ in 0..3 {
        let mut daemon = Home::new(&module("menu", "instances = 3")).spawn("log");
        eventually("the socket is there", || daemon.try_status().is_some());
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

#[test]
fn a_start_function_that_never_ends_does_not_hold_the_daemon() {
    let home = Home::new("");
    let spins = r#"(module (memory (export "memory") 1) (func $spin (loop $again (br $again))) (start $spin)
        (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;
    home.write("spins.wasm", wat::parse_str(spins).unwrap());
    home.configure(
        "[daemon]\nshutdown_grace = \"200ms\"\n[modules.spins]\npath = \"spins.wasm\"\nlimits = { call_timeout = \"60s\" }\n",
    );
    let mut daemon = home.spawn("log");
    eventually("the module starts", || daemon.log().contains("module loaded"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "in a shorter time than the call may take");
}
