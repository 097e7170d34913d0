//! Modules that call modules: what passes, how long it may take, and that nobody ever waits for himself.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Response,
    harness::{Daemon, SOON, eventually, module},
};

/// A module that may call those named.
fn caller(name: &str, keys: &str, targets: &[&str]) -> String {
    let links = targets.iter().map(|target| format!("{{ binding = \"module\", namespace = \"{target}\" }}"));
    module(name, &format!("links = [{}]\n{keys}", links.collect::<Vec<_>>().join(", ")))
}

/// The shortest time of three that a call takes: the machine has other things to do as well.
fn shortest(mut call: impl FnMut() -> Response, check: impl Fn(&Response)) -> Duration {
    let time = |_| {
        let start = Instant::now();
        let response = call();
        let elapsed = start.elapsed();
        check(&response);
        elapsed
    };
    (0..3).map(time).min().unwrap()
}

#[test]
fn responses_and_errors_of_a_called_module_pass_through() {
    let daemon = Daemon::start(&(caller("a", "", &["b"]) + &module("b", "limits = { payload = \"100 B\" }")));
    let call = |operation: &str, payload: &[u8]| daemon.call("a", &format!("host/module/b/{operation}"), payload);
    assert_eq!(call("echo", b"\0\xff").body, b"\0\xff");
    for (operation, payload, text) in [
        ("fail", &b"no such customer"[..], "bad_request: module `b`: no such customer"),
        ("zzz", b"", "bad_request: module `b`: no such operation"),
        ("trap", b"", "internal: module `b`: the guest trapped: "),
        ("quit", b"3", "internal: module `b`: the guest exited with code 3"),
        ("echo", &[0; 101], "too_large: module `b`: payload of 101 bytes is over the limit of 100 bytes"),
    ] {
        let detail = call(operation, payload).detail();
        assert!(detail.starts_with(text), "{detail}");
    }
    // All of it happened to b; a has never been replaced.
    eventually("b was restarted twice", || daemon.module("b").restarts == 2);
    assert_eq!(daemon.module("a").restarts, 0);
    let exit = daemon.module("b").last_exit.unwrap();
    assert_eq!(exit.origin.as_deref(), Some("module a"));
}

#[test]
fn a_called_module_gets_what_is_left_of_its_callers_time() {
    let daemon = Daemon::start(&(caller("a", "limits = { call_timeout = \"1s\" }", &["b"]) + &module("b", "")));
    let time = shortest(
        || daemon.call("a", "wait/200/host/module/b/spin", b""),
        |response| match response.status {
            504 => assert_eq!(response.kind(), "deadline-exceeded"),
            _ => assert!(response.detail().starts_with("timed_out: module `b`: "), "{}", response.text()),
        },
    );
    // Its own limit is five.
    assert!(time >= Duration::from_millis(995) && time < Duration::from_secs(4), "{time:?}");
    // The inner guest had 800 ms, was ended, and there is a fresh one.
    eventually("b is rebuilt", || daemon.module("b").last_exit.is_some());
    let cause = daemon.module("b").last_exit.unwrap().causes.join(": ");
    let limit = cause.strip_prefix("deadline of ").and_then(|rest| rest.split(' ').next()).map(str::parse::<u64>);
    assert!(matches!(limit, Some(Ok(..=800))), "{cause}");
    assert_eq!(daemon.call("b", "number", b"").text(), "1");
}

#[test]
fn a_called_module_that_takes_too_long_by_its_own_limit_is_an_error_that_its_caller_sees() {
    let daemon = Daemon::start(&(caller("a", "", &["b"]) + &module("b", "limits = { call_timeout = \"150ms\" }")));
    let (status, text) = daemon.call("a", "host/module/b/spin", b"").outcome();
    assert_eq!(status, 422);
    assert!(text.starts_with("timed_out: module `b`: deadline of 150 ms exceeded"), "{text}");
    assert_eq!(daemon.module("a").restarts, 0);
    eventually("b is rebuilt", || daemon.module("b").restarts == 1);
}

#[test]
fn a_chain_over_ten_modules_passes() {
    let toml: String = (0..10).map(|n| caller(&format!("m{n}"), "", &[&format!("m{}", (n + 1) % 10)])).collect();
    let daemon = Daemon::start(&toml);
    let chain = |to: usize| (1..=to).map(|n| format!("host/module/m{}/", n % 10)).collect::<String>() + "echo";
    assert_eq!(daemon.call("m0", &chain(9), b"through").text(), "through");
    let detail = daemon.call("m0", &chain(10), b"").detail();
    assert!(detail.ends_with("would close the cycle m0 → m1 → m2 → m3 → m4 → m5 → m6 → m7 → m8 → m9 → m0"), "{detail}");
}

// protocol: hostcall.cycle-self
// protocol: hostcall.cycle-modules
// protocol: known.cycle-without-deadline
#[test]
fn modules_that_call_each_other_in_a_circle_are_told_so_at_once() {
    for instances in ["instances = 1", "instances = 2"] {
        let toml = caller("a", instances, &["a", "b"]) + &caller("b", instances, &["a", "b"]);
        let daemon = Daemon::start(&toml);
        for (operation, path) in [
            ("host/module/b/host/module/a/echo", "a → b → a"),
            ("host/module/a/echo", "a → a"),
            ("host/module/b/host/module/b/echo", "a → b → b"),
        ] {
            let time = shortest(
                || daemon.call("a", operation, b""),
                |response| {
                    let detail = response.detail();
                    assert!(detail.contains("cycle") && detail.contains(path), "{instances} {operation}: {detail}");
                },
            );
            // Long before their calls would have ended.
            assert!(time < Duration::from_secs(3), "{instances} {operation}: {time:?}");
        }
        assert_eq!(daemon.call("a", "host/module/a/echo", b"").detail().split(':').next(), Some("cycle"));
        let chain = daemon.call("a", "host/module/b/echo", b"no circle");
        assert_eq!(chain.text(), "no circle");
        assert_eq!((daemon.module("a").restarts, daemon.module("b").restarts), (0, 0));
    }
}

// protocol: hostcall.cycle-chains
#[test]
fn two_chains_that_lock_each_other_end_in_a_response_or_in_a_cycle_but_never_in_a_timeout() {
    for instances in [1, 2] {
        let keys = format!("instances = {instances}\nlimits = {{ call_timeout = \"20s\" }}");
        let ends = "instances = 4\nlimits = { call_timeout = \"20s\" }";
        let toml = caller("x", ends, &["a"])
            + &caller("y", ends, &["b"])
            + &caller("a", &keys, &["b"])
            + &caller("b", &keys, &["a"]);
        let daemon = Daemon::start(&toml);
        // Each chain holds its first module for a moment before it wants the second.
        let chain = |first: &str, second: &str, end: &str| {
            let (client, end) = (daemon.client(), end.to_owned());
            let operation = format!("host/module/{first}/wait/50/host/module/{second}/echo");
            thread::spawn(move || client.call(&end, &operation, b"through"))
        };
        let (mut responses, mut cycles) = (0, 0);
        for round in 0..20 {
            let start = Instant::now();
            let chains: Vec<_> = (0..instances).flat_map(|_| [chain("a", "b", "x"), chain("b", "a", "y")]).collect();
            for response in chains.into_iter().map(|chain| chain.join().unwrap()) {
                match response.status {
                    200 => responses += 1,
                    _ => {
                        assert!(response.detail().contains("cycle: "), "round {round}: {}", response.text());
                        cycles += 1;
                    }
                }
            }
            assert!(start.elapsed() < Duration::from_secs(15), "round {round} took {:?}", start.elapsed());
            if cycles >= 3 {
                break;
            }
        }
        assert!(cycles > 0, "they never locked each other: {responses} responses");
        assert!(responses > 0, "one of two chains can always go on");
        assert_eq!(daemon.call("x", "host/module/a/host/module/b/echo", b"after").text(), "after");
        let status = daemon.status();
        assert!(status.modules.iter().all(|module| (module.queued, module.in_flight, module.restarts) == (0, 0, 0)));
    }
}

// protocol: hostcall.daemon-asynchronous
#[test]
fn a_guest_that_waits_in_a_host_call_leaves_its_worker_to_the_others() {
    let keys = "instances = 8\nlimits = { call_timeout = \"1m\" }";
    let toml = caller("a", keys, &["b"]) + &module("b", keys) + &module("c", "");
    let daemon = Daemon::start(&format!("[daemon]\nworkers = 1\n{toml}"));
    daemon.wait_for_instances("a", 8);
    daemon.wait_for_instances("b", 8);
    let start = Instant::now();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || client.call("a", "host/module/b/wait/3000/echo", b"waited").outcome())
        })
        .collect();
    eventually("all of them wait", || daemon.module("b").in_flight == 8);
    assert_eq!(daemon.call("c", "echo", b"meanwhile").text(), "meanwhile");
    assert_eq!(daemon.module("a").in_flight, 8, "they wait on");
    for call in calls {
        assert_eq!(call.join().unwrap(), (200, "waited".to_owned()));
    }
    assert!(start.elapsed() < SOON, "one after the other: {:?}", start.elapsed());
}

#[test]
fn a_chain_over_busy_modules_waits_for_them_and_is_no_cycle() {
    let daemon = Daemon::start(&(caller("a", "instances = 4", &["b"]) + &caller("b", "", &["c"]) + &module("c", "")));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || client.call("a", "host/module/b/host/module/c/busy/20/echo", b"end").outcome())
        })
        .collect();
    for call in calls {
        assert_eq!(call.join().unwrap(), (200, "end".to_owned()));
    }
}

#[test]
fn a_module_may_call_a_lazy_one_and_one_that_is_stopped_is_unavailable() {
    let daemon = Daemon::start(&(caller("a", "", &["lazy"]) + &module("lazy", "lazy = true")));
    let call = || daemon.call("a", "host/module/lazy/echo", b"awake").outcome();
    assert_eq!(call(), (200, "awake".to_owned()));
    daemon.ctl(&["stop", "lazy"]);
    assert_eq!(call(), (422, "unavailable: module `lazy` is stopped".to_owned()));
}
