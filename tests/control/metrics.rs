//! Metrics: on the socket and over TCP, in a form that scrapers take, saying what the status says.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use wapcd::{
    control::{ControlSocket, METRICS_MEDIA_TYPE, Server},
    supervisor::status::{ModuleState, ReloadError, Status, WorkerState},
};

use crate::{
    children,
    described::module,
    fake::{self, Fake, Running},
    http::get,
    openmetrics::Page,
};

fn scrape(running: &Running) -> Page {
    let answer = get(&running.socket(), "/metrics");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(METRICS_MEDIA_TYPE)));
    Page::read(std::str::from_utf8(&answer.body).unwrap())
}

/// A server that serves metrics over TCP as well.
fn over_tcp() -> (Running, SocketAddr) {
    let running = Running::with(|settings| settings.metrics_listen = Some("127.0.0.1:0".parse().unwrap()));
    let address = running.handle.metrics_address().unwrap();
    (running, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(address: SocketAddr, line: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "{line} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_say_what_the_status_says() {
    let running = Running::start();
    running.fake.status.lock().workers[1].state = WorkerState::Stalled;
    let page = scrape(&running);
    let status: Status = serde_json::from_slice(&get(&running.socket(), "/v1/status").body).unwrap();
    for module in &status.modules {
        let name = ("module", module.name.as_str());
        let calls = module.calls.iter().map(|(outcome, count)| (outcome, *count as f64));
        calls.for_each(|(outcome, count)| {
            assert_eq!(page.value("wapcd_calls_total", &[name, ("outcome", outcome)]), count);
        });
        let restarts = |reason| page.value("wapcd_module_restarts_total", &[name, ("reason", reason)]);
        assert_eq!((restarts("trapped"), restarts("deadline_exceeded"), restarts("panicked")), (4.0, 2.0, 0.0));
        for state in ModuleState::ALL {
            let value = page.value("wapcd_module_state", &[name, ("state", state.as_str())]);
            assert_eq!(value, f64::from(u8::from(state == module.state)));
        }
        let swaps =
            |origin, outcome| page.value("wapcd_module_swaps_total", &[name, ("origin", origin), ("outcome", outcome)]);
        assert_eq!((swaps("file", "done"), swaps("file", "failed"), swaps("operator", "done")), (1.0, 3.0, 2.0));
        assert_eq!((swaps("roll_back", "done"), swaps("roll_back", "failed")), (0.0, 0.0));
        assert_eq!(page.value("wapcd_module_generation", &[name]), 3.0);
        assert_eq!(page.value("wapcd_queue_calls", &[name]), module.queued as f64);
        assert_eq!(page.value("wapcd_queue_bytes", &[name]), module.queued_bytes as f64);
        assert_eq!(page.value("wapcd_in_flight_calls", &[name]), module.in_flight as f64);
        assert_eq!(page.value("wapcd_instance_memory_bytes", &[name, ("slot", "0")]), 65_536.0);
        assert_eq!(page.value("wapcd_call_duration_seconds_count", &[name]), 104.0);
        assert_eq!(page.value("wapcd_call_duration_seconds_bucket", &[name, ("le", "0.01")]), 52.0);
        assert_eq!(page.value("wapcd_call_duration_seconds_sum", &[name]), 1.04);
    }
    let host_call = [("binding", "cache"), ("operation", "get"), ("outcome", "not_found")];
    assert_eq!(page.value("wapcd_host_calls_total", &host_call), 2.0);
    let cache = |what| page.value(&format!("wapcd_binding_cache_{what}"), &[("binding", "cache")]);
    assert_eq!((cache("hits_total"), cache("misses_total"), cache("bytes")), (4.0, 5.0, 7.0));
    assert_eq!(page.value("wapcd_group_restarts_total", &[("group", "pets")]), 9.0);
    assert_eq!(page.value("wapcd_worker_stalled", &[("worker", "0")]), 0.0);
    assert_eq!(page.value("wapcd_worker_stalled", &[("worker", "1")]), 1.0);
    assert_eq!(page.value("wapcd_build_info", &[("version", "1.2.3")]), 1.0);
    assert_eq!(page.value("wapcd_uptime_seconds", &[]), status.uptime_s);
    assert!(page.value("process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn what_was_refused_or_differs_is_seen() {
    let running = Running::start();
    let values = || {
        let page = scrape(&running);
        let reloads = |outcome| page.value("wapcd_config_reloads_total", &[("outcome", outcome)]);
        assert_eq!((reloads("applied"), reloads("refused")), (5.0, 1.0));
        (
            page.value("wapcd_config_last_reload_successful", &[]),
            page.value("wapcd_module_code_differs", &[("module", "echo")]),
            page.value("wapcd_drop_in_refused_files", &[]),
        )
    };
    assert_eq!(values(), (1.0, 0.0, 1.0));
    let mut status = running.fake.status.lock();
    status.configuration.last_error = Some(ReloadError { at: 0.0, problems: Vec::new() });
    status.modules[0].differs = Some("an operator swapped it".into());
    status.drop_in.as_mut().unwrap().refused.clear();
    let loaded = status.configuration.loaded_at;
    drop(status);
    assert_eq!(values(), (0.0, 1.0, 0.0));
    assert_eq!(scrape(&running).value("wapcd_config_loaded_timestamp_seconds", &[]), loaded);
    running.fake.status.lock().drop_in = None;
    assert!(!scrape(&running).names().contains("wapcd_drop_in_refused_files"));
}

#[test]
fn the_time_of_the_start_does_not_tremble() {
    let running = Running::start();
    let first = scrape(&running).value("process_start_time_seconds", &[]);
    running.fake.status.lock().uptime_s += 0.75;
    assert_eq!(scrape(&running).value("process_start_time_seconds", &[]), first);
}

#[test]
fn any_name_goes_through_as_a_label() {
    let running = Running::start();
    let name = "a\"b\\c\nd{e=\"f\"} ä \\n";
    running.fake.status.lock().modules.push(module(name, ModuleState::Running));
    let page = scrape(&running);
    assert_eq!(page.value("wapcd_module_generation", &[("module", name)]), 3.0);
    assert_eq!(page.value("wapcd_call_duration_seconds_bucket", &[("module", name), ("le", "+Inf")]), 104.0);
}

#[test]
fn a_daemon_without_parts_has_a_page_too() {
    let running = Running::start();
    let mut status = running.fake.status.lock();
    (status.modules, status.bindings, status.groups, status.workers) = Default::default();
    drop(status);
    assert_eq!(scrape(&running).value("wapcd_draining", &[]), 0.0);
}

#[test]
fn metrics_are_all_that_is_served_over_tcp() {
    let (_running, address) = over_tcp();
    let answer = ask(address, "GET /metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-type: {METRICS_MEDIA_TYPE}\r\n")), "{head}");
    assert_eq!(Page::read(body).value("wapcd_worker_instances", &[("worker", "0")]), 1.0);
    for line in ["GET /v1/status", "GET /", "POST /v1/modules/echo/stop", "GET /v1/events?follow=true"] {
        assert!(ask(address, line).starts_with("HTTP/1.1 404 "), "{line}");
    }
    assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405 "));
}

#[test]
fn scrapers_that_say_nothing_hurt_nobody_on_the_socket() {
    let (running, address) = over_tcp();
    let silent: Vec<_> = (0..100).map(|_| connect(address)).collect();
    let asked = Instant::now();
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
    assert_eq!(get(&running.socket(), "/metrics").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _nobody = children::none_starts();
    runtime.block_on(running.handle.stop(Duration::from_secs(60)));
    assert!(asked.elapsed() < Duration::from_secs(40), "a stop waits for no scraper: {:?}", asked.elapsed());
    assert!(TcpStream::connect(address).is_err());
    drop(silent);
}

#[test]
fn an_address_in_use_is_refused_with_the_key_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = fake::settings(&dir);
    let address = taken.local_addr().unwrap();
    settings.metrics_listen = Some(address);
    let socket = ControlSocket::bind(&settings.socket, settings.socket_mode).unwrap();
    let error = Server::start(socket, settings, std::sync::Arc::new(Fake::default())).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot serve metrics on {address}, where `metrics.listen` wants them"));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("in use"));
    assert!(!dir.path().join("wapcd.sock").exists());
}

/// Names in a text that look like ours or the process's.
fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("wapcd_") || word.starts_with("process_")).collect()
}

#[test]
fn the_documents_name_only_metrics_that_exist() {
    let page = scrape(&Running::start());
    let names = page.names();
    for document in ["docs/control.md", "docs/grafana-dashboard.json"] {
        let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let named = names_in(&text);
        let unknown: Vec<_> = named.difference(&names).filter(|name| !page.0.contains_key(**name)).collect();
        assert!(named.len() > 15 && unknown.is_empty(), "{document} has {unknown:?}");
    }
}

#[test]
fn the_documentation_has_every_metric_with_its_labels() {
    let page = scrape(&Running::start());
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/control.md")).unwrap();
    for (name, family) in &page.0 {
        let sample = &family.samples[0];
        let labels: Vec<_> = sample.labels.keys().filter(|label| *label != "le").map(String::as_str).collect();
        let shown = if family.kind == "histogram" { name } else { &sample.name };
        let row = document.lines().find(|line| line.starts_with(&format!("| `{shown}` | {} |", family.kind)));
        let row = row.unwrap_or_else(|| panic!("docs/control.md has no row for the {} {shown}", family.kind));
        let mut written: Vec<_> =
            row.split('|').nth(3).unwrap().split(',').map(|label| label.trim().trim_matches('`')).collect();
        written.retain(|label| !label.is_empty());
        written.sort_unstable();
        assert_eq!(written, labels, "{shown}");
    }
}

#[test]
fn the_dashboard_is_json_with_a_query_in_every_panel() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let queries = panel["targets"].as_array().unwrap();
        assert!(!queries.is_empty() && queries.iter().all(|query| query["expr"].is_string()), "{}", panel["title"]);
    }
}
