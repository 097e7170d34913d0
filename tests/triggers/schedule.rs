//! Guests that are called at certain times: by the real daemon, through reloads, slow guests, and its sudden end.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use wapcd::{
    supervisor::status::{ServiceState, TriggerStatus},
    triggers::{Detail, TriggerFacts},
};

use crate::harness::{Daemon, Home, eventually, module, pause_for};

/// What a schedule says of itself.
#[derive(Debug, Clone)]
struct Schedule {
    facts: TriggerFacts,
    next: Vec<f64>,
    last: Option<f64>,
    skipped: u64,
    missed: u64,
    latest: f64,
}

/// A schedule called `s` that calls the menu, with these keys.
fn config(keys: &str) -> String {
    // No call here is to end at its deadline, however long it was to take.
    let menu = module("menu", "limits = { call_timeout = \"1m\" }");
    format!("{menu}[triggers.s]\ntype = \"schedule\"\nmodule = \"menu\"\n{keys}\n")
}

fn trigger(daemon: &Daemon) -> TriggerStatus {
    daemon.status().triggers.into_iter().find(|trigger| trigger.name == "s").unwrap()
}

fn try_schedule(daemon: &Daemon) -> Option<Schedule> {
    let facts = trigger(daemon).facts?;
    match facts.detail.clone() {
        Detail::Schedule { next, last, skipped, missed, latest_s: latest } => {
            Some(Schedule { facts, next, last, skipped, missed, latest })
        }
        other => panic!("a schedule says {other:?}"),
    }
}

/// Waits until what it says of itself is so.
fn wait_for(daemon: &Daemon, what: &str, mut condition: impl FnMut(&Schedule) -> bool) -> Schedule {
    let mut found = None;
    eventually(what, || {
        found = try_schedule(daemon).filter(&mut condition);
        found.is_some()
    });
    found.unwrap()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What the events say was missed: how many times, and whether they were made up for.
fn told(daemon: &Daemon) -> Vec<(u64, bool)> {
    let response = daemon.request("GET", "/v1/events", "", b"").unwrap();
    let events: Vec<Value> = serde_json::from_slice(&response.body).unwrap();
    let missed = events.iter().filter(|event| event.to_string().contains("\"missed\""));
    missed.map(|event| find(event, "times").as_u64().zip(find(event, "caught_up").as_bool()).unwrap()).collect()
}

/// The value of a key, wherever it is.
fn find(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(map) => match map.get(key) {
            Some(found) => found.clone(),
            None => map.values().map(|value| find(value, key)).find(|found| !found.is_null()).unwrap_or_default(),
        },
        _ => Value::Null,
    }
}

#[test]
fn an_interval_calls_its_guest_again_and_again_and_tells_when_next() {
    let began = now();
    let daemon = Daemon::start(&config("operation = \"echo\"\nevery = \"100ms\""));
    let seen = wait_for(&daemon, "five calls", |schedule| schedule.facts.calls_ok >= 5);
    // A call that takes next to nothing is over before the next time, unless the machine does something else meanwhile.
    assert!(seen.facts.calls_failed == 0 && seen.skipped < seen.facts.calls_ok, "{seen:?}");
    assert_eq!(seen.next.len(), 5);
    for two in seen.next.windows(2) {
        assert!((two[1] - two[0] - 0.1).abs() < 1e-4, "{:?}", seen.next);
    }
    assert!(seen.last.unwrap() > began && seen.last.unwrap() < now());
    assert!(seen.latest >= 0.0 && seen.latest < 60.0, "{seen:?}");
    // Not faster than it should.
    assert!((seen.facts.calls_ok as f64) < (now() - began) / 0.1 + 1.0);
    assert_eq!(trigger(&daemon).state, ServiceState::Running);
    assert!(!daemon.home().path().join("state/schedules").exists(), "nothing is to be made up for");
}

#[test]
fn an_expression_calls_at_its_seconds() {
    let daemon = Daemon::start(&config("operation = \"echo\"\ncron = \"* * * * * *\"\ntimezone = \"Asia/Tokyo\""));
    let seen = wait_for(&daemon, "two calls", |schedule| schedule.facts.calls_ok >= 2);
    assert!(seen.next.iter().all(|next| next.fract() == 0.0), "{:?}", seen.next);
    let into_the_second = seen.last.unwrap().fract();
    assert!((into_the_second - seen.latest).abs() < 1e-3 || seen.latest > 1.0, "{seen:?}");
}

#[test]
fn a_time_at_which_the_guest_still_works_is_skipped_and_counted() {
    let daemon = Daemon::start(&config("operation = \"wait/1000/echo\"\nevery = \"50ms\""));
    let seen = wait_for(&daemon, "two calls", |schedule| schedule.facts.calls_ok >= 2);
    assert!(seen.skipped >= 4, "{seen:?}");
    assert!(seen.facts.calls_running <= 1, "{seen:?}");
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_worker_that_is_blocked_keeps_no_other_schedule_from_its_times() {
    let blocking = "[triggers.b]\ntype = \"schedule\"\nmodule = \"blocked\"\noperation = \"host/faulty//block\"\n\
                    payload = \"4000\"\nevery = \"1h\"\nrun_on_start = true\n";
    let daemon = Daemon::start(&format!(
        "[daemon]\nworkers = 1\n[bindings.faulty]\ntype = \"faulty\"\n{}{}{blocking}",
        module("blocked", "links = [\"faulty\"]"),
        config("operation = \"echo\"\nevery = \"100ms\""),
    ));
    // Its calls wait for the worker, its times do not.
    let mut waits = None;
    let seen = wait_for(&daemon, "times at which one call waits", |schedule| {
        let (call, skipped) = (schedule.facts.calls_ok, schedule.skipped);
        let since = *waits.filter(|(waiting, _)| *waiting == call).get_or_insert((call, skipped));
        waits = Some(since);
        schedule.facts.calls_running == 1 && skipped >= since.1 + 10
    });
    assert!(seen.latest < 2.5, "{seen:?}");
    wait_for(&daemon, "calls again", |schedule| schedule.facts.calls_ok > seen.facts.calls_ok + 1);
}

#[test]
fn one_call_waits_for_the_end_of_the_one_before_and_no_more() {
    let keys = |operation: &str| format!("operation = \"{operation}\"\nevery = \"300ms\"\noverlap = \"queue\"");
    let daemon = Daemon::start(&config(&keys("wait/4000/echo")));
    wait_for(&daemon, "a call that runs", |schedule| schedule.facts.calls_running == 1);
    // One of the times that pass meanwhile waits, which is the only one that is not skipped.
    let seen = wait_for(&daemon, "times that are skipped", |schedule| schedule.skipped >= 2);
    assert_eq!((seen.facts.calls_running, seen.facts.calls_ok), (1, 0));
    wait_for(&daemon, "its end", |schedule| schedule.facts.calls_ok == 1);
    let seen = try_schedule(&daemon).unwrap();
    assert_eq!(seen.facts.calls_running, 1, "the next began at once: {seen:?}");
    assert!(seen.latest > 0.5, "it had waited: {seen:?}");
}

#[test]
fn a_call_at_the_start_does_not_wait_for_a_time() {
    let daemon = Daemon::start(&config("operation = \"echo\"\nevery = \"1h\"\nrun_on_start = true"));
    let seen = wait_for(&daemon, "the call", |schedule| schedule.facts.calls_ok == 1);
    assert!((seen.next[0] - seen.last.unwrap() - 3600.0).abs() < 30.0, "{seen:?}");
    // A reload is no start.
    daemon.home().configure(&config("operation = \"echo\"\nevery = \"2h\"\nrun_on_start = true"));
    daemon.ctl(&["reload"]);
    let seen = wait_for(&daemon, "the other time", |schedule| schedule.next[0] > now() + 3700.0);
    assert_eq!(seen.facts.calls_ok, 1);
}

#[test]
fn what_passed_while_the_daemon_was_dead_is_made_up_for_by_one_call() {
    let toml = config("operation = \"echo\"\ncron = \"* * * * * *\"\ncatch_up = true");
    let daemon = Daemon::start(&toml);
    wait_for(&daemon, "calls", |schedule| schedule.facts.calls_ok >= 2);
    let file = daemon.home().path().join("state/schedules/s.json");
    eventually("it is written down", || file.exists());
    let home = daemon.kill();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    pause_for(Duration::from_millis(3_100));
    let text = fs::read_to_string(&file).unwrap();
    let daemon = home.start();
    let seen = wait_for(&daemon, "the call", |schedule| schedule.facts.calls_ok >= 1);
    assert!(seen.missed >= 3, "{seen:?} after {text}");
    let told = told(&daemon);
    assert!(told.len() == 1 && told[0].0 >= 3 && told[0].1, "{told:?}");
}

#[test]
fn however_much_passed_there_is_one_call_and_a_stop_forgets_nothing() {
    let daily = config("operation = \"echo\"\nevery = \"1h\"\ncatch_up = true");
    let home = Home::new(&daily);
    fs::create_dir_all(home.path().join("state/schedules")).unwrap();
    let file = home.path().join("state/schedules/s.json");
    let before = (now() - 3.5 * 3600.0) * 1000.0;
    fs::write(&file, format!("{{\"trigger\": \"s\", \"done_ms\": {}}}", before as u64)).unwrap();
    let daemon = home.start();
    wait_for(&daemon, "the call", |schedule| schedule.facts.calls_ok == 1);
    assert_eq!(told(&daemon), [(3, true)]);
    // What was made up for is not made up for again, and the hour goes on from where it began.
    let home = daemon.stop();
    let daemon = home.start();
    let seen = wait_for(&daemon, "its times", |schedule| !schedule.next.is_empty());
    assert!(seen.next[0] < now() + 3600.0, "{seen:?}");
    assert_eq!((seen.facts.calls_ok, seen.facts.calls_running, seen.missed), (0, 0, 0));
    // Who makes up for nothing keeps nothing.
    daemon.home().configure(&config("operation = \"echo\"\nevery = \"1h\""));
    daemon.ctl(&["reload"]);
    eventually("the file is gone", || !file.exists());
}

#[test]
fn a_broken_file_of_times_is_told_and_does_not_keep_a_schedule_from_working() {
    let home = Home::new(&config("operation = \"echo\"\nevery = \"100ms\"\ncatch_up = true"));
    fs::create_dir_all(home.path().join("state/schedules")).unwrap();
    let file = home.path().join("state/schedules/s.json");
    fs::write(&file, "half of it").unwrap();
    let daemon = home.start();
    wait_for(&daemon, "calls", |schedule| schedule.facts.calls_ok >= 2);
    let line = daemon.log_line(&["what passed while the daemon was down is not known"]);
    assert!(line["error"].as_str().unwrap().contains("schedules/s.json"), "{line}");
    assert!(told(&daemon).is_empty());
    eventually("a whole file", || fs::read_to_string(&file).is_ok_and(|text| text.contains("done_ms")));
    assert_eq!(trigger(&daemon).restarts, 0);
}

#[test]
fn a_reload_changes_times_and_payloads_while_it_runs() {
    let daemon = Daemon::start(&config("operation = \"echo\"\nevery = \"1h\""));
    wait_for(&daemon, "its times", |schedule| !schedule.next.is_empty());
    daemon.home().configure(&config("operation = \"echo\"\nevery = \"50ms\""));
    daemon.ctl(&["reload"]);
    wait_for(&daemon, "calls", |schedule| schedule.facts.calls_ok >= 3);
    daemon.home().configure(&config("operation = \"fail\"\nevery = \"50ms\"\npayload = \"no more paper\""));
    daemon.ctl(&["reload"]);
    let seen = wait_for(&daemon, "a call that fails", |schedule| schedule.facts.calls_failed >= 2);
    assert!(seen.facts.last_error.unwrap().contains("no more paper"));
    let line = daemon.log_line(&["scheduled call failed"]);
    assert_eq!((&line["trigger"], &line["module"]), (&Value::from("s"), &Value::from("menu")), "{line}");
    assert!(line["error"].as_str().unwrap().contains("no more paper"), "{line}");
    // Many failures, one line.
    wait_for(&daemon, "more that fail", |schedule| schedule.facts.calls_failed >= 10);
    assert!(daemon.log().matches("scheduled call failed").count() <= 3);
    daemon.home().configure(&config("operation = \"echo\"\ncron = \"0 0 0 1 1 *\""));
    daemon.ctl(&["reload"]);
    let seen = wait_for(&daemon, "far times", |schedule| schedule.next.len() == 5 && schedule.next[4] > now() + 3.0e7);
    pause_for(Duration::from_millis(200));
    let later = try_schedule(&daemon).unwrap();
    assert!(later.facts.calls_ok + later.facts.calls_failed <= seen.facts.calls_ok + seen.facts.calls_failed + 1);
    assert_eq!(trigger(&daemon).restarts, 0);
}

#[test]
fn a_stop_waits_for_the_call_that_runs_and_begins_none() {
    let keys = "operation = \"wait/1000/log\"\nevery = \"1h\"\nrun_on_start = true\npayload = \"books are closed\"";
    let daemon = Daemon::start(&config(keys));
    wait_for(&daemon, "the call", |schedule| schedule.facts.calls_running == 1);
    let home = daemon.stop();
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert!(log.contains("books are closed"), "{log}");
}

#[test]
fn a_wrong_expression_or_zone_is_told_with_its_line() {
    for (keys, words) in [
        ("cron = \"0 0 25 * * *\"", &["wapcd.toml:12", "triggers.s.cron", "0 0 25 * * *", "the hour `25`"][..]),
        ("cron = \"0 0 0 31 2 *\"", &["wapcd.toml:12", "this time never comes"]),
        ("cron = \"* * * *\"", &["wapcd.toml:12", "it has 4 fields"]),
        ("cron = \"@daily\"\ntimezone = \"Europe/Berlinn\"", &["wapcd.toml:13", "did you mean `Europe/Berlin`?"]),
        ("every = \"9ms\"", &["wapcd.toml:12", "from 10ms"]),
        ("every = \"1s\"\ncron = \"@daily\"", &["wapcd.toml:13", "beside `every`"]),
        ("every = \"1s\"\ntimezone = \"UTC\"", &["wapcd.toml:13", "beside `every`"]),
        ("payload = \"x\"", &["triggers.s", "a cron expression"]),
    ] {
        let home = Home::new(&config(&format!("operation = \"echo\"\n{keys}")));
        let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
        let report = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{keys}");
        for word in words {
            assert!(report.contains(word), "no {word:?} for {keys} in:\n{report}");
        }
    }
}
