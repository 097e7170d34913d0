//! Who watches while the callers call: how quickly the control socket answers, what the process needs, and every event.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use wapcd::supervisor::{events::Event, status::Status};

use crate::{client::Client, harness::pause_for};

/// Something that is repeated on a thread of its own until it is ended.
pub(crate) struct Watch<T> {
    thread: JoinHandle<Vec<T>>,
    over: Arc<AtomicBool>,
}

impl<T: Send + 'static> Watch<T> {
    pub(crate) fn start(every: Duration, mut look: impl FnMut() -> T + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !ended.load(SeqCst) {
                seen.push(look());
                pause_for(every);
            }
            seen
        });
        Self { thread, over }
    }

    pub(crate) fn end(self) -> Vec<T> {
        self.over.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

/// One question and how long its answer took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

impl Probe {
    fn of(ask: impl FnOnce()) -> Self {
        let began = Instant::now();
        ask();
        Self { began, took: began.elapsed() }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.began < other.began + other.took && other.began < self.began + self.took
    }

    /// What of its time the machine cannot be blamed for: all but what the yardstick took in the meantime.
    pub(crate) fn own(&self, yardstick: &[Self]) -> Duration {
        let meanwhile = yardstick.iter().filter(|other| self.overlaps(other)).map(|other| other.took).max();
        self.took.saturating_sub(meanwhile.unwrap_or_default())
    }
}

/// The times at which so many of a hundred were answered, and the longest.
pub(crate) fn percentiles(probes: &[Probe]) -> [Duration; 3] {
    let mut times: Vec<Duration> = probes.iter().map(|probe| probe.took).collect();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    [at(50), at(99), at(100)]
}

/// Asks for the status.
pub(crate) fn ask_status(client: &Client) -> Probe {
    Probe::of(|| {
        let answer = client.request("GET", "/v1/status", "", b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    })
}

/// A server that does nothing but what every server must: it takes a connection, hands the request to another thread and
/// writes an answer as long as a status. What it takes is what the machine takes, with its cores as they are shared.
pub(crate) fn yardstick(socket: &Path, answer_bytes: usize) -> Watch<Probe> {
    let listener = UnixListener::bind(socket).unwrap();
    let (requests, work) = mpsc::channel::<mpsc::Sender<Vec<u8>>>();
    thread::spawn(move || {
        for reply in work {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {answer_bytes}\r\n\r\n");
            reply.send([head.into_bytes(), vec![b' '; answer_bytes]].concat()).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (reply, answer) = mpsc::channel();
            let read = stream.read(&mut [0; 1024]).unwrap();
            requests.send(reply).unwrap();
            assert!(read > 0);
            stream.write_all(&answer.recv().unwrap()).unwrap();
        }
    });
    let client = Client { socket: socket.to_owned() };
    Watch::start(Duration::from_millis(1), move || Probe::of(|| drop(client.request("GET", "/", "", b"").unwrap())))
}

/// What the process needs at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) at: Instant,
    /// Resident memory in KiB.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

/// Looks at a process.
pub(crate) fn needs(pid: u32) -> Needs {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |key: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    Needs { at: Instant::now(), memory: number("VmRSS:"), threads: number("Threads:"), descriptors }
}

/// The median of some numbers.
pub(crate) fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// Follows the events from the first to the last, as a stream.
pub(crate) fn follow(client: &Client) -> JoinHandle<Vec<Event>> {
    let mut stream = UnixStream::connect(&client.socket).unwrap();
    stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: wapcd\r\n\r\n").unwrap();
    thread::spawn(move || {
        // A line is a document, a chunk's size or empty; one that says that events were lost is no event.
        let lines = BufReader::new(stream).lines().map(Result::unwrap).filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    })
}

/// Starts what an exit stopped, as an operator would who looks every second.
pub(crate) fn operator(client: &Client, names: &'static [&'static str]) -> Watch<()> {
    let client = client.clone();
    Watch::start(Duration::from_secs(1), move || {
        for name in names {
            let answer = client.request("POST", &format!("/v1/modules/{name}/start"), "", b"").unwrap();
            assert_eq!(answer.status, 200, "start {name}: {}", answer.text());
        }
    })
}

/// The status, once nothing waits and nothing runs any more.
pub(crate) fn settled(status: impl Fn() -> Status) -> Status {
    let mut last = None;
    crate::harness::eventually("all calls have ended", || {
        let now = status();
        let ended = now.modules.iter().all(|m| (m.queued, m.queued_bytes, m.in_flight) == (0, 0, 0));
        last = Some(now);
        ended
    });
    last.unwrap()
}
