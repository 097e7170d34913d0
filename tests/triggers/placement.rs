//! Where requests run: on the worker of their connection, which wakes no other thread, and elsewhere rather than late.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
};

use crate::{
    harness::{Daemon, SOON, eventually},
    web,
};

const CONNECTIONS: usize = 16;

/// All requests of the test that counts.
const REQUESTS: usize = 2000;

/// How often they are made at most, where the machine holds the daemon up.
const TRIES: usize = 5;

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
    web::wait_until_up(&daemon, "web");
    daemon
}

/// One client that keeps its connection.
struct Connection(BufReader<UnixStream>);

impl Connection {
    /// So many connections, of which each worker has as many: each has been answered once, and nobody was there before.
    fn open(daemon: &Daemon, count: usize) -> Vec<Self> {
        let opened = |_| {
            let stream = UnixStream::connect(daemon.home().path().join("run/web.sock")).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut connection = Self(BufReader::new(stream));
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

/// Makes all of them so that none wakes another thread, and says how many calls each connection's instance had meanwhile, the
/// question included. What a worker does that the machine holds up for a second is looked after by other threads: then they
/// are made again.
fn requests_that_stay(daemon: &Daemon, connections: &mut [Connection]) -> Vec<usize> {
    let stalls = || daemon.log().matches("\"worker stalled\"").count();
    for _ in 0..TRIES {
        let stalled = stalls();
        let before: Vec<_> = connections.iter_mut().map(Connection::number).collect();
        let crossed = requests(daemon, connections);
        let calls =
            connections.iter_mut().zip(before).map(|(connection, before)| connection.number() - before).collect();
        if crossed == 0 {
            return calls;
        }
        assert!(stalls() > stalled, "{crossed} wake-ups of other threads in {REQUESTS} requests");
    }
    panic!("the machine holds the daemon up all the time");
}

#[test]
fn a_request_crosses_no_thread_from_socket_to_guest_to_binding_and_back() {
    let daemon = daemon("\"per-worker\"");
    // One on each worker: its instance is always idle.
    let mut connections = Connection::open(&daemon, 2);
    for calls in requests_that_stay(&daemon, &mut connections) {
        assert!(calls > REQUESTS / 2, "each worker has served its connection: {calls}");
    }
}

#[test]
fn requests_of_many_connections_are_spread_over_the_workers_and_stay_there() {
    let daemon = daemon("\"per-worker\"");
    // Eight calls that wait for each other on a machine that is busy with other things wait for longer than they are patient.
    assert_eq!(daemon.request("POST", "/v1/patience/3600000", "", b"").unwrap().status, 200);
    let mut connections = Connection::open(&daemon, CONNECTIONS);
    let calls = requests_that_stay(&daemon, &mut connections)[0];
    assert_eq!(calls, REQUESTS / 2 + CONNECTIONS / 2, "half of them on one worker, and each connection's question");
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
