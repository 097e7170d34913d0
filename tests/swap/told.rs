//! What the daemon tells while it runs: every event as it comes, so that a test can wait for one and count them after.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use wapcd::supervisor::events::{Event, Subject, What};

use crate::{
    client::Client,
    harness::{eventually, pause_for},
};

/// The clock of the events, read here.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// All events of a daemon so far. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    client: Client,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Told {
    /// Follows a daemon from its first event on, until it ends.
    pub(crate) fn follow(client: &Client) -> Self {
        let told = Self { client: client.clone(), events: Arc::default() };
        let mut stream = UnixStream::connect(&client.socket).unwrap();
        stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: wapcd\r\n\r\n").unwrap();
        let events = Arc::clone(&told.events);
        thread::spawn(move || {
            // What does not begin a document is a chunk's size or empty; a daemon that is killed cuts the last line off.
            for line in BufReader::new(stream).lines().map_while(Result::ok).filter(|line| line.starts_with('{')) {
                let Ok(event) = serde_json::from_str(&line) else { break };
                events.lock().push(event);
            }
        });
        // Who connects while the daemon is busy may be told late what has been.
        eventually("the first event comes", || !told.events.lock().is_empty());
        told
    }

    /// Waits for what a daemon that lives has recorded until now: it comes a moment after whatever it tells of.
    fn catch_up(&self) {
        let seen = || self.events.lock().last().map_or(0, |event| event.seq);
        let Ok(answer) = self.client.request("GET", &format!("/v1/events?after={}", seen()), "", b"") else { return };
        let recorded: Vec<Event> = serde_json::from_slice(&answer.body).unwrap();
        let last = recorded.last().map_or(0, |event| event.seq);
        eventually(&format!("event {last} comes"), || seen() >= last);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.catch_up();
        self.events.lock().len()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Event> {
        self.after(0)
    }

    /// Those that came after the first so many.
    pub(crate) fn after(&self, count: usize) -> Vec<Event> {
        self.catch_up();
        self.events.lock()[count..].to_vec()
    }

    /// Those about a module, after the first so many.
    pub(crate) fn of(&self, module: &str, after: usize) -> Vec<Event> {
        let about = |event: &Event| matches!(&event.subject, Subject::Module(name) if &**name == module);
        self.after(after).into_iter().filter(about).collect()
    }

    /// Waits for an event among those after the first so many.
    pub(crate) fn wait(&self, after: usize, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut found = None;
        let look = || {
            found = self.events.lock()[after..].iter().find(|event| wanted(event)).cloned();
            found.is_some()
        };
        eventually(&format!("an event: {what}"), look);
        found.unwrap()
    }

    /// Waits until a module runs the code of this hash.
    pub(crate) fn wait_swapped(&self, after: usize, module: &str, sha256: &str) -> Event {
        let about = |event: &Event| matches!(&event.subject, Subject::Module(name) if &**name == module);
        self.wait(after, &format!("{module} runs {sha256}"), |event| {
            about(event) && matches!(&event.what, What::Swapped { sha256: new, .. } if new == sha256)
        })
    }

    /// The swaps of a module after the first so many events: when, and to which code.
    pub(crate) fn swaps(&self, after: usize, module: &str) -> Vec<(f64, String)> {
        let swap = |event: Event| match event.what {
            What::Swapped { sha256, .. } => Some((event.at, sha256)),
            _ => None,
        };
        self.of(module, after).into_iter().filter_map(swap).collect()
    }

    /// Why swaps of a module failed after the first so many events.
    pub(crate) fn failures(&self, after: usize, module: &str) -> Vec<String> {
        let failure = |event: Event| match event.what {
            What::SwapFailed { why, .. } => Some(why),
            _ => None,
        };
        self.of(module, after).into_iter().filter_map(failure).collect()
    }

    /// Waits until nothing more is told for so long.
    pub(crate) fn wait_for_quiet(&self, time: Duration) {
        let mut before = usize::MAX;
        eventually("nothing more happens", || {
            let count = self.events.lock().len();
            let quiet = count == before;
            before = count;
            if !quiet {
                pause_for(time);
            }
            quiet
        });
    }
}
