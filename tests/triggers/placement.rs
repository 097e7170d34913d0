//! Where requests run: on the worker of their connection, which wakes no other thread, and elsewhere rather than late.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
};

use crate::harness::{Daemon, SOON, eventually};

const CONNECTIONS: usize = 16;

/// All requests of the test that counts.
const REQUESTS: usize = 2000;

/// A daemon with this many instances of the menu, whose operations are paths, and a store.
fn daemon(instances: &str) -> Daemon {
    let routes: String = [("set", "host/store//set"), ("number", "number"), ("echo", "echo"), ("spin", "spin")]
        .map(|(path, operation)| {
            format!("[[triggers.web.routes]]\npath = \"/{path}\"\nmodule = \"m\"\noperation = \"{operation}\"\n")
        })
        .concat();
    let daemon = Daemon::start(&format!(
        "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\n\
         [modules.m]\npath = \"menu.wasm\"\ninstances = {instances}\nlinks = [\"store\"]\nlimits = {{ call_timeout = \"1m\" }}\nshutdown = \"kill\"\n\
         [triggers.web]\ntype = \"http\"\nlisten = \"unix:web.sock\"\n{routes}"
    ));
    daemon.wait_for_instances("m", if instances == "1" { 1 } else { 2 });
    eventually("it listens", || Connection::try_open(&daemon).is_some());
    daemon
}

/// One client that keeps its connection.
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn try_open(daemon: &Daemon) -> Option<Self> {
        let stream = UnixStream::connect(daemon.home().path().join("run/web.sock")).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        Some(Self(BufReader::new(stream)))
    }

    /// So many connections, of which each worker has as many: each has been answered once.
    fn open(daemon: &Daemon, count: usize) -> Vec<Self> {
        let opened = |_| {
            let mut connection = Self::try_open(daemon).unwrap();
            assert_eq!(connection.post("/echo", b"hello"), (200, b"hello".to_vec()));
            connection
        };
        (0..count).map(opened).collect()
    }

    fn post(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!("POST {path} HTTP/1.1\r\nHost: wapcd\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the connection was closed");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(answered) = line.strip_prefix("http/1.1 ") {
                status = answered[..3].parse().unwrap();
            } else if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).unwrap();
        (status, answer)
    }

    /// How many calls the instance has had that answers.
    fn number(&mut self) -> usize {
        let (status, number) = self.post("/number", b"");
        assert_eq!(status, 200);
        String::from_utf8(number).unwrap().parse().unwrap()
    }
}

/// How often calls have woken other threads.
fn crossings(daemon: &Daemon) -> usize {
    let response = daemon.request("GET", "/v1/crossings", "", b"").unwrap();
    response.text().trim().parse().unwrap()
}

/// Makes all requests over these connections, with a host call each; returns how often they woke other threads.
fn requests(daemon: &Daemon, connections: &mut [Connection]) -> usize {
    let before = crossings(daemon);
    let each = REQUESTS / connections.len();
    thread::scope(|scope| {
        for connection in connections {
            scope.spawn(move || {
                for _ in 0..each {
                    let (status, answer) = connection.post("/set", br#"{"key":"k","value":"djE="}"#);
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
                }
            });
        }
    });
    crossings(daemon) - before
}

#[test]
fn a_request_crosses_no_thread_from_socket_to_guest_to_binding_and_back() {
    let daemon = daemon("\"per-worker\"");
    let mut connections = Connection::open(&daemon, 2);
    let before: Vec<_> = connections.iter_mut().map(Connection::number).collect();
    assert_eq!(requests(&daemon, &mut connections), 0, "one connection on each worker: its instance is always idle");
    for (connection, before) in connections.iter_mut().zip(before) {
        let calls = connection.number() - before;
        assert!(calls > REQUESTS / 2, "each worker has served its connection: {calls}");
    }
}

#[test]
fn requests_of_many_connections_are_spread_over_the_workers_and_stay_there() {
    let daemon = daemon("\"per-worker\"");
    // Eight calls that wait for each other on a machine that is busy with other things wait for longer than they are patient.
    assert_eq!(daemon.request("POST", "/v1/patience/3600000", "", b"").unwrap().status, 200);
    let mut connections = Connection::open(&daemon, CONNECTIONS);
    let before = connections[0].number();
    assert_eq!(requests(&daemon, &mut connections), 0, "wake-ups of other threads in {REQUESTS} requests");
    let calls = connections[0].number() - before;
    assert_eq!(calls, REQUESTS / 2 + 1, "on one worker, and this question");
}

#[test]
fn a_guest_that_spins_on_a_worker_does_not_hold_up_the_other_connections_there() {
    let daemon = daemon("\"per-worker\"");
    let mut connections = Connection::open(&daemon, 4);
    let mut spinning = connections.remove(0);
    thread::scope(|scope| {
        let spun = scope.spawn(move || spinning.post("/spin", b"").0);
        eventually("it spins", || daemon.module("m").in_flight == 1);
        for request in 0..60 {
            assert_eq!(connections[request % 3].post("/echo", b"x"), (200, b"x".to_vec()));
        }
        assert!(!spun.is_finished(), "all were answered while it spun");
        daemon.ctl(&["stop", "m"]);
        assert_ne!(spun.join().unwrap(), 200, "it would have gone on");
    });
}

#[test]
fn the_only_instance_answers_the_connections_of_every_worker() {
    let daemon = daemon("1");
    let mut connections = Connection::open(&daemon, 4);
    // Half of them come from the other worker, and cross to the instance and back: what crosses is counted.
    let crossed = requests(&daemon, &mut connections);
    assert!(crossed >= REQUESTS / 2, "{crossed} wake-ups of other threads in {REQUESTS} requests");
}
