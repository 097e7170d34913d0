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

/// The times within which 500, 990 and 999 of a thousand were answered, and the longest.
pub(crate) fn percentiles(times: &[Duration]) -> [Duration; 4] {
    let mut times = times.to_vec();
    times.sort_unstable();
    [500, 990, 999, 1000].map(|share| times[(times.len() * share / 1000).min(times.len() - 1)])
}

/// Asks for the status again and again.
pub(crate) fn ask_status(client: Client) -> Watch<Duration> {
    Watch::start(Duration::from_millis(10), move || {
        let began = Instant::now();
        let answer = client.request("GET", "/v1/status", "", b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        began.elapsed()
    })
}

/// A server in this process that has nothing to do but to answer with a status as the daemon does: one thread takes the
/// connection, one asks the one that owns the status for a copy, and writes it as JSON. What that takes is the machine's
/// part, with its cores as they are shared in the very same seconds.
pub(crate) fn yardstick(socket: &Path, status: Status) -> Watch<Duration> {
    let listener = UnixListener::bind(socket).unwrap();
    let (questions, asked) = mpsc::channel::<mpsc::Sender<Status>>();
    let (connections, taken) = mpsc::channel::<UnixStream>();
    thread::spawn(move || asked.into_iter().for_each(|answer| answer.send(status.clone()).unwrap()));
    thread::spawn(move || listener.incoming().for_each(|stream| connections.send(stream.unwrap()).unwrap()));
    thread::spawn(move || {
        for mut stream in taken {
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            let (answer, answered) = mpsc::channel();
            questions.send(answer).unwrap();
            let body = serde_json::to_vec(&answered.recv().unwrap().summary()).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.into_bytes(), body].concat()).unwrap();
        }
    });
    ask_status(Client { socket: socket.to_owned() })
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

/// Follows the events from the first to the last, as a stream; a line that is no event says that some were lost.
pub(crate) fn follow(client: &Client) -> JoinHandle<Vec<Result<Event, String>>> {
    let mut stream = UnixStream::connect(&client.socket).unwrap();
    stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: wapcd\r\n\r\n").unwrap();
    thread::spawn(move || {
        // What does not begin a document is a chunk's size or empty.
        let lines = BufReader::new(stream).lines().map(Result::unwrap).filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))).collect()
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
