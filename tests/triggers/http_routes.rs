//! Routes of the real daemon: from a socket to a guest and back.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::OnceLock,
};

use wapcd::supervisor::status::ServiceState;

use crate::{
    client::{Client, Response},
    harness::{Daemon, Home, SOON, eventually},
};

/// The guest of `web.wat`, assembled once.
fn web() -> &'static [u8] {
    static WEB: OnceLock<Vec<u8>> = OnceLock::new();
    WEB.get_or_init(|| wat::parse_str(include_str!("web.wat")).unwrap())
}

/// Whom every test calls, and where.
const BEFORE: &str = "[logging]\nformat = \"json\"\n[modules.web]\npath = \"web.wasm\"\n[triggers.api]\ntype = \"http\"\n\
    listen = \"unix:api.sock\"\n";

fn route(path: &str, operation: &str, keys: &str) -> String {
    format!("[[triggers.api.routes]]\npath = \"{path}\"\nmodule = \"web\"\noperation = \"{operation}\"\n{keys}\n")
}

fn home(toml: &str) -> Home {
    let home = Home::new(&format!("{BEFORE}{toml}"));
    home.write("web.wasm", web());
    home
}

/// A daemon that serves these routes, and a client of them.
fn start(toml: &str) -> (Daemon, Client) {
    let daemon = home(toml).start();
    eventually("the trigger is up", || daemon.status().triggers[0].state == ServiceState::Running);
    let client = Client { socket: daemon.home().path().join("run/api.sock") };
    (daemon, client)
}

fn send(client: &Client, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
    let response = client.request(method, path, headers, body).unwrap();
    assert!(response.header("wapcd-call-id").is_some_and(|id| id.parse::<u64>().unwrap() > 0), "{response:?}");
    response
}

/// Sends bytes as they are and reads until the other side has nothing more to say.
fn exchange(client: &Client, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&client.socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    String::from_utf8_lossy(&answers).into_owned()
}

#[test]
fn a_request_reaches_its_guest_and_the_answer_its_caller() {
    let (_daemon, client) = start(&format!(
        "{}{}{}{}",
        route("/echo", "echo", "methods = [\"GET\", \"POST\"]"),
        route("/do/{op}", "{op}", "operations = [\"echo\", \"fail\", \"trap\"]"),
        route("/page", "json", "payload = \"http\""),
        route("/{*rest}", "wrap", "payload = \"http\"\nmethods = [\"PATCH\"]"),
    ));
    let echo = send(&client, "POST", "/echo?x", "Accept: text/plain\r\n", b"hello");
    assert_eq!((echo.status, echo.text().as_str(), echo.header("content-type")), (200, "hello", Some("text/plain")));
    let head = exchange(&client, b"HEAD /page HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 201 ") && head.contains("\r\ncontent-length: 4\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let wrapped = send(&client, "PATCH", "/a/b?c=d", "", b"");
    assert!(wrapped.text().contains("a/b") && wrapped.text().contains("query_params"), "{}", wrapped.text());
    for (method, path, status, kind) in [
        ("GET", "/nothing", 405, "method-not-allowed"),
        ("POST", "/do/spin", 404, "not-found"),
        ("POST", "/do/fail", 502, "guest-error"),
        ("POST", "/do/trap", 500, "internal"),
    ] {
        let answer = send(&client, method, path, "", b"secret");
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{method} {path}");
        assert!(!answer.text().contains("secret") && !answer.text().contains("web"), "{}", answer.text());
    }
    let chunked = "POST /echo HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    assert!(exchange(&client, chunked.as_bytes()).ends_with("abcdefg"));
}

#[test]
fn a_body_over_its_limit_is_refused_and_one_that_waits_to_be_asked_for_is_not() {
    let (_daemon, client) = start(&route("/", "echo", "max_body = \"10B\""));
    assert_eq!(send(&client, "POST", "/", "", b"0123456789x").kind(), "payload-too-large");
    let head = |more: &str| format!("POST / HTTP/1.1\r\nHost: w\r\nExpect: 100-continue\r\n{more}\r\n");
    let refused = exchange(&client, head("Content-Length: 11\r\nConnection: close\r\n").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let asked = exchange(&client, (head("Content-Length: 5\r\nConnection: close\r\n") + "hello").as_bytes());
    assert!(asked.starts_with("HTTP/1.1 100 ") && asked.ends_with("hello"), "{asked}");
    let chunked = head("Transfer-Encoding: chunked\r\nConnection: close\r\n") + "b\r\n0123456789x\r\n";
    assert!(exchange(&client, chunked.as_bytes()).contains("HTTP/1.1 413 "));
    let two = "GET / HTTP/1.1\r\nHost: w\r\n\r\nGET / HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(&client, two.as_bytes()).matches("HTTP/1.1 200 ").count(), 2);
}

#[test]
fn a_trace_is_in_the_guests_lines_and_in_the_access_log() {
    let (daemon, client) = start(&format!("access_log = true\n{}", route("/log", "log", "")));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let answer = send(&client, "POST", "/log?hidden=1", &header, b"abc");
    let call: u64 = answer.header("wapcd-call-id").unwrap().parse().unwrap();
    let guest = daemon.log_line(&["wapcd::guest", "seen"]);
    let access = daemon.log_line(&["wapcd::access", "/log"]);
    for line in [&guest, &access] {
        let text = line.to_string();
        assert!(
            text.contains(&format!("\"trace\":\"{trace}\"")) && text.contains(&format!("\"call\":{call}")),
            "{text}"
        );
    }
    let text = access.to_string();
    for part in ["\"trigger\":\"api\"", "\"method\":\"POST\"", "\"status\":200", "\"bytes_in\":3", "\"module\":\"web\""]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("hidden"), "{text}");
    send(&client, "POST", "/log", "traceparent: 00-xyz\r\n", b"");
    assert_eq!(daemon.log().matches(trace).count(), 2);
}

#[test]
fn an_answer_that_is_no_response_is_logged_and_counted() {
    let (daemon, client) = start(&route("/", "bad", "payload = \"http\""));
    assert_eq!(send(&client, "GET", "/", "", b"").kind(), "bad-reply");
    let line = daemon.log_line(&["the guest's answer is no response"]).to_string();
    assert!(line.contains("99 is not from 200 to 599") && line.contains("\"module\":\"web\""), "{line}");
    assert_eq!(daemon.status().triggers[0].facts.as_ref().unwrap().calls_failed, 1);
}

#[test]
fn credentials_are_asked_for_and_a_preflight_needs_none() {
    let keys = "authentication = { token = { file = \"tokens\" } }\ncors = { origins = [\"https://ada.example\"] }\n\
        methods = [\"POST\"]";
    let home = home(&route("/", "echo", keys));
    home.write("tokens", "# who may call\nalpha\n");
    let daemon = home.start();
    eventually("the trigger is up", || daemon.status().triggers[0].state == ServiceState::Running);
    let client = Client { socket: daemon.home().path().join("run/api.sock") };
    let refused = send(&client, "POST", "/", "Origin: https://ada.example\r\n", b"x");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://ada.example"));
    assert_eq!(send(&client, "POST", "/", "Authorization: Bearer alpha\r\n", b"x").text(), "x");
    let preflight = "Origin: https://ada.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = send(&client, "OPTIONS", "/", preflight, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("POST")));
    assert!(!daemon.log().contains("alpha"));
}

#[test]
fn wapcd_check_names_the_lines_of_both_routes_that_say_the_same() {
    let home = home(&format!("{}{}", route("/a", "echo", ""), route("/a", "fail", "")));
    let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(text.contains("triggers.api.routes[1].path") && text.contains("the other route is line "), "{text}");
}
