//! Triggers as operators see them: paths, pages, commands, metrics.

use wapcd::supervisor::{
    events::{Subject, What},
    status::ServiceState,
};

use crate::{
    fake::Running,
    http::{get, post},
    openmetrics::Page,
    wapcctl::{code, err, out, wapcctl},
};

#[test]
fn triggers_have_paths_of_their_own() {
    let running = Running::start();
    let socket = running.socket();
    let all: serde_json::Value = serde_json::from_slice(&get(&socket, "/v1/triggers").body).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 4);
    let one: serde_json::Value = serde_json::from_slice(&get(&socket, "/v1/triggers/web").body).unwrap();
    assert_eq!(
        (&one["type"], &one["facts"]["kind"], &one["facts"]["calls_ok"]),
        (&"http".into(), &"http".into(), &20.into())
    );
    let stopped: serde_json::Value = serde_json::from_slice(&post(&socket, "/v1/triggers/web/stop", b"").body).unwrap();
    assert_eq!(stopped["state"], "stopped");
    assert_eq!(post(&socket, "/v1/triggers/nightly/run", b"").status, 200);
    for (path, status, kind) in [
        ("/v1/triggers/nobody/stop", 404, "no-such-trigger"),
        ("/v1/triggers/nobody/run", 404, "no-such-trigger"),
        ("/v1/triggers/web/run", 409, "trigger-refused"),
        ("/v1/triggers/%FF/start", 400, "bad-request"),
        ("/v1/triggers/web/swap", 404, "not-found"),
    ] {
        let answer = post(&socket, path, b"");
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{path}");
    }
    assert_eq!(get(&socket, "/v1/triggers/nobody").problem()["detail"], "no trigger `nobody`");
}

#[test]
fn the_table_says_where_calls_come_from_and_what_went_wrong() {
    let running = Running::start();
    let table = out(&wapcctl(&running.socket(), &["triggers"], b""));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TRIGGER  TYPE      STATE "), "{table}");
    assert!(
        lines[1].starts_with("web      http      running  ") && lines[1].contains("  127.0.0.1:8443 (TLS)  "),
        "{table}"
    );
    assert!(lines[1].ends_with("  1h 1m ago: it is \\u{1b}[2J full"), "{table}");
    assert!(lines[2].contains("  0 0 1 * * *, next now"), "{table}");
    assert!(lines[3].contains("  running, disconnected  ") && lines[3].contains("  orders.*"), "{table}");
    assert!(lines[4].contains("  /srv/inbox, 8 waiting"), "{table}");
    let status = out(&wapcctl(&running.socket(), &["status"], b""));
    assert!(lines.iter().all(|line| status.contains(*line)), "{status}");
    running.fake.status.lock().triggers.clear();
    assert!(!out(&wapcctl(&running.socket(), &["status"], b"")).contains("TRIGGER"));
}

#[test]
fn the_page_of_a_schedule_has_its_next_times_in_its_zone_and_in_utc() {
    let running = Running::start();
    let page = out(&wapcctl(&running.socket(), &["trigger", "nightly"], b""));
    for line in [
        "nightly: running\n",
        "  type        schedule\n",
        "  from        0 0 1 * * *\n",
        "  time zone   Europe/Berlin\n",
        "  modules     echo\n",
        "  calls       20 ok, 2 failed, 1 running\n",
        "  next        2000-03-01T01:00:00+01:00  2000-03-01T00:00:00Z  now\n",
        "  last        2000-02-29T01:00:00+01:00  2000-02-29T00:00:00Z  ",
        ", 3.5ms late\n",
        "  no call     5 skipped, 6 missed\n",
        "  restarts    1 (ended 1), 0 count towards its intensity now\n",
    ] {
        assert!(page.contains(line), "no {line:?} in {page}");
    }
    assert_eq!(page.matches("\n  next ").count(), 5, "{page}");
}

#[test]
fn the_pages_of_the_other_types_say_what_only_they_have() {
    let running = Running::start();
    let page = |name: &str| out(&wapcctl(&running.socket(), &["trigger", name], b""));
    for (name, lines) in [
        ("web", ["  connections 3, 4 refused\n", "  responses   20 2xx, 1 4xx, 2 5xx\n", "  last error  1h 1m ago ("]),
        (
            "heard",
            [
                "  hears       disconnected: connection refused\n",
                "  messages    7 received, 3 of them again, 1 given up, 0 lost\n",
                "  from        orders.*\n",
            ],
        ),
        (
            "inbox",
            ["  files       8 waiting, 9 done, 2 failed\n", "  from        /srv/inbox\n", "  up          1m 2s\n"],
        ),
    ] {
        let page = page(name);
        assert!(lines.iter().all(|line| page.contains(line)), "{lines:?} in {page}");
    }
    let missing = wapcctl(&running.socket(), &["trigger", "nobody"], b"");
    assert_eq!((code(&missing), err(&missing).as_str()), (1, "wapcctl: no trigger `nobody`\n"));
}

#[test]
fn start_and_stop_take_triggers_by_their_full_name_and_run_takes_schedules() {
    let running = Running::start();
    let run = |arguments: &[&str]| wapcctl(&running.socket(), arguments, b"");
    let stopped = run(&["stop", "triggers.web"]);
    assert_eq!((code(&stopped), out(&stopped).as_str()), (0, "web: stopped\n"));
    assert_eq!(out(&run(&["start", "triggers.web"])), "web: running\n");
    assert_eq!(out(&run(&["stop", "modules.echo"])), "echo: stopped, generation 3\n");
    assert_eq!(out(&run(&["run", "nightly"])), "nightly: running\n");
    let refused = run(&["run", "web"]);
    assert_eq!(code(&refused), 1);
    assert_eq!(err(&refused), "wapcctl: trigger `web` begins no call now: it has no times\n");
    assert!(err(&run(&["stop", "triggers.nobody"])).contains("no trigger `nobody`"));
}

#[test]
fn events_of_one_trigger_are_told_apart() {
    let running = Running::start();
    let changed = |to: &str| What::StateChanged { from: "starting".into(), to: to.into(), why: None, next_try: None };
    running.fake.events.record(Subject::Trigger("web".into()), changed("running"));
    running.fake.events.record(Subject::Module("web".into()), changed("failed"));
    let events = out(&wapcctl(&running.socket(), &["events", "--trigger", "web"], b""));
    assert!(events.contains("  trigger web  starting -> running") && events.lines().count() == 1, "{events}");
    let missing = wapcctl(&running.socket(), &["events", "--trigger", "nobody"], b"");
    assert_eq!((code(&missing), err(&missing).as_str()), (1, "wapcctl: there is no trigger nobody\n"));
}

#[test]
fn metrics_of_triggers_say_what_the_status_says_and_those_of_one_that_rests_are_left_out() {
    let running = Running::start();
    let scrape = || Page::read(std::str::from_utf8(&get(&running.socket(), "/metrics").body).unwrap());
    let page = scrape();
    let value = |name: &str, trigger: &str, label: Option<(&str, &str)>| {
        let labels: Vec<(&str, &str)> = [("trigger", trigger)].into_iter().chain(label).collect();
        page.value(name, &labels)
    };
    assert_eq!(value("wapcd_trigger_state", "web", Some(("state", "running"))), 1.0);
    assert_eq!(value("wapcd_trigger_restarts_total", "web", Some(("reason", "ended"))), 1.0);
    assert_eq!(value("wapcd_trigger_calls_total", "web", Some(("outcome", "failed"))), 2.0);
    assert_eq!(value("wapcd_trigger_calls_running", "web", None), 1.0);
    assert_eq!(value("wapcd_trigger_connections", "web", None), 3.0);
    assert_eq!(value("wapcd_trigger_connections_refused_total", "web", None), 4.0);
    assert_eq!(value("wapcd_trigger_responses_total", "web", Some(("class", "5xx"))), 2.0);
    assert_eq!(value("wapcd_trigger_lateness_seconds", "nightly", None), 0.0035);
    assert_eq!(value("wapcd_trigger_last_run_timestamp_seconds", "nightly", None), 951_782_400.0);
    assert_eq!(value("wapcd_trigger_next_run_timestamp_seconds", "nightly", None), 951_868_800.0);
    assert_eq!(value("wapcd_trigger_skipped_total", "nightly", None), 5.0);
    assert_eq!(value("wapcd_trigger_missed_total", "nightly", None), 6.0);
    assert_eq!(value("wapcd_trigger_connected", "heard", None), 0.0);
    assert_eq!(value("wapcd_trigger_messages_total", "heard", None), 7.0);
    assert_eq!(value("wapcd_trigger_messages_redelivered_total", "heard", None), 3.0);
    assert_eq!(value("wapcd_trigger_messages_given_up_total", "heard", None), 1.0);
    assert_eq!(value("wapcd_trigger_files_waiting", "inbox", None), 8.0);
    assert_eq!(value("wapcd_trigger_files_total", "inbox", Some(("outcome", "done"))), 9.0);
    let mut status = running.fake.status.lock();
    status.triggers[3].facts = None;
    status.triggers[3].state = ServiceState::Stopped;
    drop(status);
    assert!(!scrape().names().contains("wapcd_trigger_files_total"));
}
