//! Clients that call without a pause, and remember each answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{client::Client, harness::pause_for, told::now};

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) module: &'static str,
    /// Just before the call and just after its answer, in seconds since the Unix epoch.
    pub(crate) began: f64,
    pub(crate) ended: f64,
    pub(crate) took: Duration,
    pub(crate) status: u16,
    pub(crate) generation: Option<u64>,
    pub(crate) instance: Option<u64>,
    pub(crate) text: String,
}

impl Answer {
    /// The number of the build and its count.
    pub(crate) fn both(&self) -> (&str, u64) {
        let (build, count) = self.text.split_once(' ').unwrap_or((&self.text, "0"));
        (build, count.parse().unwrap())
    }
}

/// Stands for the status of a call that had no answer.
const LOST: u16 = 0;

/// The clients at work.
pub(crate) struct Callers {
    threads: Vec<JoinHandle<Vec<Answer>>>,
    over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
}

impl Callers {
    /// Lets so many clients call an operation of these modules in turn.
    pub(crate) fn start(
        client: &Client,
        count: usize,
        modules: &'static [&'static str],
        operation: &'static str,
    ) -> Self {
        let (over, made) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let start = |n: usize| {
            let (client, over, made) = (client.clone(), Arc::clone(&over), Arc::clone(&made));
            thread::spawn(move || {
                let mut answers = Vec::new();
                for module in modules.iter().cycle().skip(n) {
                    if over.load(SeqCst) {
                        break;
                    }
                    answers.push(call(&client, module, operation));
                    made.fetch_add(1, SeqCst);
                    // A daemon that is gone answers nobody any more; this answer says so.
                    if answers.last().is_some_and(|answer| answer.status == LOST) {
                        break;
                    }
                }
                answers
            })
        };
        let threads = (0..count).map(start).collect();
        Self { threads, over, made }
    }

    /// How many calls have been answered.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(SeqCst)
    }

    /// Lets them call for so long.
    pub(crate) fn end_after(self, time: Duration) -> Vec<Answer> {
        pause_for(time);
        self.end()
    }

    /// Waits for the last answers.
    pub(crate) fn end(self) -> Vec<Answer> {
        self.over.store(true, SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Makes one call.
pub(crate) fn call(client: &Client, module: &'static str, operation: &str) -> Answer {
    let (began, clock) = (now(), Instant::now());
    let answered = client.try_call(module, operation, b"");
    let (took, ended) = (clock.elapsed(), now());
    let lost =
        Answer { module, began, ended, took, status: LOST, generation: None, instance: None, text: String::new() };
    match answered {
        Ok(answer) => Answer {
            status: answer.status,
            generation: answer.header("wapcd-generation").map(|value| value.parse().unwrap()),
            instance: answer.instance(),
            text: answer.text(),
            ..lost
        },
        Err(error) => Answer { text: error.to_string(), ..lost },
    }
}
