//! The guests of `examples/bindings`, through the real daemon: every function of both, in the order of their README.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    client::Client,
    daemon::{Daemon, Home, eventually, guest_file},
};

/// Their modules, and the words that the SDK puts before errors of host calls.
const GUESTS: [(&str, &str); 2] = [("rust", "Host error: "), ("assemblyscript", "")];

/// The example as it stands, in a directory of its own.
fn start() -> Daemon {
    let home = Home::new("");
    for entry in ["bindings/rust", "bindings/assemblyscript", "bindings/token", "quickstart", "process"] {
        let path = guest_file("examples").join(entry);
        symlink(&path, home.path().join(path.file_name().unwrap())).unwrap();
    }
    let toml = fs::read_to_string(guest_file("examples/bindings/wapcd.toml")).unwrap();
    // The other examples lie beside its folder; here everything lies in one.
    home.write("wapcd.toml", toml.replace("\"../", "\""));
    home.start()
}

/// A guest, and what its errors begin with.
struct Guest {
    client: Client,
    module: &'static str,
    before: &'static str,
}

impl Guest {
    /// Calls it, and gives its answer, or its error without the words of the SDK.
    fn call(&self, operation: &str, payload: &str) -> Result<String, String> {
        let (status, text) = self.client.call(self.module, operation, payload.as_bytes()).outcome();
        match status {
            200 => Ok(text),
            _ => Err(text.strip_prefix(self.before).unwrap_or(&text).to_owned()),
        }
    }

    /// Each payload is answered so; an error need only begin so.
    fn answers(&self, rows: &[(&str, &str, Result<&str, &str>)]) {
        for (operation, payload, expected) in rows {
            let answer = self.call(operation, payload);
            let as_expected = match (&answer, expected) {
                (Ok(answer), Ok(expected)) => answer == expected,
                (Err(answer), Err(expected)) => answer.contains(expected),
                _ => false,
            };
            assert!(as_expected, "{} {operation} {payload:?}: {answer:?}, expected {expected:?}", self.module);
        }
    }
}

fn guests(daemon: &Daemon) -> [Guest; 2] {
    GUESTS.map(|(module, before)| Guest { client: daemon.client(), module, before })
}

#[test]
fn keyvalue_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("keyvalue.get", "apples", Err("not_found: ")),
            ("keyvalue.set", "apples 3", Ok("")),
            ("keyvalue.get", "apples", Ok("3")),
            ("keyvalue.set_once", "apples 4", Err("conflict: ")),
            ("keyvalue.set_once", "lock mine, since \"now\" \\ für immer", Ok("")),
            ("keyvalue.get", "lock", Ok("mine, since \"now\" \\ für immer")),
            ("keyvalue.increment", "apples 4", Ok("7")),
            ("keyvalue.increment", "apples -10", Ok("-3")),
            ("keyvalue.exists", "apples", Ok("true")),
            ("keyvalue.compare_and_set", "lock yours theirs", Err("conflict: ")),
            ("keyvalue.compare_and_set", "apples -3 many", Ok("")),
            ("keyvalue.set_many", "apricots 1 avocados 2", Ok("")),
            ("keyvalue.get_many", "avocados bananas", Ok("avocados=2\nbananas")),
            ("keyvalue.keys", "a", Ok("apples\napricots\navocados")),
            ("keyvalue.keys", "z", Ok("")),
            ("keyvalue.delete", "apples", Ok("true")),
            ("keyvalue.delete", "apples", Ok("false")),
            ("keyvalue.exists", "apples", Ok("false")),
            ("keyvalue.get", "", Err("bad_request: ")),
        ]);
    }
}

#[test]
fn blob_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("blob.get", "notes/one", Err("not_found: ")),
            ("blob.put", "notes/one first note", Ok("")),
            ("blob.get", "notes/one", Ok("first note")),
            ("blob.get_part", "notes/one 6 100", Ok("note")),
            ("blob.get_part", "notes/one 0 5", Ok("first")),
            ("blob.head", "notes/one", Ok("10")),
            ("blob.copy", "notes/one notes/two", Ok("")),
            ("blob.put", "notes/three ", Ok("")),
            ("blob.put", "other x", Ok("")),
            ("blob.list", "notes/", Ok("notes/one 10\nnotes/three 0\nnotes/two 10")),
            ("blob.delete", "notes/one", Ok("true")),
            ("blob.delete", "notes/one", Ok("false")),
            ("blob.copy", "notes/one notes/four", Err("not_found: ")),
        ]);
    }
}

#[test]
fn sql_from_two_languages() {
    let daemon = start();
    for (index, guest) in guests(&daemon).iter().enumerate() {
        // The tables are common: each guest has accounts of its own.
        let (ada, bob) = (format!("Ada'{index}"), format!("Bob\"{index}"));
        guest.answers(&[
            ("sql.create", "", Ok("")),
            ("sql.execute", &format!("{ada} 1000"), Ok("1")),
            ("sql.execute", &format!("{bob} 900"), Ok("1")),
            ("sql.execute", &format!("{ada} 1"), Err("conflict: ")),
            ("sql.batch", &format!("{ada} {bob} 100"), Ok("2")),
            ("sql.query", "1000", Ok(&format!("{bob} 1000"))),
            // Nobody may have less than nothing, so neither of the two changes is made.
            ("sql.batch", &format!("{ada} {bob} 901"), Err("conflict: ")),
            ("sql.query", "900", Ok(&format!("{ada} 900\n{bob} 1000"))),
            ("sql.batch", &format!("{bob} {ada} 1000"), Ok("2")),
            ("sql.batch", &format!("{ada} {bob} 1900"), Ok("2")),
            ("sql.query", "1900", Ok(&format!("{bob} 1900"))),
            ("sql.batch", &format!("{bob} {ada} 1900"), Ok("2")),
            ("sql.batch", &format!("{ada} nobody 1900"), Ok("1")),
        ]);
    }
}

#[test]
fn messaging_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("messaging.publish", "news.local something happened", Ok("")),
            ("messaging.publish", "orders.new one", Err("not_allowed: ")),
            ("messaging.request", "news.local who listens?", Err("not_found: ")),
            ("messaging.request", "orders.new who listens?", Err("not_allowed: ")),
        ]);
        let client = daemon.client();
        let listener = thread::spawn(move || answer_one(&client));
        let mut answer = Err(String::new());
        eventually("somebody listens", || {
            answer = guest.call("messaging.request", "news.asked who listens?");
            !answer.as_ref().is_err_and(|why| why.contains("not_found: "))
        });
        assert_eq!(answer, Ok("you asked: who listens?".to_owned()));
        listener.join().unwrap();
    }
}

/// Waits for one message, as an operator may, and answers it.
fn answer_one(client: &Client) {
    let path = "/v1/bindings/messaging/messages";
    let heard = client.request("GET", &format!("{path}?topic=news.asked&limit=1"), "", b"").unwrap().text();
    let line = heard.lines().find(|line| line.starts_with('{')).unwrap();
    let message: Value = serde_json::from_str(line).unwrap();
    let question = STANDARD.decode(message["payload"].as_str().unwrap()).unwrap();
    let path = format!("{path}?topic={}", message["reply_to"].as_str().unwrap());
    let answered = client.request("POST", &path, "", &[b"you asked: ", question.as_slice()].concat()).unwrap();
    assert_eq!(answered.status, 200, "{}", answered.text());
}

#[test]
fn a_program_in_python_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        let what = guest.module;
        guest.answers(&[("process.count", what, Ok("1")), ("process.count", what, Ok("2"))]);
    }
}

#[test]
fn http_client_from_two_languages() {
    let daemon = start();
    let port = serve();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("http_client.get", &format!("http://127.0.0.1:{port}/found"), Ok("200 GET /found: ")),
            ("http_client.get", &format!("http://localhost:{port}/lost"), Ok("404 GET /lost: ")),
            (
                "http_client.post",
                &format!("http://127.0.0.1:{port}/found a \"text\""),
                Ok("200 POST /found: a \"text\""),
            ),
            ("http_client.get", &format!("http://127.0.0.2:{port}/"), Err("not_allowed: ")),
            ("http_client.get", "http://example.com/", Err("not_allowed: ")),
            ("http_client.get", "nonsense", Err("bad_request: ")),
        ]);
    }
}

/// A server that tells what it was asked, and finds only `/found`; it ends with the test's process.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    port
}

fn answer(mut stream: TcpStream) {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    let body = loop {
        let count = stream.read(&mut buffer).unwrap();
        request += &String::from_utf8_lossy(&buffer[..count]);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ").map(|length| length.parse::<usize>().unwrap()));
        if body.len() >= length.unwrap_or_default() {
            break body;
        }
    };
    let asked = request.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
    let status = if asked.ends_with("/found") { "200 OK" } else { "404 Not Found" };
    let told = format!("{asked}: {body}");
    let length = told.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{told}");
    stream.write_all(answer.as_bytes()).unwrap();
}

#[test]
fn config_and_secret_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("config.get", "greeting", Ok("Hello")),
            ("config.get", "limits.daily", Ok("ten")),
            ("config.get", "nothing", Err("not_found: ")),
            ("config.all", "", Ok("greeting\nlimits")),
            ("secret.get", "token", Ok("30")),
            ("secret.get", "other", Err("not_allowed: ")),
        ]);
    }
    assert!(!daemon.log().contains("nobody's secret"));
}

#[test]
fn metrics_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("metrics.counter", "jobs small", Ok("")),
            ("metrics.counter", "jobs small", Ok("")),
            ("metrics.gauge", "waiting 7", Ok("")),
            ("metrics.histogram", "took 50", Ok("")),
            ("metrics.counter", "waiting small", Err("conflict: ")),
        ]);
        let metrics = daemon.request("GET", "/metrics", "", b"").unwrap().text();
        let module = guest.module;
        for (name, labels, value) in [
            ("guest_jobs_total", "kind=\"small\"", 2.0),
            ("guest_waiting", "", 7.0),
            ("guest_took_bucket", "le=\"10", 0.0),
            ("guest_took_bucket", "le=\"100", 1.0),
        ] {
            let module = format!("module=\"{module}\"");
            let is_it =
                |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(&module) && line.contains(labels);
            let line = metrics.lines().find(is_it).unwrap_or_else(|| panic!("no {name} of {module} in\n{metrics}"));
            assert_eq!(line.rsplit_once(' ').unwrap().1.parse(), Ok(value), "{line}");
        }
    }
}

#[test]
fn system_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        let call = |operation, payload| guest.call(operation, payload).unwrap();
        let number = |operation| call(operation, "").parse::<u64>().unwrap();
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert!(u128::from(number("system.now")).abs_diff(here) < 60_000);
        let before = number("system.monotonic");
        assert!(number("system.monotonic") > before);
        let bytes = call("system.random", "8");
        assert!(bytes.len() == 16 && bytes.bytes().all(|digit| digit.is_ascii_hexdigit()), "{bytes}");
        assert_ne!(call("system.random", "8"), bytes);
        let first = call("system.uuid", "");
        assert!(first.len() == 36 && first.as_bytes()[14] == b'7', "{first}");
        assert_ne!(call("system.uuid", ""), first);
        assert_eq!(call("system.identity", ""), format!("{} 1", guest.module));
    }
}

#[test]
fn other_modules_and_the_log_from_two_languages() {
    let daemon = start();
    for guest in guests(&daemon) {
        guest.answers(&[
            ("module.call", "Ada", Ok("Hello, Ada!")),
            ("module.call", "", Err("tell me a name")),
            ("log.line", "fatal x", Err("no_such_operation: ")),
        ]);
        let line = format!("a line of {}", guest.module);
        guest.answers(&[("log.line", &format!("warn {line}"), Ok(""))]);
        assert_eq!(daemon.log_line(&[&line])["level"], "WARN");
    }
}
