//! Calls that wait: behind a guest that fails, at every bound, and never longer than they may.

use std::{thread, time::Instant};

use crate::{
    client::{Client, Response},
    harness::{Daemon, SOON, eventually, module},
};

/// For how long a call keeps an instance busy while others are looked at, in milliseconds.
const BUSY: u64 = 3000;

/// Nothing here waits for so long.
const LONG: &str = "limits = { call_timeout = \"1m\" }\n";

/// A module whose calls end before their deadline.
fn patient(name: &str, keys: &str) -> String {
    module(name, &format!("{LONG}{keys}"))
}

/// A call on a thread of its own.
fn send(client: &Client, module: &str, operation: &str, payload: &[u8]) -> thread::JoinHandle<Response> {
    let (client, module, operation, payload) =
        (client.clone(), module.to_owned(), operation.to_owned(), payload.to_vec());
    thread::spawn(move || client.call(&module, &operation, &payload))
}

fn kinds(calls: Vec<thread::JoinHandle<Response>>) -> Vec<String> {
    let mut kinds: Vec<String> = calls.into_iter().map(|call| call.join().unwrap().kind()).collect();
    kinds.sort();
    kinds
}

/// Keeps the only instance of a module busy for so many milliseconds, and returns when it is.
fn occupy(daemon: &Daemon, module: &str, ms: u64) -> thread::JoinHandle<Response> {
    let call = send(&daemon.client(), module, &format!("wait/{ms}/echo"), b"");
    eventually("the call runs", || daemon.module(module).in_flight == 1);
    call
}

fn wait_for_queued(daemon: &Daemon, module: &str, calls: u64) {
    eventually("the calls wait", || daemon.module(module).queued == calls);
}

#[test]
fn calls_behind_a_trapping_one_run_on_the_fresh_instance() {
    let daemon = Daemon::start(&patient("menu", ""));
    let old = daemon.call("menu", "echo", b"").instance().unwrap();
    let trap = send(&daemon.client(), "menu", "wait/3000/trap", b"");
    eventually("the call runs", || daemon.module("menu").in_flight == 1);
    let echoes: Vec<_> = (0..20).map(|n| send(&daemon.client(), "menu", "echo", &[n])).collect();
    wait_for_queued(&daemon, "menu", 20);
    let failed = trap.join().unwrap();
    assert_eq!((failed.kind().as_str(), failed.instance()), ("trapped", Some(old)));
    for (n, echo) in echoes.into_iter().enumerate() {
        let echo = echo.join().unwrap();
        assert_eq!((echo.status, echo.body.as_slice()), (200, [n as u8].as_slice()));
        assert_ne!(echo.instance(), Some(old), "a guest that trapped was called again");
    }
    let status = daemon.module("menu");
    assert_eq!((status.calls_ok, status.calls_failed, status.restarts), (21, 1, 1));
}

#[test]
fn a_full_queue_rejects_at_once_and_says_when_to_come_again() {
    let daemon = Daemon::start(&patient("menu", "queue = 2"));
    let running = occupy(&daemon, "menu", BUSY);
    let waiting: Vec<_> = (0..2).map(|_| send(&daemon.client(), "menu", "echo", b"")).collect();
    wait_for_queued(&daemon, "menu", 2);
    let refused = daemon.call("menu", "echo", b"");
    assert!(!running.is_finished(), "it was rejected only when there was room");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused.detail().contains("`menu`") && refused.detail().contains("queue of 2 calls"),
        "{}",
        refused.detail()
    );
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(kinds(waiting), ["ok", "ok"]);
}

#[test]
fn callers_of_a_full_queue_that_waits_are_all_answered() {
    let daemon = Daemon::start(&patient("menu", "queue = 1\non_full = \"wait\""));
    let start = Instant::now();
    let running = occupy(&daemon, "menu", BUSY);
    // Short calls: one that is woken finds the instance idle as often as not, and must still wake the next.
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || (0..40).filter(|_| client.call("menu", "echo", b"").status == 200).count())
        })
        .collect();
    assert_eq!(callers.into_iter().map(|caller| caller.join().unwrap()).sum::<usize>(), 320);
    assert_eq!(running.join().unwrap().status, 200);
    assert!(start.elapsed() < SOON, "a caller was forgotten: {:?}", start.elapsed());
}

#[test]
fn a_caller_that_waits_for_room_gives_up_at_its_deadline_and_is_never_started() {
    let toml = module("menu", "queue = 1\non_full = \"wait\"\nlimits = { call_timeout = \"3s\" }");
    let daemon = Daemon::start(&toml);
    let running = occupy(&daemon, "menu", 10_000);
    let waiting = send(&daemon.client(), "menu", "echo", b"");
    wait_for_queued(&daemon, "menu", 1);
    let start = Instant::now();
    let outside = daemon.call("menu", "number", b"");
    // When the running call is ended at its deadline there is room, so either is right; a hang is not.
    assert!(matches!(outside.kind().as_str(), "ok" | "expired"), "{outside:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(running.join().unwrap().kind(), "deadline-exceeded");
    assert!(matches!(waiting.join().unwrap().kind().as_str(), "ok" | "expired"));
}

#[test]
fn bytes_in_a_queue_are_bounded() {
    let daemon = Daemon::start(&patient("menu", "queue_bytes = \"1000 B\""));
    let running = occupy(&daemon, "menu", BUSY);
    let fits = send(&daemon.client(), "menu", "echo", &[0; 900]);
    wait_for_queued(&daemon, "menu", 1);
    assert_eq!(daemon.module("menu").queued_bytes, 900);
    let refused = daemon.call("menu", "echo", &[0; 101]);
    assert_eq!(refused.kind(), "busy");
    assert!(refused.detail().contains("queue of 1000 bytes"), "{}", refused.detail());
    let small = send(&daemon.client(), "menu", "echo", &[0; 100]);
    wait_for_queued(&daemon, "menu", 2);
    assert_eq!(kinds(vec![running, fits, small]), ["ok", "ok", "ok"]);
    assert_eq!(daemon.status().queue_bytes, 0);
}

#[test]
fn bytes_in_all_queues_together_are_bounded_and_given_back_to_every_module() {
    let modules = patient("one", "") + &patient("two", "on_full = \"wait\"") + &patient("three", "");
    let daemon = Daemon::start(&format!("[daemon]\nqueue_bytes = \"1000 B\"\n{modules}"));
    let running = [occupy(&daemon, "one", BUSY), occupy(&daemon, "two", 2 * BUSY), occupy(&daemon, "three", BUSY)];
    let fits = send(&daemon.client(), "one", "echo", &[0; 900]);
    wait_for_queued(&daemon, "one", 1);
    assert_eq!(daemon.status().queue_bytes, 900);
    // One call of each module may wait, whatever the others have taken; the next one needs room.
    let first = [send(&daemon.client(), "two", "echo", &[0; 1]), send(&daemon.client(), "three", "echo", &[0; 1])];
    wait_for_queued(&daemon, "two", 1);
    wait_for_queued(&daemon, "three", 1);
    let refused = daemon.call("three", "echo", &[0; 200]);
    assert_eq!(refused.kind(), "busy");
    assert!(refused.detail().contains("daemon's queue of 1000 bytes"), "{}", refused.detail());
    // This one waits for bytes that another module's queue gives back.
    let waits = send(&daemon.client(), "two", "echo", &[0; 200]);
    wait_for_queued(&daemon, "two", 2);
    assert!(daemon.module("one").queued == 0, "it waited in the queue before there was room");
    assert_eq!(kinds(running.into_iter().chain(first).chain([fits, waits]).collect()), ["ok"; 7]);
    assert_eq!(daemon.status().queue_bytes, 0);
}

#[test]
fn a_payload_larger_than_the_queue_waits_for_an_idle_instance() {
    let daemon = Daemon::start(&patient("menu", "queue_bytes = \"100 B\"\non_full = \"wait\""));
    let running = occupy(&daemon, "menu", BUSY);
    let start = Instant::now();
    assert_eq!(daemon.call("menu", "echo", &[0; 200]).status, 200);
    assert!(start.elapsed() < SOON, "it waited for its deadline: {:?}", start.elapsed());
    assert_eq!(running.join().unwrap().status, 200);
}

#[test]
fn a_call_that_waits_longer_than_queue_timeout_expires_and_is_never_started() {
    let daemon = Daemon::start(&module("menu", "queue_timeout = \"1s\"\nlimits = { call_timeout = \"1m\" }"));
    let running = occupy(&daemon, "menu", BUSY);
    let expired = daemon.call("menu", "number", b"");
    assert_eq!((expired.status, expired.kind().as_str(), expired.instance()), (504, "expired", None));
    assert!(expired.detail().contains("was not started"), "{}", expired.detail());
    assert!(!running.is_finished(), "it expired only when it would have been started");
    assert_eq!(running.join().unwrap().status, 200);
    // The long one was the first, this is the second.
    assert_eq!(daemon.call("menu", "number", b"").text(), "2");
}

#[test]
fn a_caller_that_goes_away_while_its_call_waits_is_not_run_for() {
    let daemon = Daemon::start(&module("menu", ""));
    let mut abandoned = std::os::unix::net::UnixStream::connect(&daemon.socket).unwrap();
    let running = occupy(&daemon, "menu", BUSY);
    std::io::Write::write_all(
        &mut abandoned,
        b"POST /v1/modules/menu/call/number HTTP/1.1\r\nHost: wapcd\r\nContent-Length: 0\r\n\r\n",
    )
    .unwrap();
    wait_for_queued(&daemon, "menu", 1);
    drop(abandoned);
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(daemon.call("menu", "number", b"").text(), "2", "the long call and this one");
}

#[test]
fn a_caller_that_goes_away_gives_its_place_in_the_queue_to_the_next() {
    let daemon = Daemon::start(&module("menu", "queue = 1"));
    let running = occupy(&daemon, "menu", BUSY);
    let mut waiting = std::os::unix::net::UnixStream::connect(&daemon.socket).unwrap();
    let head = b"POST /v1/modules/menu/call/echo HTTP/1.1\r\nHost: wapcd\r\nContent-Length: 0\r\n\r\n";
    std::io::Write::write_all(&mut waiting, head).unwrap();
    wait_for_queued(&daemon, "menu", 1);
    drop(waiting);
    wait_for_queued(&daemon, "menu", 0);
    let next = send(&daemon.client(), "menu", "echo", b"next");
    wait_for_queued(&daemon, "menu", 1);
    assert_eq!((running.join().unwrap().status, next.join().unwrap().text()), (200, "next".to_owned()));
    let status = daemon.module("menu");
    assert_eq!((status.calls_ok, status.calls_failed, status.calls_refused), (2, 0, 1));
}

#[test]
fn payloads_and_responses_over_their_limit_are_refused_and_the_instance_lives_on() {
    let daemon = Daemon::start(&module("menu", "limits = { payload = \"1 KiB\", response = \"2 KiB\" }"));
    assert_eq!(daemon.call("menu", "echo", &[7; 1024]).body, [7; 1024]);
    let payload = daemon.call("menu", "echo", &[7; 1025]);
    assert_eq!((payload.status, payload.kind().as_str()), (413, "payload-too-large"));
    assert!(payload.detail().contains("1025") && payload.detail().contains("1024"), "{}", payload.detail());
    assert_eq!(daemon.call("menu", "answer", b"2048").body.len(), 2048);
    let response = daemon.call("menu", "answer", b"2049");
    assert_eq!((response.status, response.kind().as_str()), (502, "response-too-large"));
    // Two echoes, of which one was not started, two answers, and this.
    assert_eq!(daemon.call("menu", "number", b"").text(), "4");
    assert_eq!(daemon.module("menu").restarts, 0);
}

#[test]
fn any_operation_gets_an_answer() {
    let daemon = Daemon::start(&module("menu", ""));
    let no_such = (422, "no such operation".to_owned());
    assert_eq!(daemon.call("menu", "", b"").outcome(), no_such);
    assert_eq!(daemon.call("menu", "zzz", b"").outcome(), no_such);
    assert_eq!(daemon.call("menu", "z/ü \u{0}?#%", b"").outcome(), no_such);
    let header = |length: usize| format!("wapcd-operation: {}\r\n", "z".repeat(length));
    let call = |headers: &str| daemon.request("POST", "/v1/modules/menu/call", headers, b"").unwrap();
    assert_eq!(call(&header(64 << 10)).outcome(), no_such);
    let long = call(&header((64 << 10) + 1));
    assert_eq!((long.status, long.kind().as_str()), (413, "operation-too-large"));
    let raw = daemon.request("POST", "/v1/modules/menu/call/%ff%fe", "", b"").unwrap();
    assert_eq!((raw.status, raw.kind().as_str()), (400, "bad-request"));
    let mute = daemon.call("menu", "mute", b"");
    assert_eq!(mute.status, 422, "{}", mute.text());
    assert_eq!(daemon.call("nobody", "echo", b"").kind(), "no-such-module");
    assert_eq!(daemon.module("menu").restarts, 0);
}
