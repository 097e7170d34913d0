//! One guest call of a trigger, counted from its beginning to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Detail, TriggerFacts};
use crate::{
    actors::{CallReply, CallRequest, Modules, Origin, current_worker},
    bindings::Chain,
    config::Target,
    host,
};

/// Calls modules in the name of a trigger, and counts. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Caller {
    modules: Modules,
    origin: Origin,
    counts: Arc<Counts>,
}

/// Tallies of one trigger, of which a worker has its own: with more workers than these some share one. Twice as many are
/// 2 KiB more for each trigger.
const TALLIES: usize = 16;

#[derive(Debug, Default)]
struct Counts {
    tallies: [Tally; TALLIES],
    last_error: Mutex<Option<(String, SystemTime)>>,
}

/// What is counted on one worker. Each on lines of memory of its own: workers that count on the same line wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally {
    ok: AtomicU64,
    failed: AtomicU64,
    running: AtomicU64,
}

impl Counts {
    /// The tally of the thread that counts; those that are no workers share one.
    fn here(&self) -> &Tally {
        let [first, ..] = &self.tallies;
        current_worker().and_then(|worker| self.tallies.get(worker % TALLIES)).unwrap_or(first)
    }

    fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| of(tally).load(Relaxed)).sum()
    }
}

/// One call that waits or runs; dropping it says that it has ended, and that nobody waits for the answer.
struct Running<'c>(&'c Tally);

impl<'c> Running<'c> {
    fn begin(counts: &'c Counts) -> Self {
        let tally = counts.here();
        tally.running.fetch_add(1, Relaxed);
        Self(tally)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Caller {
    /// For the trigger of that name.
    #[must_use]
    pub fn new(trigger: &Arc<str>, modules: Modules) -> Self {
        Self { modules, origin: Origin::Trigger(Arc::clone(trigger)), counts: Arc::default() }
    }

    /// Calls whom a trigger's settings name.
    pub async fn call_target(&self, target: &Target, payload: Bytes) -> CallReply {
        self.call(&target.module, target.operation.clone(), payload, target.timeout, Chain::default()).await
    }

    /// Calls an operation of a module; `timeout` shortens the module's own.
    pub async fn call(
        &self,
        module: &str,
        operation: String,
        payload: Bytes,
        timeout: Option<Duration>,
        chain: Chain,
    ) -> CallReply {
        let reply = self.ask(module, operation, payload, timeout, chain).await;
        match &reply.outcome {
            Ok(_) => self.succeeded(),
            Err(failure) => self.failed(host::chain(failure)),
        }
        reply
    }

    /// Calls an operation likewise, and leaves it to whoever looks at the response to count the end: by
    /// [`Caller::succeeded`] or [`Caller::failed`].
    pub async fn ask(
        &self,
        module: &str,
        operation: String,
        payload: Bytes,
        timeout: Option<Duration>,
        chain: Chain,
    ) -> CallReply {
        let _running = Running::begin(&self.counts);
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let request = CallRequest { operation, payload, deadline, origin: self.origin.clone(), chain };
        self.modules.call(module, request).await
    }

    /// Counts a call that ended in a response that could be used.
    pub fn succeeded(&self) {
        self.counts.here().ok.fetch_add(1, Relaxed);
    }

    /// Counts a call that did not, and keeps why.
    pub fn failed(&self, why: String) {
        self.counts.here().failed.fetch_add(1, Relaxed);
        *self.counts.last_error.lock() = Some((why, SystemTime::now()));
    }

    /// What was counted, with what only the type has to say.
    #[must_use]
    pub fn facts(&self, detail: Detail) -> TriggerFacts {
        let (last_error, at) = self.counts.last_error.lock().clone().unzip();
        TriggerFacts {
            calls_ok: self.counts.sum(|tally| &tally.ok),
            calls_failed: self.counts.sum(|tally| &tally.failed),
            calls_running: self.counts.sum(|tally| &tally.running),
            last_error,
            last_error_at: at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|at| at.as_secs_f64()),
            detail,
        }
    }
}
