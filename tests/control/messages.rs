//! Messages of a binding over the socket, and as wapcctl shows them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    panic,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use base64::Engine as _;
use serde_json::{Value, json};
use wapcd::bindings::messaging::{Outgoing, Publishing};

use crate::{
    children,
    fake::Running,
    http::{get, post, send},
    wapcctl::{code, err, out, wapcctl},
};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

const BUS: &str = "/v1/bindings/bus/messages";

/// A client that listens.
struct Listener(BufReader<UnixStream>);

impl Listener {
    fn start(running: &Running, query: &str) -> Self {
        let mut stream = UnixStream::connect(running.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {BUS}?{query} HTTP/1.1\r\nHost: w\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let head: Vec<String> =
            reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        assert!(head.iter().any(|line| line == "content-type: application/x-ndjson"), "{head:?}");
        Self(reader)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The documents of the next chunk; none at the end of the stream.
    fn chunk(&mut self) -> Vec<Value> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).unwrap();
        self.line();
        chunk
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The next so many documents.
    fn take(&mut self, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.chunk());
        }
        taken
    }
}

#[test]
fn who_listens_gets_a_line_for_each_message_of_the_pattern() {
    let running = Running::start();
    let mut listener = Listener::start(&running, "topic=a.%3E&limit=3");
    let socket = running.socket();
    let sent = post(&socket, &format!("{BUS}?topic=a.b&header=X:%20y&reply_to=c"), b"hi\xff");
    assert_eq!((sent.status, &*sent.body), (200, &b"{}"[..]));
    for topic in ["b.c", "a.c", "a.d", "a.e"] {
        assert_eq!(post(&socket, &format!("{BUS}?topic={topic}"), b"").status, 200);
    }
    let first = json!({"topic": "a.b", "payload": "aGn/", "headers": {"X": "y"}, "reply_to": "c"});
    assert_eq!(
        listener.take(3),
        [first, json!({"topic": "a.c", "payload": ""}), json!({"topic": "a.d", "payload": ""})]
    );
    assert!(listener.chunk().is_empty(), "more than was wanted");
}

#[test]
fn who_listens_too_slowly_is_told_how_many_messages_are_lost() {
    let running = Running::start();
    let mut listener = Listener::start(&running, "topic=a&group=g");
    let broker = running.fake.broker.broker().unwrap();
    let over = AtomicBool::new(false);
    let mut lost = 0;
    std::thread::scope(|scope| {
        // Each message is its number. Many are sent without a wait between them, so that some find the queue full.
        scope.spawn(|| {
            for number in 0_u64.. {
                if over.load(Relaxed) {
                    break;
                }
                let message = Outgoing::new("a", number.to_string().into()).unwrap();
                assert!(matches!(broker.publish(message), Publishing::Now(Ok(_))));
                if number % 64 == 0 {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        });
        let told = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let (start, mut next) = (Instant::now(), 0);
            while lost == 0 {
                assert!(start.elapsed() < PATIENCE, "nothing is ever lost");
                for document in listener.chunk() {
                    match document["lost"].as_u64() {
                        Some(count) => {
                            lost += count;
                            next += count;
                        }
                        None => {
                            let number = base64::engine::general_purpose::STANDARD.encode(next.to_string());
                            assert_eq!(document, json!({"topic": "a", "payload": number}), "{lost} lost");
                            next += 1;
                        }
                    }
                }
            }
        }));
        over.store(true, Relaxed);
        told.unwrap_or_else(|failure| panic::resume_unwind(failure));
    });
}

#[test]
fn a_request_is_answered_by_wapcctl_and_by_nobody_else() {
    let running = Running::start();
    let socket = running.socket();
    let problem = post(&socket, &format!("{BUS}?topic=ask&request=true"), b"");
    assert_eq!((problem.status, problem.kind().as_str()), (404, "no-receiver"));
    let mut child = listen(&running, &["bus", "ask", "--reply", "fine", "--count", "3"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let answer = loop {
        let asked = post(&socket, &format!("{BUS}?topic=ask&request=true&timeout=20s"), b"how are you");
        if asked.status == 200 {
            break serde_json::from_slice::<Value>(&asked.body).unwrap();
        }
    };
    assert_eq!(answer["payload"], "ZmluZQ==");
    let line = lines.next().unwrap();
    assert!(line.starts_with("ask (answers to _INBOX.") && line.ends_with(")  how are you"), "{line}");
    let asked =
        wapcctl(&socket, &["publish", "bus", "ask", "--request", "--payload", "a\u{1b}b", "--header", "x: 1"], b"");
    assert_eq!((code(&asked), out(&asked).as_str()), (0, "fine"), "{}", err(&asked));
    let line = lines.next().unwrap();
    assert!(line.ends_with(r") x=1  a\u{1b}b"), "{line}");
    let sent = wapcctl(&socket, &["publish", "bus", "ask"], b"from standard input");
    assert_eq!((code(&sent), out(&sent).as_str()), (0, ""), "{}", err(&sent));
    assert_eq!(lines.next().unwrap(), "ask  from standard input");
    assert!(child.wait().unwrap().success() && lines.next().is_none());
}

fn listen(running: &Running, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(running.socket()).arg("listen").args(arguments).stdout(Stdio::piped());
    children::spawn(&mut command).unwrap()
}

#[test]
fn what_cannot_be_done_is_a_problem() {
    let running = Running::start();
    let socket = running.socket();
    for (method, path, body, status, kind) in [
        ("POST", "/v1/bindings/bus/messages?topic=a..b", &b""[..], 400, "bad-request"),
        ("POST", "/v1/bindings/bus/messages", b"", 400, "bad-request"),
        ("POST", "/v1/bindings/bus/messages?topic=a&header=a%20b:c", b"", 400, "bad-request"),
        ("POST", "/v1/bindings/bus/messages?topic=a&header=a:b", &[0; 100], 413, "payload-too-large"),
        ("POST", "/v1/bindings/bus/messages?topic=a", &[0; 101], 413, "payload-too-large"),
        ("POST", "/v1/bindings/none/messages?topic=a", b"", 404, "no-such-binding"),
        ("POST", "/v1/bindings/cache/messages?topic=a", b"", 409, "no-messages"),
        ("POST", "/v1/bindings/down/messages?topic=a", b"", 503, "binding-unavailable"),
        ("POST", "/v1/bindings/hangs/messages?topic=a", b"", 504, "no-answer"),
        ("GET", "/v1/bindings/bus/messages", b"", 400, "bad-request"),
        ("GET", "/v1/bindings/bus/messages?topic=a.%3E.b", b"", 400, "bad-request"),
        ("GET", "/v1/bindings/cache/messages?topic=a", b"", 409, "no-messages"),
        ("GET", "/v1/bindings/b%zz/messages?topic=a", b"", 400, "bad-request"),
        ("PUT", "/v1/bindings/bus/messages?topic=a", b"", 405, "method-not-allowed"),
    ] {
        let answer = send(&socket, method, path, "", body);
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{method} {path}");
    }
    let held: Vec<Listener> = (0..4).map(|_| Listener::start(&running, "topic=a")).collect();
    assert_eq!(get(&socket, &format!("{BUS}?topic=a")).kind(), "busy");
    drop(held);
    let failed = wapcctl(&socket, &["publish", "cache", "a", "--no-payload"], b"");
    assert_eq!(code(&failed), 1);
    assert!(
        err(&failed).contains("binding `cache` is of type \"keyvalue\" and carries no messages"),
        "{}",
        err(&failed)
    );
}

#[test]
fn a_stream_ends_when_the_server_or_the_binding_stops() {
    let running = Running::start();
    let mut listener = Listener::start(&running, "topic=a");
    running.fake.broker.stop();
    assert!(listener.chunk().is_empty());
    assert_eq!(post(&running.socket(), &format!("{BUS}?topic=a"), b"").kind(), "binding-unavailable");

    let running = Running::start();
    let mut listener = Listener::start(&running, "topic=a");
    let stopped = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(running.handle.stop(PATIENCE));
    });
    assert!(listener.chunk().is_empty());
    stopped.join().unwrap();
}
