//! `on_start` in a swap: once on the new code, before it takes over, while the old code serves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use wapcd::supervisor::status::{ModuleState, SwapReport};

use super::{count, failed_starts, guest, guest_that, home, hooked, open_gate, spawn, wait_for};
use crate::{
    client::Response,
    harness::{Daemon, eventually},
};

fn swap(daemon: &Daemon, code: &[u8]) -> Response {
    daemon.request("POST", "/v1/modules/m/swap", "", code).unwrap()
}

fn swapped(daemon: &Daemon, code: &[u8]) -> SwapReport {
    let answer = swap(daemon, code);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Callers that call `build` until they are told to end; then all answers.
struct Callers {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<(u16, String)>>>,
}

impl Callers {
    fn start(daemon: &Daemon) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let call = |_| {
            let (client, over) = (daemon.client(), Arc::clone(&over));
            thread::spawn(move || {
                let mut answers = Vec::new();
                while !over.load(SeqCst) {
                    answers.push(client.call("m", "build", b"").outcome());
                }
                answers
            })
        };
        Self { threads: (0..4).map(call).collect(), over }
    }

    fn end(self) -> Vec<(u16, String)> {
        self.over.store(true, SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn the_first_guest_of_new_code_is_called_before_it_takes_over_and_before_it_gets_the_state() {
    // The import of this guest is an error before that.
    let keys = "on_start = \"open\"\nswap = { export = \"export\", import = \"import\" }";
    let daemon = home(&hooked("m", keys)).start();
    assert_eq!(count(&daemon, "opened"), 1);
    let report = swapped(&daemon, &guest('b'));
    assert!(report.changed);
    assert_eq!((count(&daemon, "opened"), daemon.call("m", "build", b"").text()), (2, "b".to_owned()));
    assert_eq!(daemon.call("m", "ready", b"").text(), "yes");
}

#[test]
fn one_instance_of_new_code_is_called_and_the_others_follow() {
    let daemon = home(&hooked("m", "on_start = \"open\"\ninstances = 4")).start();
    daemon.wait_for_instances("m", 4);
    swapped(&daemon, &guest('b'));
    assert_eq!(count(&daemon, "opened"), 2);
    assert!(daemon.module("m").instances.iter().all(|it| it.generation == 2));
    // Back again, with the code that ran before.
    let answer = daemon.request("POST", "/v1/modules/m/rollback", "", b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((count(&daemon, "opened"), daemon.call("m", "build", b"").text()), (3, "a".to_owned()));
    assert_eq!(daemon.module("m").restarts, 0);
}

#[test]
fn new_code_whose_on_start_fails_is_refused_and_no_call_fails() {
    for open in ["(return (call $refuse (i32.const 1104) (i32.const 10)))", "unreachable", "(loop $on (br $on))"] {
        let on_start = "on_start = { operation = \"open\", attempts = 2, retry_delay = \"1ms\", timeout = \"100ms\" }";
        let daemon = home(&hooked("m", &format!("{on_start}\ninstances = 2"))).start();
        daemon.wait_for_instances("m", 2);
        let before = daemon.module("m");
        let callers = Callers::start(&daemon);
        let refused = swap(&daemon, &guest_that('b', open));
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.detail().contains("on_start `open` failed in each of 2 attempts"), "{}", refused.text());
        let answers = callers.end();
        assert!(!answers.is_empty() && answers.iter().all(|answer| *answer == (200, "a".to_owned())), "{answers:?}");
        let after = daemon.module("m");
        assert_eq!((after.state, after.generation, after.restarts), (ModuleState::Running, before.generation, 0));
        let ids = |status: &wapcd::supervisor::status::ModuleStatus| {
            status.instances.iter().map(|it| it.id).collect::<Vec<_>>()
        };
        assert_eq!((ids(&after), after.on_start), (ids(&before), None));
        assert!(after.last_swap_error.unwrap().causes[0].contains("on_start"), "told as a failed probe is");
        assert_eq!(failed_starts(&daemon).len(), 1);
        assert_eq!(count(&daemon, "opened"), 1, "the old code is not called again");
    }
}

#[test]
fn while_new_code_is_called_the_old_serves_and_the_status_says_so() {
    let on_start = "on_start = { operation = \"open\", payload = \"g\", attempts = 1000, retry_delay = \"10ms\" }";
    let daemon = spawn(home(&hooked("m", on_start)));
    open_gate(&daemon);
    wait_for(&daemon, "m", ModuleState::Running);
    let failed = failed_starts(&daemon).len();
    // The new code has a gate that stays shut.
    let code = guest_that('b', "(return (call $refuse (i32.const 1120) (i32.const 16)))");
    let client = daemon.client();
    let swap = thread::spawn(move || client.request("POST", "/v1/modules/m/swap", "", &code).unwrap());
    eventually("attempts have failed", || failed_starts(&daemon).len() > failed + 2);
    let status = daemon.module("m");
    assert_eq!(status.state, ModuleState::Running);
    assert!(status.on_start.unwrap().contains("the gate is shut"));
    assert_eq!(daemon.call("m", "build", b"").text(), "a");
    // A stop does not wait for it.
    assert_eq!(super::act(&daemon, "m", "stop").state, ModuleState::Stopped);
    assert_ne!(swap.join().unwrap().status, 200);
}

#[test]
fn new_code_mends_a_module_whose_on_start_fails() {
    let keys = "on_start = \"open\"\ninstances = 3\nrestart = { backoff = { initial = \"1h\", max = \"1h\" } }";
    let home = home(&hooked("m", keys));
    home.write("hooks.wasm", guest_that('a', "(if (i32.eqz (call $gate)) (then (unreachable)))"));
    let daemon = spawn(home);
    wait_for(&daemon, "m", ModuleState::Backoff);
    assert!(daemon.module("m").instances.is_empty());
    swapped(&daemon, &guest('b'));
    daemon.wait_for_instances("m", 3);
    assert_eq!((count(&daemon, "opened"), daemon.call("m", "build", b"").text()), (1, "b".to_owned()));
}
