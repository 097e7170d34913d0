//! Health: who is asked, who is restarted as unhealthy, and who is left alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use wapcd::supervisor::{
    events::What,
    status::{ModuleState, ServiceState},
};

use crate::{
    harness::{Daemon, Home, eventually, module},
    story::{binding, end_after_panics, events, exits, group, ids, patient, tells, wait_for},
};

const HEALTH: &str = "health = { operation = \"health\", interval = \"1s\", timeout = \"1s\", failures = 3 }\n";

/// A daemon with the module `patient`, whose health is told to it.
fn hospital(keys: &str) -> Daemon {
    let home = Home::new(&format!("[modules.patient]\npath = \"patient.wasm\"\n{HEALTH}{keys}\n"));
    home.write("patient.wasm", patient());
    home.start()
}

fn failed_checks(daemon: &Daemon) -> Vec<(u32, u32, String)> {
    let failed = |what| match what {
        What::HealthFailed { failures, of, why, .. } => Some((failures, of, why)),
        _ => None,
    };
    events(daemon).into_iter().filter_map(|event| failed(event.what)).collect()
}

/// Waits until instances of a module must have been asked several times.
fn let_it_be_asked(daemon: &Daemon, name: &str) {
    eventually("it ran for many intervals", || daemon.module(name).uptime_s > Some(2.5));
}

#[test]
fn an_instance_that_answers_its_checks_with_an_error_is_replaced_as_unhealthy() {
    let daemon = hospital("");
    let before = ids(&daemon, ["patient"])[0];
    assert_eq!(daemon.call("patient", "set", b"1").kind(), "ok");
    eventually("it is replaced", || ids(&daemon, ["patient"])[0] > before);
    let exit = daemon.module("patient").last_exit.unwrap();
    let causes = exit.causes.join(": ");
    assert_eq!(exit.reason, "unhealthy");
    assert!(causes.contains("3 health checks") && causes.contains("I feel sick"), "{causes}");
    let checks = failed_checks(&daemon);
    assert_eq!(checks.iter().map(|(failures, of, _)| (*failures, *of)).collect::<Vec<_>>(), [(1, 3), (2, 3), (3, 3)]);
    assert!(checks.iter().all(|(_, _, why)| why.contains("I feel sick")), "{checks:?}");
    tells(
        &daemon,
        0,
        &["module patient: health_failed", "module patient: exited unhealthy restart", "module patient: started"],
    );
    let status = daemon.module("patient");
    assert_eq!(status.restarts_by_reason.get("unhealthy"), Some(&1));
    // The fresh one is well.
    let_it_be_asked(&daemon, "patient");
    assert_eq!(daemon.module("patient").restarts, 1);
}

#[test]
fn an_instance_that_traps_in_a_check_or_spins_past_its_time_is_replaced_and_the_cause_is_named() {
    for (mode, reason, cause) in [("2", "trapped", "unreachable"), ("3", "deadline_exceeded", "1000 ms")] {
        let daemon = hospital("");
        let before = ids(&daemon, ["patient"])[0];
        assert_eq!(daemon.call("patient", "set", mode.as_bytes()).kind(), "ok");
        eventually("it is replaced", || ids(&daemon, ["patient"])[0] > before);
        let exit = daemon.module("patient").last_exit.unwrap();
        let causes = exit.causes.join(": ");
        assert!(causes.contains(cause), "{mode}: {} {causes}", exit.reason);
        assert_eq!((exit.reason.as_str(), exit.operation.as_deref()), (reason, Some("health")), "{mode}");
        assert_eq!(daemon.call("patient", "echo", b"").kind(), "ok");
        assert_eq!(daemon.module("patient").restarts, 1);
    }
}

#[test]
fn checks_are_not_counted_among_calls_and_do_not_clear_the_history() {
    let daemon = hospital("restart = { intensity = 2, period = \"1h\", backoff = { initial = \"0s\" } }");
    for restarts in 1..=2 {
        let_it_be_asked(&daemon, "patient");
        assert_eq!(daemon.call("patient", "trap", b"").kind(), "trapped");
        eventually("it is replaced", || daemon.module("patient").restarts == restarts);
    }
    let_it_be_asked(&daemon, "patient");
    let status = daemon.module("patient");
    assert_eq!((status.calls_ok, status.calls_failed, status.calls_refused, status.in_flight), (0, 2, 0, 0));
    assert_eq!(status.restarts_in_window, 2);
    assert_eq!(daemon.call("patient", "trap", b"").kind(), "trapped");
    wait_for(&daemon, "patient", ModuleState::Failed);
}

#[test]
fn a_healthy_and_a_busy_instance_are_left_alone() {
    let toml = module("busy", &HEALTH.replace("\"health\"", "\"number\""));
    let daemon = Daemon::start(&toml);
    let before = ids(&daemon, ["busy"]);
    for operation in ["wait/3000/echo", "busy/3000/echo"] {
        assert_eq!(daemon.call("busy", operation, b"done").text(), "done");
    }
    let so_far = daemon.module("busy").uptime_s;
    eventually("it ran for many intervals", || daemon.module("busy").uptime_s > so_far.map(|time| time + 5.0));
    // It was asked: it counts checks as calls, others do not.
    let asked: u32 = daemon.call("busy", "number", b"").text().parse().unwrap();
    assert!(asked > 4, "{asked}");
    assert_eq!(failed_checks(&daemon), []);
    assert_eq!((ids(&daemon, ["busy"]), daemon.module("busy").calls_ok), (before, 3));
}

#[test]
fn calls_that_come_during_a_check_are_answered_after_it_and_none_is_lost() {
    let daemon = hospital("");
    assert_eq!(daemon.call("patient", "set", b"3").kind(), "ok");
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, over) = (daemon.client(), Arc::clone(&over));
            thread::spawn(move || {
                let mut answered = 0;
                while answered == 0 || !over.load(Relaxed) {
                    let (status, text) = client.call("patient", "echo", b"").outcome();
                    assert_eq!(status, 200, "{text}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    eventually("it is replaced", || daemon.module("patient").restarts == 1);
    over.store(true, Relaxed);
    let answered: u64 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    let status = daemon.module("patient");
    // With the one that made it sick.
    assert_eq!((status.calls_ok, status.calls_failed, status.calls_refused), (answered + 1, 0, 0));
}

#[test]
fn each_instance_is_asked_for_itself() {
    let daemon = hospital("instances = 2");
    daemon.wait_for_instances("patient", 2);
    let before: Vec<u64> = daemon.module("patient").instances.iter().map(|instance| instance.id).collect();
    let sick = daemon.call("patient", "set", b"1").instance().unwrap();
    eventually("the sick one is replaced", || {
        let instances = daemon.module("patient").instances;
        instances.len() == 2 && instances.iter().all(|instance| instance.id != sick)
    });
    let well = before.iter().find(|id| **id != sick).unwrap();
    assert!(daemon.module("patient").instances.iter().any(|instance| instance.id == *well));
}

#[test]
fn an_unhealthy_member_restarts_its_group_and_a_sick_one_for_ever_fails_it() {
    let toml = format!("[modules.patient]\npath = \"patient.wasm\"\n{HEALTH}\n")
        + &module("other", "")
        + &group("g", "one_for_all", &["patient", "other"], "intensity = 1\nperiod = \"1h\"");
    let home = Home::new(&toml);
    home.write("patient.wasm", patient());
    let daemon = home.start();
    eventually("both run", || ids(&daemon, ["patient", "other"]).iter().all(|id| *id > 0));
    let before = ids(&daemon, ["patient", "other"]);
    daemon.call("patient", "set", b"1");
    eventually("both are replaced", || {
        ids(&daemon, ["patient", "other"]).iter().zip(before).all(|(now, then)| *now > then)
    });
    assert_eq!(exits(&daemon, "patient")[0].1, "unhealthy");
    assert_eq!(daemon.call("patient", "trap", b"").kind(), "trapped");
    // The call that made it sick succeeded before the first exit, so that two exits are one too many.
    wait_for(&daemon, "other", ModuleState::Failed);
    assert!(daemon.call("other", "echo", b"").detail().contains("module patient"));
}

#[test]
fn a_backend_that_is_sick_is_opened_again_and_one_that_stays_sick_fails() {
    let toml = "[bindings.flaky]\ntype = \"faulty\"\nhealth = { interval = \"1s\", timeout = \"1s\", failures = 2 }\n\
                restart = { intensity = 3, period = \"1h\", backoff = { initial = \"10ms\", jitter = 0 } }\n"
        .to_owned()
        + &module("user", "links = [\"flaky\"]");
    let daemon = Daemon::start(&toml);
    let ask = |operation: &str, payload: &[u8]| daemon.call("user", &format!("host/flaky//{operation}"), payload);
    assert_eq!(ask("sick", b"").kind(), "ok");
    eventually("it is opened again", || binding(&daemon, "flaky").restarts == 1);
    eventually("it runs", || binding(&daemon, "flaky").state == ServiceState::Running);
    let exit = binding(&daemon, "flaky").last_exit.unwrap();
    assert_eq!(exit.reason, "unhealthy");
    assert!(exit.causes.join(": ").contains("told to be sick"), "{:?}", exit.causes);
    assert_eq!(
        failed_checks(&daemon).iter().map(|(failures, of, _)| (*failures, *of)).collect::<Vec<_>>(),
        [(1, 2), (2, 2)]
    );
    assert_eq!(ask("sick", b"for_good").kind(), "ok");
    eventually("it fails", || binding(&daemon, "flaky").state == ServiceState::Failed);
    let refused = ask("echo", b"");
    assert!(refused.detail().starts_with("unavailable: ") && refused.detail().contains("sick"), "{}", refused.detail());
    end_after_panics(daemon);
}

#[test]
fn a_database_that_is_asked_is_well() {
    let toml = "[bindings.cache]\ntype = \"keyvalue\"\npath = \"cache.redb\"\n\
                health = { interval = \"1s\", timeout = \"1s\", failures = 3 }\n"
        .to_owned()
        + &module("user", "links = [\"cache\"]");
    let daemon = Daemon::start(&toml);
    for n in 1..=20 {
        let count = daemon.call("user", "host/cache//increment", br#"{"key":"n"}"#);
        assert_eq!(count.text(), format!(r#"{{"value":{n}}}"#));
    }
    eventually("it ran for many intervals", || binding(&daemon, "cache").uptime_s > Some(2.5));
    let status = binding(&daemon, "cache");
    assert_eq!((status.state, status.restarts, status.calls_ok), (ServiceState::Running, 0, 20));
    assert_eq!(failed_checks(&daemon), []);
}
