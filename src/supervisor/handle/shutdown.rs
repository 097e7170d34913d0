//! The order of the end: triggers drain, calls finish, modules and bindings end in the reverse order of their start.

use std::time::Duration;

use tokio::time::timeout_at;

use super::{NoAnswer, SupervisorHandle};
use crate::{
    actors::How,
    supervisor::messages::{Backends, Drain, DrainTriggers, EndModule, EndWorkers, GetOrder, IsBusy, ToEnd},
};

/// How often a stopping daemon looks whether calls still run.
const DRAIN_CHECK: Duration = Duration::from_millis(10);

/// What each stage of a stop gets after the grace time, so that a hung worker or disk cannot hold the process.
const LAST_WAIT: Duration = Duration::from_secs(2);

impl SupervisorHandle {
    /// Stops the daemon's children: takes no new calls, finishes what was accepted, ends modules and bindings in the
    /// reverse order of their start. What still runs after `grace`, or after a module's own `shutdown`, is ended with an
    /// error to its caller. `why` is for the event.
    pub async fn shutdown(&self, grace: Duration, why: &str) {
        let deadline = tokio::time::Instant::now() + grace;
        self.drain_triggers(deadline).await;
        let drained = self.drain(deadline, why).await;
        if !drained {
            tracing::warn!(grace_ms = grace.as_millis(), "grace time is over, ending calls that still run");
        }
        // Nothing runs any more, or is ended now: this only waits for workers that hang, together and not in turn. What is
        // waited for besides is the last call of a module, which may take what is left of the grace time.
        let mut until = tokio::time::Instant::now() + LAST_WAIT;
        for ToEnd { module, name, calls } in self.ask(GetOrder).await.unwrap_or_default().into_iter().rev() {
            let began = tokio::time::Instant::now();
            let in_order = drained && began < deadline;
            if in_order && calls {
                let ended = self.end_module(module, How::WhenFree, deadline).await;
                until += began.elapsed();
                if ended {
                    continue;
                }
                tracing::warn!(module = &*name, "grace time is over, ending the module's last call");
            }
            let how = if in_order && !calls { How::WhenFree } else { How::Now };
            if !self.end_module(module, how, until).await {
                tracing::error!(module = &*name, "module did not end in time");
            }
        }
        self.end_bindings().await;
    }

    /// Ends a module and waits for that; `false` where it has not ended by then.
    async fn end_module(&self, module: usize, how: How, until: tokio::time::Instant) -> bool {
        match self.ask(EndModule { module, how }).await {
            Ok(Some(gone)) => timeout_at(until, gone).await.is_ok(),
            Ok(None) | Err(NoAnswer) => true,
        }
    }

    /// Lets triggers take nothing new and finish what they began, while everything that they call is still there.
    async fn drain_triggers(&self, deadline: tokio::time::Instant) {
        let endings = self.ask(DrainTriggers).await.unwrap_or_default();
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        futures_util::future::join_all(endings.into_iter().map(|ending| ending.end(left()))).await;
    }

    /// Waits until no call runs or waits; `false` when the deadline came first.
    async fn drain(&self, deadline: tokio::time::Instant, why: &str) -> bool {
        if self.ask(Drain { why: why.to_owned() }).await.is_err() {
            return false;
        }
        while self.ask(IsBusy).await.unwrap_or(false) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(DRAIN_CHECK).await;
        }
        true
    }

    /// Closes the backends one after the other, last started first, each within its `shutdown`.
    async fn end_bindings(&self) {
        let Ok(Backends(backends)) = self.ask(EndWorkers).await else { return };
        for backend in backends {
            backend.close().await;
        }
    }
}
