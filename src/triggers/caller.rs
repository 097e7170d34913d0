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
    actors::{CallReply, CallRequest, Modules, Origin},
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

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    running: AtomicU64,
    last_error: Mutex<Option<(String, SystemTime)>>,
}

/// One call that waits or runs; dropping it says that it has ended, and that nobody waits for the answer.
struct Running<'c>(&'c Counts);

impl<'c> Running<'c> {
    fn begin(counts: &'c Counts) -> Self {
        counts.running.fetch_add(1, Relaxed);
        Self(counts)
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
        self.counts.ok.fetch_add(1, Relaxed);
    }

    /// Counts a call that did not, and keeps why.
    pub fn failed(&self, why: String) {
        self.counts.failed.fetch_add(1, Relaxed);
        *self.counts.last_error.lock() = Some((why, SystemTime::now()));
    }

    /// What was counted, with what only the type has to say.
    #[must_use]
    pub fn facts(&self, detail: Detail) -> TriggerFacts {
        let (last_error, at) = self.counts.last_error.lock().clone().unzip();
        TriggerFacts {
            calls_ok: self.counts.ok.load(Relaxed),
            calls_failed: self.counts.failed.load(Relaxed),
            calls_running: self.counts.running.load(Relaxed),
            last_error,
            last_error_at: at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|at| at.as_secs_f64()),
            detail,
        }
    }
}
