//! A stop while wrk asks. wrk cannot tell an answer that was lost from a connection that nobody takes any more: both are
//! errors of reading to it. So its requests go through a relay that knows for each whether it was sent, and answered.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::{
    harness::{Daemon, eventually, module, pause_for},
    web::{self, ask, connect},
    wrk::Wrk,
};

/// How long a client waits that nobody wants, so that wrk does not do nothing but connect.
const REFUSED: Duration = Duration::from_millis(10);

/// How long it goes well.
const AWHILE: Duration = Duration::from_secs(1);

/// What became of the requests that came to a relay.
#[derive(Debug, Default)]
struct Counted {
    answered: u64,
    /// Connections that were closed before anything was answered on them, or not taken at all.
    not_taken: u64,
    /// What a request was answered instead, or why it was not.
    failed: Vec<String>,
}

/// Takes requests without bodies, one after the other on each connection, and passes each on to the daemon.
struct Relay {
    address: SocketAddr,
    counted: Arc<Mutex<Counted>>,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counted = Arc::<Mutex<Counted>>::default();
        let shared = Arc::clone(&counted);
        // It ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counted = Arc::clone(&shared);
                std::thread::spawn(move || carry(client, to, &counted));
            }
        });
        Self { address, counted }
    }

    fn answered(&self) -> u64 {
        self.counted.lock().answered
    }

    fn not_taken(&self) -> u64 {
        self.counted.lock().not_taken
    }
}

/// Carries the requests of one client. Where it fails the client's connection ends, too.
fn carry(mut client: TcpStream, to: SocketAddr, counted: &Mutex<Counted>) {
    let mut server = None;
    let mut fresh = true;
    let mut request = Vec::new();
    while next_request(&mut client, &mut request) {
        if server.is_none() {
            server = connect(to).ok();
        }
        let Some(open) = &mut server else {
            counted.lock().not_taken += 1;
            return pause_for(REFUSED);
        };
        let answer = match ask(open, &request) {
            Ok(answer) => answer,
            // The kernel made the connection and closed it with the socket.
            Err(error) if fresh && is_reset(&error) => {
                counted.lock().not_taken += 1;
                return;
            }
            Err(error) => {
                let place = if fresh { "the first request" } else { "a later request" };
                return counted.lock().failed.push(format!("{place} of a connection: {error}"));
            }
        };
        fresh = false;
        match answer.status {
            200 => counted.lock().answered += 1,
            other => counted.lock().failed.push(format!("answered with {other}")),
        }
        let close = if answer.closes { "connection: close\r\n" } else { "" };
        let passed_on = format!("HTTP/1.1 {} -\r\n{close}content-length: 0\r\n\r\n", answer.status);
        if client.write_all(passed_on.as_bytes()).is_err() || answer.closes {
            return;
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Reads one whole request; false where there is none.
fn next_request(client: &mut TcpStream, request: &mut Vec<u8>) -> bool {
    request.clear();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match client.read(&mut buffer) {
            Ok(bytes @ 1..) => request.extend_from_slice(&buffer[..bytes]),
            _ => return false,
        }
    }
    true
}

/// Ends a daemon that answers at `path`; every request that was sent until then must be answered.
fn stop_under_load(path: &str, instances: &str) {
    let routes = web::trigger("web", "\"127.0.0.1:0\"", "").replace("{op}", "{*op}").replace("\"{*op}\"", "\"{op}\"");
    let mut daemon = Daemon::start(&format!("{}{routes}", module("m", instances)));
    web::wait_until_up(&daemon, "web");
    let relay = Relay::start(web::address(&daemon, "web", 0));
    let load = Wrk::start(&format!("http://{}{path}", relay.address), 16);
    eventually("requests are answered", || relay.answered() > 200);
    pause_for(AWHILE);
    let before = relay.answered();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    // wrk still asks, now in vain.
    let refused = relay.not_taken();
    eventually("nobody takes connections", || relay.not_taken() > refused);
    let said = load.end();
    let counted = relay.counted.lock();
    assert_eq!(counted.failed, Vec::<String>::new());
    assert!(counted.answered >= before, "{counted:?}");
    assert_eq!((said.failed["status"], said.failed["timeout"]), (0, 0), "{said:?}");
}

#[test]
fn a_stop_under_load_answers_every_request_that_was_sent() {
    stop_under_load("/echo", "instances = \"per-worker\"");
}

#[test]
fn a_stop_under_load_waits_for_calls_that_take_their_time() {
    stop_under_load("/wait/25/echo", "instances = 8");
}
