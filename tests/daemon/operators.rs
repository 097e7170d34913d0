//! What operators do to modules, while they are called or not: lazy loading, instances, start, stop, restart.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, eventually, module};

/// Outcomes of calls by kind; `connection` where there was no answer at all.
type Tally = BTreeMap<String, u64>;

/// Calls `echo` from so many threads for as long as `work` takes, and counts the outcomes. A wrong response panics.
fn under_load(daemon: &Daemon, name: &str, threads: usize, work: impl FnOnce()) -> Tally {
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..threads)
        .map(|thread| {
            let (client, name, over) = (daemon.client(), name.to_owned(), Arc::clone(&over));
            thread::spawn(move || {
                let mut tally = Tally::new();
                for n in 0_u64.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    let payload = format!("{thread}/{n}");
                    let kind = match client.try_call(&name, "echo", payload.as_bytes()) {
                        Ok(response) => {
                            assert!(response.status != 200 || response.text() == payload, "somebody else's answer");
                            response.kind()
                        }
                        Err(_) => "connection".to_owned(),
                    };
                    *tally.entry(kind).or_default() += 1;
                }
                tally
            })
        })
        .collect();
    work();
    over.store(true, Relaxed);
    let mut sum = Tally::new();
    for (kind, count) in callers.into_iter().flat_map(|caller| caller.join().unwrap()) {
        *sum.entry(kind).or_default() += count;
    }
    sum
}

#[test]
fn a_lazy_module_is_loaded_by_its_first_callers_who_are_all_answered() {
    let daemon = Daemon::start(&module("menu", "lazy = true"));
    let idle = daemon.module("menu");
    assert_eq!((idle.state, idle.generation, idle.sha256), (ModuleState::Idle, 0, None));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || client.call("menu", "number", b""))
        })
        .collect();
    let mut numbers: Vec<u32> =
        callers.into_iter().map(|caller| caller.join().unwrap().text().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    // An instance answers before it is known to run.
    eventually("it runs", || daemon.module("menu").state == ModuleState::Running);
    let running = daemon.module("menu");
    assert_eq!((running.generation, running.instances.len()), (1, 1));
}

#[test]
fn a_lazy_module_that_does_not_load_tells_its_first_caller_why() {
    let daemon = Daemon::start("[modules.none]\npath = \"none.wasm\"\nlazy = true\n");
    for _ in 0..2 {
        let refused = daemon.call("none", "echo", b"");
        assert_eq!(refused.kind(), "failed");
        assert!(refused.detail().contains("none.wasm"), "{}", refused.detail());
    }
}

#[test]
fn instances_are_spread_over_the_workers_and_all_of_them_answer() {
    let toml = module("each", "instances = \"per-worker\"") + &module("five", "instances = 5");
    let daemon = Daemon::start(&format!("[daemon]\nworkers = 3\n{toml}"));
    daemon.wait_for_instances("each", 3);
    daemon.wait_for_instances("five", 5);
    let workers = |name: &str| {
        let mut workers = [0; 3];
        daemon.module(name).instances.iter().for_each(|instance| workers[instance.worker] += 1);
        workers.sort_unstable();
        workers
    };
    assert_eq!(workers("each"), [1, 1, 1]);
    assert_eq!(workers("five"), [1, 2, 2]);
    // Five calls at once need five instances.
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let client = daemon.client();
            thread::spawn(move || client.call("five", "wait/3000/echo", b"").instance().unwrap())
        })
        .collect();
    let took: HashSet<u64> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert_eq!(took.len(), 5);
}

#[test]
fn single_instances_of_several_modules_are_spread_over_the_workers() {
    let toml: String = (0..4).map(|n| module(&format!("m{n}"), "")).collect();
    let daemon = Daemon::start(&toml);
    let workers: Vec<usize> = daemon.status().modules.iter().map(|module| module.instances[0].worker).collect();
    assert_eq!(workers, [0, 1, 0, 1]);
}

#[test]
fn a_restart_is_answered_when_fresh_instances_run() {
    let daemon = Daemon::start(&module("menu", "instances = 2"));
    daemon.wait_for_instances("menu", 2);
    let ids = || daemon.module("menu").instances.iter().map(|instance| instance.id).collect::<HashSet<u64>>();
    for _ in 0..5 {
        let before = ids();
        daemon.ctl(&["restart", "menu"]);
        let after = ids();
        assert_eq!(after.len(), 2);
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    }
    let status = daemon.module("menu");
    assert_eq!((status.restarts, status.restarts_in_window, status.generation), (10, 0, 1));
    // Nobody failed, so there is no exit to show.
    assert!(status.last_exit.is_none());
}

#[test]
fn a_restart_lets_the_running_call_finish() {
    let daemon = Daemon::start(&module("menu", ""));
    let client = daemon.client();
    let running = thread::spawn(move || client.call("menu", "wait/2000/echo", b"done"));
    eventually("the call runs", || daemon.module("menu").in_flight == 1);
    daemon.ctl(&["restart", "menu"]);
    let running = running.join().unwrap();
    assert_eq!(running.text(), "done");
    let fresh = daemon.call("menu", "number", b"");
    assert_eq!(fresh.text(), "1");
    assert_ne!(fresh.instance(), running.instance());
}

#[test]
fn no_call_is_lost_when_a_module_is_restarted_under_load() {
    let daemon = Daemon::start(&module("menu", "instances = 2"));
    let tally = under_load(&daemon, "menu", 6, || {
        for _ in 0..20 {
            daemon.ctl(&["restart", "menu"]);
        }
    });
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["ok"], "{tally:?}");
    let status = daemon.module("menu");
    assert_eq!((status.calls_ok, status.calls_failed, status.queued, status.in_flight), (tally["ok"], 0, 0, 0));
}

#[test]
fn every_call_is_answered_when_a_module_is_stopped_and_started_under_load() {
    let daemon = Daemon::start(&module("menu", "instances = 2"));
    let tally = under_load(&daemon, "menu", 6, || {
        for _ in 0..10 {
            daemon.ctl(&["stop", "menu"]);
            assert_eq!(daemon.module("menu").state, ModuleState::Stopped);
            assert!(daemon.module("menu").instances.is_empty());
            daemon.ctl(&["start", "menu"]);
            assert_eq!(daemon.module("menu").state, ModuleState::Running);
            let before = daemon.module("menu").calls_ok;
            eventually("calls are answered again", || daemon.module("menu").calls_ok > before);
        }
    });
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["ok", "stopped"], "{tally:?}");
    let status = daemon.module("menu");
    assert_eq!((status.calls_ok, status.calls_refused), (tally["ok"], tally["stopped"]));
}

#[test]
fn every_call_is_answered_when_guests_trap_under_load() {
    let daemon = Daemon::start(&module("menu", "instances = 2\nrestart = { intensity = 1000 }"));
    let tally = under_load(&daemon, "menu", 4, || {
        for _ in 0..200 {
            assert_eq!(daemon.call("menu", "trap", b"").kind(), "trapped");
        }
    });
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["ok"], "{tally:?}");
    eventually("all traps are counted", || daemon.module("menu").restarts >= 200);
    assert_eq!(daemon.module("menu").restarts, 200);
}

#[test]
fn a_stop_finishes_what_waits_and_refuses_what_comes() {
    let daemon = Daemon::start(&module("menu", ""));
    let send = |operation: &'static str| {
        let client = daemon.client();
        thread::spawn(move || client.call("menu", operation, b""))
    };
    let running = send("wait/3000/echo");
    eventually("the call runs", || daemon.module("menu").in_flight == 1);
    let waiting = send("number");
    eventually("the call waits", || daemon.module("menu").queued == 1);
    let client = daemon.client();
    let stop = thread::spawn(move || client.request("POST", "/v1/modules/menu/stop", "", b"").unwrap());
    eventually("the module drains", || daemon.module("menu").state == ModuleState::Draining);
    assert_eq!(daemon.call("menu", "echo", b"").kind(), "stopped");
    assert_eq!(stop.join().unwrap().status, 200);
    assert_eq!(daemon.module("menu").state, ModuleState::Stopped);
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(waiting.join().unwrap().text(), "2");
    daemon.ctl(&["stop", "menu"]);
    daemon.ctl(&["start", "menu"]);
    daemon.ctl(&["start", "menu"]);
    assert_eq!(daemon.call("menu", "number", b"").text(), "1");
    let nobody = daemon.wapcctl(&["stop", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn a_start_while_the_module_still_drains_lets_it_finish_and_runs_it_anew() {
    let daemon = Daemon::start(&module("menu", ""));
    let client = daemon.client();
    let running = thread::spawn(move || client.call("menu", "wait/3000/echo", b"done"));
    eventually("the call runs", || daemon.module("menu").in_flight == 1);
    let client = daemon.client();
    let stop = thread::spawn(move || client.request("POST", "/v1/modules/menu/stop", "", b"").unwrap().status);
    eventually("the module drains", || daemon.module("menu").state == ModuleState::Draining);
    daemon.ctl(&["start", "menu"]);
    let status = daemon.module("menu");
    assert_eq!((status.state, status.generation, status.instances.len()), (ModuleState::Running, 2, 1));
    let done = running.join().unwrap();
    assert_eq!((done.text(), done.header("wapcd-generation")), ("done".to_owned(), Some("1")));
    assert_eq!(stop.join().unwrap(), 200);
    let fresh = daemon.call("menu", "number", b"");
    assert_eq!((fresh.text(), fresh.header("wapcd-generation")), ("1".to_owned(), Some("2")));
}

#[test]
fn a_start_reads_the_file_again() {
    let daemon = Daemon::start(&module("menu", ""));
    let first = daemon.module("menu").sha256;
    daemon.ctl(&["stop", "menu"]);
    daemon.home().write("menu.wasm", "no longer wasm");
    let failed = daemon.wapcctl(&["start", "menu"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(daemon.module("menu").state, ModuleState::Failed);
    daemon.home().write("menu.wasm", crate::harness::menu());
    daemon.ctl(&["start", "menu"]);
    let status = daemon.module("menu");
    assert_eq!((status.state, status.sha256, status.generation), (ModuleState::Running, first, 2));
}
