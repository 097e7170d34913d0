//! Clients that speak no HTTP, or almost, by the thousand: each is refused and ends, others are served, nothing stays behind,
//! and what follows something broken is never taken for a request.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    broken::{Case, Generator, Outcome},
    harness::{Daemon, Home, eventually, module, pause_for},
    http_server::{descriptors, memory},
    http_tls,
    web::{self, ECHO, ask, connect, facts, rest},
};

/// Short, so that whoever hangs is gone soon; long enough for a good client on a busy machine.
const LIMITS: &str = "limits = { head = \"4 KiB\", body = \"16 KiB\", head_timeout = \"1s\", body_timeout = \"1s\", \
    write_timeout = \"1s\", keep_alive = \"5s\" }";

/// Malformed requests, all told.
const REQUESTS: usize = 10_000;

/// Those of them that come first, so that whatever is made once is there when memory is looked at.
const FIRST: usize = 2_000;

/// Clients at once.
const CLIENTS: usize = 24;

/// How long a good client may wait on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A trigger with a plain listener and one with TLS.
fn start() -> (Daemon, [SocketAddr; 2]) {
    let listen = format!("[\"127.0.0.1:0\", {}]", http_tls::TLS);
    let menu = module("m", "instances = \"per-worker\"");
    let home = Home::new(&format!("{menu}{}", web::trigger("web", &listen, LIMITS)));
    let pair = http_tls::pair();
    home.write("cert.pem", &pair.cert);
    home.write("key.pem", &pair.key);
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let addresses = [0, 1].map(|listener| web::address(&daemon, "web", listener));
    (daemon, addresses)
}

/// Somebody who asks as one should.
struct Good {
    end: Arc<AtomicBool>,
    client: JoinHandle<(usize, Duration)>,
}

impl Good {
    fn start(address: SocketAddr) -> Self {
        let end = Arc::<AtomicBool>::default();
        let until = Arc::clone(&end);
        let client = std::thread::spawn(move || {
            let (mut answered, mut longest) = (0, Duration::ZERO);
            while !until.load(Relaxed) {
                let start = Instant::now();
                let mut stream = connect(address).unwrap();
                for _ in 0..3 {
                    let answer = ask(&mut stream, ECHO).unwrap();
                    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
                    answered += 1;
                }
                longest = longest.max(start.elapsed());
                pause_for(Duration::from_millis(5));
            }
            (answered, longest)
        });
        Self { end, client }
    }

    /// How many answers it got.
    fn end(self) -> usize {
        self.end.store(true, Relaxed);
        let (answered, longest) = self.client.join().unwrap();
        assert!(longest < PATIENCE, "a good client waited {longest:?}");
        answered
    }
}

/// Sends what is broken, in a piece or two, and reads whatever comes until the connection ends.
fn outcome(addresses: [SocketAddr; 2], case: &Case) -> String {
    let mut stream = connect(addresses[usize::from(case.secure)]).unwrap();
    let (first, second) = case.bytes.split_at(case.split);
    // It may have been refused before all was sent.
    stream.write_all(first).and_then(|()| stream.write_all(second)).unwrap_or_default();
    if case.hang_up {
        stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
    }
    rest(&mut stream)
}

/// What is wrong about what came back.
fn complaint(case: &Case, text: &str) -> Option<&'static str> {
    let statuses: Vec<&str> = text
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, mark)| text.get(at + mark.len()..at + mark.len() + 3))
        .collect();
    let finals: Vec<&str> = statuses.into_iter().filter(|status| *status != "100").collect();
    match &case.outcome {
        _ if text.contains("smuggled") => Some("what followed was answered"),
        Outcome::Ends => None,
        Outcome::Refused(_) if finals.len() > 1 => Some("there are several answers"),
        Outcome::Refused(status) => (finals.first() != Some(status)).then_some("it is not refused as it should be"),
        Outcome::First(status) => (finals.first() != Some(status)).then_some("the first answer is another"),
    }
}

fn wave(addresses: [SocketAddr; 2], seed: u64, count: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mine = std::iter::repeat_with(|| next.fetch_add(1, Relaxed)).take_while(|index| *index < count);
                for index in mine {
                    let case = Generator::new(seed, index).case();
                    let text = outcome(addresses, &case);
                    if let Some(complaint) = complaint(&case, &text) {
                        panic!("{complaint}: seed {seed}, case {index}, {}: {text:?}", case.bytes.escape_ascii());
                    }
                }
            });
        }
    });
}

fn calls_running(daemon: &Daemon) -> u64 {
    web::status(daemon, "web").unwrap().facts.unwrap().calls_running
}

#[test]
fn ten_thousand_malformed_requests_are_refused_and_leave_nothing_behind() {
    let (daemon, addresses) = start();
    let good = Good::start(addresses[0]);
    wave(addresses, 1, FIRST);
    eventually("connections are gone", || facts(&daemon, "web").connections <= 1);
    let (before, kept) = (descriptors(&daemon), memory(&daemon));
    wave(addresses, 2, REQUESTS - FIRST);
    eventually("connections are gone", || facts(&daemon, "web").connections <= 1);
    assert!(good.end() > 30);
    // Most were understood well enough to be told what is wrong.
    let told = facts(&daemon, "web").responses[3];
    assert!(told > REQUESTS as u64 / 2, "{told} of {REQUESTS}");
    eventually("descriptors are as before", || descriptors(&daemon) <= before);
    let grown = memory(&daemon).saturating_sub(kept);
    assert!(grown < 8 * 1024, "{grown} KiB more than before");
    assert_eq!((facts(&daemon, "web").connections, calls_running(&daemon)), (0, 0));
}

/// Opens connections that begin with these bytes.
fn begin(address: SocketAddr, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(address).unwrap();
        stream.write_all(first).unwrap();
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn slow_silent_and_deaf_clients_hold_up_nobody_and_are_cut() {
    const EACH: usize = 40;
    let (daemon, [plain, secure]) = start();
    let before = descriptors(&daemon);
    let good = Good::start(plain);
    let head = b"POST /echo HTTP/1.1\r\nhost: a\r\nx: ";
    let body = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\n";
    let chunk = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n";
    // Each byte that comes promises another.
    let mut slow: Vec<TcpStream> =
        [&head[..], body, chunk].into_iter().flat_map(|first| begin(plain, EACH, first)).collect();
    slow.extend(begin(secure, EACH, b"\x16\x03\x01\x40\x00\x01"));
    let silent = [begin(plain, EACH, b""), begin(secure, EACH, b"")];
    let half_closed = begin(plain, EACH, body);
    half_closed.iter().for_each(|stream| stream.shutdown(std::net::Shutdown::Write).unwrap());
    // Much more is answered than the kernel keeps for those that do not read.
    let mut deaf = begin(plain, EACH, b"");
    let request = b"POST /answer HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n900000".repeat(20);
    deaf.iter_mut().for_each(|stream| stream.write_all(&request).unwrap_or_default());
    let start = Instant::now();
    while facts(&daemon, "web").connections > 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", facts(&daemon, "web"));
        slow.retain_mut(|stream| stream.write_all(b"1").is_ok());
        pause_for(Duration::from_millis(50));
    }
    assert!(good.end() > 30);
    eventually("descriptors are as before", || descriptors(&daemon) <= before);
    eventually("no call runs", || calls_running(&daemon) == 0);
    drop((slow, silent, half_closed, deaf));
}
