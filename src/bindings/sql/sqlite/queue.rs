//! The bounded queue between the workers and the threads of the database.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    bindings::sql::{command::Command, store::Awaited},
    host::{HostCallError, HostErrorKind},
};

/// Commands that may wait. At a millisecond each they are done within a second; twice as many would keep guests waiting
/// that have long given up, and half as many refuse bursts that any disk could take.
const MAX_WAITING: usize = 1024;

/// Bytes of statements and parameters that may wait, so that large values cannot fill the memory: 16 of 4 MiB, the default
/// limit of a request. A larger one is taken while nothing else waits.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// A command that waits, or is being done.
pub(super) struct Job {
    /// What to do.
    pub(super) command: Command,
    /// Who is answered.
    pub(super) caller: Awaited,
    /// When the caller's time is over.
    pub(super) deadline: Instant,
}

/// A queue that several threads may serve, and in which modules take turns: one that has much to do holds up itself.
pub(super) struct Queue {
    name: Arc<str>,
    what: &'static str,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Modules whose jobs wait, in the order of their turns; none is without.
    modules: VecDeque<(Arc<str>, VecDeque<Job>)>,
    waiting: usize,
    bytes: usize,
    ended: bool,
}

impl State {
    fn add(&mut self, job: Job) {
        self.waiting += 1;
        match self.modules.iter_mut().find(|(module, _)| *module == job.command.module) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.modules.push_back((Arc::clone(&job.command.module), VecDeque::from([job]))),
        }
    }

    /// The next job of the module whose turn it is, which then waits for the others' turns.
    fn take(&mut self) -> Option<Job> {
        let (module, mut jobs) = self.modules.pop_front()?;
        let job = jobs.pop_front();
        self.waiting -= usize::from(job.is_some());
        if !jobs.is_empty() {
            self.modules.push_back((module, jobs));
        }
        job
    }
}

impl Queue {
    /// A queue of that binding; `what` is in it.
    pub(super) fn new(name: Arc<str>, what: &'static str) -> Self {
        Self { name, what, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Puts a job into the queue.
    ///
    /// # Errors
    /// The job, and why it is not taken.
    pub(super) fn push(&self, job: Job) -> Result<(), (Box<Job>, HostCallError)> {
        let size = job.command.size();
        let mut state = self.state.lock();
        let (waiting, bytes) = (state.waiting, state.bytes);
        let refused = if state.ended {
            Some("was stopped".to_owned())
        } else if waiting >= MAX_WAITING {
            Some(format!("is busy: {waiting} {} wait", self.what))
        } else if waiting > 0 && bytes.saturating_add(size) > MAX_WAITING_BYTES {
            Some(format!("is busy: {bytes} bytes of {} wait", self.what))
        } else {
            None
        };
        if let Some(why) = refused {
            let text = format!("binding `{}` {why}", self.name);
            return Err((Box::new(job), HostCallError::new(HostErrorKind::Unavailable, text)));
        }
        state.bytes += size;
        state.add(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job that somebody still waits for; `None` after the end, when all that was taken is done.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            let Some(job) = state.take() else {
                if state.ended {
                    return None;
                }
                self.changed.wait(&mut state);
                continue;
            };
            state.bytes -= job.command.size();
            if job.caller.is_left() {
                continue;
            }
            if job.deadline > Instant::now() {
                return Some(job);
            }
            let why = format!("binding `{}` did not reach the request before the deadline", self.name);
            job.caller.send(Err(HostCallError::new(HostErrorKind::TimedOut, why)));
        }
    }

    /// Takes nothing more; what waits is still done.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}
