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
use tokio::sync::Notify;

use super::{Detail, TriggerFacts};
use crate::{
    actors::{CallReply, CallRequest, Modules, Origin},
    bindings::Chain,
    config::Target,
    host::chain,
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
    /// Told when nothing runs any more.
    idle: Notify,
    last_error: Mutex<Option<(String, SystemTime)>>,
}

/// One call that waits or runs; dropping it says that it has ended, and that nobody waits for the answer.
#[derive(Debug)]
pub struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Caller {
    /// For the trigger of that name.
    #[must_use]
    pub fn new(trigger: &Arc<str>, modules: Modules) -> Self {
        Self { modules, origin: Origin::Trigger(Arc::clone(trigger)), counts: Arc::default() }
    }

    /// Counts something that runs until it is dropped, so that a drain waits for it.
    #[must_use]
    pub fn begin(&self) -> Running {
        self.counts.running.fetch_add(1, Relaxed);
        Running(Arc::clone(&self.counts))
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
        let running = self.begin();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let request = CallRequest { operation, payload, deadline, origin: self.origin.clone(), chain };
        let reply = self.modules.call(module, request).await;
        self.count(&reply);
        drop(running);
        reply
    }

    fn count(&self, reply: &CallReply) {
        match &reply.outcome {
            Ok(_) => {
                self.counts.ok.fetch_add(1, Relaxed);
            }
            Err(failure) => {
                self.counts.failed.fetch_add(1, Relaxed);
                *self.counts.last_error.lock() = Some((chain(failure), SystemTime::now()));
            }
        }
    }

    /// Counts a response that could not be used as a call that failed.
    pub fn response_refused(&self, why: String) {
        self.counts.ok.fetch_sub(1, Relaxed);
        self.counts.failed.fetch_add(1, Relaxed);
        *self.counts.last_error.lock() = Some((why, SystemTime::now()));
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        loop {
            let idle = self.counts.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.counts.running.load(Relaxed) == 0 {
                return;
            }
            idle.await;
        }
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
