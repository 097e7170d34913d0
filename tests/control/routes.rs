//! Every path, every problem, and what a client can do wrong.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::Value;
use wapcd::{
    control::Kind,
    supervisor::status::{BindingStatus, ModuleStatus, Status},
};

use crate::{
    fake::Running,
    http::{exchange, get, post, send},
};

#[test]
fn status_modules_and_bindings_are_json() {
    let running = Running::start();
    let status = get(&running.socket(), "/v1/status");
    assert_eq!((status.status, status.header("content-type")), (200, Some("application/json")));
    assert_eq!(serde_json::from_slice::<Status>(&status.body).unwrap().modules.len(), 2);
    let modules = get(&running.socket(), "/v1/modules");
    assert_eq!(serde_json::from_slice::<Vec<ModuleStatus>>(&modules.body).unwrap()[0].name, "echo");
    let module = get(&running.socket(), "/v1/modules/failed");
    assert_eq!(serde_json::from_slice::<ModuleStatus>(&module.body).unwrap().name, "failed");
    let bindings = get(&running.socket(), "/v1/bindings");
    assert_eq!(serde_json::from_slice::<Vec<BindingStatus>>(&bindings.body).unwrap()[0].name, "cache");
}

#[test]
fn a_module_is_started_stopped_and_restarted() {
    let running = Running::start();
    for (action, state) in [("start", "running"), ("stop", "stopped"), ("restart", "running")] {
        let answer = post(&running.socket(), &format!("/v1/modules/echo/{action}"), b"");
        assert_eq!(answer.status, 200);
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["state"], state);
    }
    let stopping = post(&running.socket(), "/v1/modules/stopping/start", b"");
    assert_eq!((stopping.status, stopping.kind().as_str()), (503, "shutting-down"));
    assert_eq!(stopping.problem()["module"], "stopping");
}

#[test]
fn a_call_takes_and_gives_raw_bytes_and_says_where_it_ran() {
    let running = Running::start();
    let payload: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let answer = post(&running.socket(), "/v1/modules/echo/call/anything", &payload);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/octet-stream")));
    assert!(answer.body == payload);
    let labels = ["wapcd-call-id", "wapcd-module", "wapcd-instance", "wapcd-generation"];
    assert_eq!(labels.map(|name| answer.header(name)), [Some("41"), Some("echo"), Some("5"), Some("3")]);
}

#[test]
fn an_operation_may_be_any_text() {
    let running = Running::start();
    let long = "x".repeat(60_000);
    let table = [
        ("", ""),
        ("/", ""),
        ("/plain", "plain"),
        ("/a/b//c/", "a/b//c/"),
        ("/a%2Fb%00%0A%25", "a/b\0\n%"),
        ("/%C3%A4?not=part", "ä"),
        ("/a+b", "a+b"),
        ("/../../status", "../../status"),
        (&format!("/{long}"), &long),
    ];
    for (path, operation) in table {
        let answer = post(&running.socket(), &format!("/v1/modules/operation/call{path}"), b"");
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (200, operation), "{path:.80}");
    }
    let longer = "y".repeat(100_000);
    let header = format!("wapcd-operation: {longer}\r\n");
    let answer = send(&running.socket(), "POST", "/v1/modules/operation/call", &header, b"");
    assert_eq!((answer.status, answer.body.len()), (200, longer.len()));
}

#[test]
fn an_operation_that_is_not_text_is_a_bad_request() {
    let running = Running::start();
    for path in ["echo/call/%FF", "echo/call/%zz", "echo/call/%", "%FF/call/x"] {
        let answer = post(&running.socket(), &format!("/v1/modules/{path}"), b"");
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad-request"), "{path}");
    }
    let answer = send(&running.socket(), "POST", "/v1/modules/echo/call", "wapcd-operation: %FF\r\n", b"");
    assert_eq!((answer.status, answer.kind().as_str()), (400, "bad-request"));
}

#[test]
fn every_failure_of_a_call_has_its_problem() {
    let running = Running::start();
    let table = [
        ("guest-error", 422),
        ("no-such-module", 404),
        ("stopped", 409),
        ("failed", 409),
        ("shutting-down", 503),
        ("busy", 503),
        ("expired", 504),
        ("cycle", 409),
        ("operation-too-large", 413),
        ("payload-too-large", 413),
        ("response-too-large", 502),
        ("trapped", 502),
        ("deadline-exceeded", 504),
        ("limit-exceeded", 502),
        ("exited", 502),
        ("host-panicked", 502),
        ("load-failed", 502),
        ("lost", 502),
    ];
    for (module, status) in table {
        let answer = post(&running.socket(), &format!("/v1/modules/{module}/call/x"), b"");
        assert_eq!((answer.status, answer.kind().as_str()), (status, module));
        assert_eq!(answer.problem()["module"], module);
        assert_eq!(answer.problem()["call"], 41);
        assert_eq!((answer.header("wapcd-call-id"), answer.header("wapcd-module")), (Some("41"), Some(module)));
    }
}

#[test]
fn a_problem_carries_what_is_known() {
    let running = Running::start();
    let call = |module: &str| post(&running.socket(), &format!("/v1/modules/{module}/call/x"), b"");
    assert_eq!(call("guest-error").problem()["detail"], "no such pet: \u{1b}[31mäö");
    assert_eq!(call("busy").header("retry-after"), Some("2"));
    assert_eq!(call("busy").problem()["retry_after_s"], 2);
    let trapped = call("trapped").problem();
    assert_eq!(trapped["exit_reason"], "trapped");
    assert_eq!(trapped["backtrace"], serde_json::json!(["pets::feed @ 0x1f", "function 9"]));
    assert_eq!(call("exited").problem()["exit_code"], u32::MAX);
    let limit = call("limit-exceeded").problem();
    assert_eq!(
        limit["detail"],
        "memory limit of 65536 bytes exceeded, 131072 asked: the guest trapped: unreachable was executed"
    );
    assert_eq!(call("load-failed").problem()["exit_reason"], "load_failed");
    assert!(call("stopped").problem().get("backtrace").is_none());
}

#[test]
fn unknown_paths_and_wrong_methods_are_problems_too() {
    let running = Running::start();
    for path in [
        "/",
        "/v1",
        "/v2/status",
        "/v1/status/",
        "/v1/modules//call/x",
        "/v1/modules/echo/swap/",
        "/v1/reload/x",
        "/%FF",
    ] {
        let answer = post(&running.socket(), path, b"");
        assert_eq!((answer.status, answer.kind().as_str()), (404, "not-found"), "{path}");
    }
    let table = [
        ("DELETE", "/v1/status", "GET"),
        ("POST", "/v1/modules", "GET"),
        ("POST", "/v1/bindings", "GET"),
        ("POST", "/v1/events", "GET"),
        ("POST", "/v1/triggers", "GET"),
        ("PUT", "/v1/triggers/web", "GET"),
        ("GET", "/v1/triggers/web/stop", "POST"),
        ("GET", "/v1/triggers/web/run", "POST"),
        ("POST", "/metrics", "GET"),
        ("PUT", "/v1/modules/echo", "GET"),
        ("GET", "/v1/modules/echo/stop", "POST"),
        ("GET", "/v1/modules/echo/swap", "POST"),
        ("PUT", "/v1/modules/echo/rollback", "POST"),
        ("GET", "/v1/reload", "POST"),
        ("GET", "/v1/modules/echo/call/x", "POST"),
        ("GET", "/v1/modules/echo/call", "POST"),
    ];
    for (method, path, allowed) in table {
        let answer = send(&running.socket(), method, path, "", b"");
        assert_eq!((answer.status, answer.kind().as_str()), (405, "method-not-allowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    let missing = get(&running.socket(), "/v1/modules/nobody");
    assert_eq!((missing.status, missing.kind().as_str()), (404, "no-such-module"));
    assert_eq!(missing.problem()["detail"], "no module `nobody`");
}

#[test]
fn a_body_over_the_limit_is_refused_before_and_while_it_is_read() {
    let running = Running::start();
    let socket = running.socket();
    let announced = post(&socket, "/v1/modules/echo/call/x", &vec![7; (1 << 20) + 1]);
    assert_eq!((announced.status, announced.kind().as_str()), (413, "payload-too-large"));
    assert_eq!(announced.header("wapcd-module"), Some("echo"));
    let head =
        "POST /v1/modules/echo/call/x HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
    let chunked = exchange(&socket, &[head.as_bytes(), &chunk.repeat(17), b"0\r\n\r\n"].concat());
    assert_eq!((chunked.status, chunked.kind().as_str()), (413, "payload-too-large"));
    let fits = exchange(&socket, &[head.as_bytes(), &chunk.repeat(16), b"0\r\n\r\n"].concat());
    assert_eq!((fits.status, fits.header("content-length")), (200, Some("1048576")));
}

#[test]
fn a_length_that_is_a_lie_reserves_no_memory_and_ends_with_the_connection() {
    let running = Running::start();
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    stream
        .write_all(b"POST /v1/modules/echo/call/x HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\nshort")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
}

#[test]
fn the_server_answers_for_a_daemon_that_hangs_or_panics() {
    let running = Running::start();
    let started = Instant::now();
    let module = get(&running.socket(), "/v1/modules/hangs");
    assert_eq!((module.status, module.kind().as_str()), (504, "no-answer"));
    let call = post(&running.socket(), "/v1/modules/hangs/call/x", b"");
    assert_eq!((call.status, call.kind().as_str()), (504, "no-answer"));
    assert_eq!(call.problem()["detail"], "no answer to the call to module `hangs` within 1000 ms");
    assert!(started.elapsed() < Duration::from_secs(20));
    let panicked = get(&running.socket(), "/v1/modules/panics");
    assert_eq!((panicked.status, panicked.kind().as_str()), (500, "internal"));
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
}

#[test]
fn questions_are_answered_while_as_many_calls_hang_as_may() {
    let running = Running::with(|settings| {
        settings.max_calls = 4;
    });
    running.fake.bounds.lock().call = Duration::from_secs(600);
    let hanging: Vec<_> = ["hangs", "hangs-too", "hangs", "hangs-too"].map(|module| hang(&running, module)).into();
    running.fake.wait_for_calls(4);
    let refused = post(&running.socket(), "/v1/modules/echo/call/x", b"");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
    drop(hanging);
}

/// Starts a call that hangs.
fn hang(running: &Running, module: &str) -> UnixStream {
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    write!(stream, "POST /v1/modules/{module}/call/x HTTP/1.1\r\nHost: w\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_module_that_hangs_leaves_half_of_the_calls_to_others() {
    let running = Running::with(|settings| {
        settings.max_calls = 4;
    });
    running.fake.bounds.lock().call = Duration::from_secs(600);
    let hanging = [hang(&running, "hangs"), hang(&running, "hangs")];
    running.fake.wait_for_calls(2);
    let refused = post(&running.socket(), "/v1/modules/hangs/call/x", b"");
    assert_eq!((refused.status, refused.kind().as_str(), refused.header("retry-after")), (503, "busy", Some("1")));
    assert!(refused.problem()["detail"].as_str().unwrap().contains("module `hangs`"));
    assert_eq!(post(&running.socket(), "/v1/modules/echo/call/x", b"").status, 200);
    drop(hanging);
}

#[test]
fn the_status_comes_at_once_beside_calls_that_hang_and_connections_that_idle() {
    let running = Running::with(|settings| {
        settings.max_calls = 192;
    });
    running.fake.bounds.lock().call = Duration::from_secs(600);
    let calls: Vec<_> = (0..192).map(|n| hang(&running, if n % 2 == 0 { "hangs" } else { "hangs-too" })).collect();
    running.fake.wait_for_calls(192);
    let idle: Vec<_> = (0..200).map(|_| UnixStream::connect(running.socket()).unwrap()).collect();
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(get(&running.socket(), "/v1/status").status, 200);
            asked.elapsed()
        })
        .collect();
    // The machine may be busy with other tests: what is measured is whether the answer waits for somebody.
    times.sort_unstable();
    assert!(times[0] < Duration::from_secs(2), "{times:?}");
    drop((calls, idle));
}

#[test]
fn clients_that_connect_and_say_nothing_delay_others_by_seconds_at_most() {
    let running = Running::start();
    // More than the server takes at one time.
    let silent: Vec<_> = (0..600).map(|_| UnixStream::connect(running.socket()).unwrap()).collect();
    let asked = Instant::now();
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    drop(silent);
}

#[test]
fn lists_leave_out_what_only_the_page_of_a_module_has() {
    let running = Running::start();
    let status: Value = serde_json::from_slice(&get(&running.socket(), "/v1/status").body).unwrap();
    let modules: Value = serde_json::from_slice(&get(&running.socket(), "/v1/modules").body).unwrap();
    assert_eq!(status["modules"], modules);
    assert_eq!(modules[1]["last_exit"]["reason"], "trapped");
    let generations = |module: &Value| module["generations"].as_array().unwrap().clone();
    assert_eq!((generations(&modules[1]).len(), &generations(&modules[1])[0]["generation"]), (1, &3.into()));
    for left_out in ["/modules/1/latency", "/modules/1/last_exit/backtrace", "/bindings/0/host_calls"] {
        assert!(status.pointer(left_out).is_none(), "{left_out}");
    }
    let module: Value = serde_json::from_slice(&get(&running.socket(), "/v1/modules/failed").body).unwrap();
    assert_eq!(generations(&module).len(), 3);
    assert_eq!(
        (&module["latency"]["count"], &module["last_exit"]["backtrace"][0]),
        (&104.into(), &"pets::feed @ 0x1f".into())
    );
    let bindings: Value = serde_json::from_slice(&get(&running.socket(), "/v1/bindings").body).unwrap();
    assert_eq!(bindings[0]["host_calls"][1]["outcome"], "not_found");
}

#[test]
fn what_is_not_http_gets_an_error_and_harms_nobody() {
    let running = Running::start();
    for nonsense in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "POST /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n"] {
        assert_eq!(exchange(&running.socket(), nonsense.as_bytes()).status, 400, "{nonsense:?}");
    }
    let huge = format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 18));
    assert_eq!(exchange(&running.socket(), huge.as_bytes()).status, 431);
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
}

#[test]
fn a_connection_serves_several_requests() {
    let running = Running::start();
    let request = "GET /v1/bindings HTTP/1.1\r\nHost: w\r\n\r\n".repeat(2);
    let last = "GET /v1/bindings HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n";
    let answers = exchange(&running.socket(), (request + last).as_bytes());
    assert_eq!(String::from_utf8_lossy(&answers.body).matches("HTTP/1.1 200 OK").count(), 2);
}

#[test]
fn the_documentation_lists_every_type_with_its_status() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/control.md")).unwrap();
    for kind in Kind::ALL {
        let (name, status, title) = kind.describe();
        let row = format!("| `{name}` | {status} | {title} |");
        assert!(document.contains(&row), "docs/control.md has no row that starts with: {row}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `") && line.split('|').count() == 6);
    let types = rows.filter(|line| line.split('|').nth(2).is_some_and(|cell| cell.trim().parse::<u16>().is_ok()));
    assert_eq!(types.count(), Kind::ALL.len(), "rows of types");
}
