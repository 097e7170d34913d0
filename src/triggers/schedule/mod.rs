//! The `schedule` trigger: calls at certain times.
//!
//! ```text
//!   clocks ──▶ Rhythm (pure) ──▶ Due ──▶ Driver ── at most one call ──▶ Caller ──▶ the module
//!                                          │  ▲
//!                     Kept (state file) ◀──┘  └── Orders: other settings, drain
//! ```
//!
//! Each schedule is a task of its own on the threads of connections: a worker that stalls delays the calls that it was
//! given, and no other schedule's time.
//!
//! * `rhythm.rs`: what the clocks say, and what passed while nobody looked; `times.rs`: the times themselves, of which those
//!   of an expression are in `config::Calendar`.
//! * `driver.rs`: waits, calls, obeys; `seen.rs`: what it says about that; `kept.rs`: what outlives the daemon.

mod driver;
mod kept;
mod rhythm;
mod seen;
mod times;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle};

use self::{
    driver::{Driver, Orders},
    kept::Kept,
    seen::Seen,
};
use super::{
    Caller, Detail, Groundwork, RunError, RunningTrigger, TriggerContext, TriggerEnd, TriggerError, TriggerFacts,
};
use crate::config::{Overlap, ScheduleSettings, Trigger, TriggerSettings};

/// A schedule at work.
struct Schedule {
    caller: Caller,
    seen: Arc<Mutex<Seen>>,
    orders: watch::Sender<Orders>,
    driver: AbortHandle,
}

/// Starts it.
///
/// # Errors
/// Why it does not start.
pub(super) async fn start(
    config: Arc<Trigger>,
    context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    let Some(settings) = settings(&config) else {
        return Err(TriggerError::Settings(format!("it is no schedule but {}", config.settings.type_name())));
    };
    let kept = Kept::new(&config.name, &context.state_dir);
    let catch_up = settings.catch_up;
    let read = move || {
        let done = if catch_up { kept.read() } else { Ok(None) };
        (kept, done)
    };
    let (kept, done) =
        tokio::task::spawn_blocking(read).await.map_err(|_lost| TriggerError::Lost("reading its file"))?;
    let done = done.unwrap_or_else(|error| {
        let error = crate::host::chain(&error);
        tracing::error!(trigger = &*config.name, error, "what passed while the daemon was down is not known");
        None
    });
    let caller = Caller::new(&config.name, context.modules);
    let (orders, heard) = watch::channel(Orders { settings: Arc::clone(&settings), draining: false, asked: 0 });
    let seen = Arc::new(Mutex::new(Seen::new(Arc::clone(&settings))));
    let driver =
        Driver::new(Arc::clone(&config.name), caller.clone(), context.observer, heard, Arc::clone(&seen), kept);
    let io = context.io.handle().map_err(TriggerError::Thread)?;
    let driver = io.spawn(driver.drive(done)).abort_handle();
    Ok(Arc::new(Schedule { caller, seen, orders, driver }))
}

fn settings(config: &Trigger) -> Option<Arc<ScheduleSettings>> {
    match &config.settings {
        TriggerSettings::Schedule(settings) => Some(Arc::new(settings.clone())),
        TriggerSettings::Http(_) | TriggerSettings::Messages(_) | TriggerSettings::Files(_) => None,
    }
}

impl RunningTrigger for Schedule {
    fn adjust(&self, config: Arc<Trigger>, _: Groundwork) {
        // Another type is another trigger.
        if let Some(settings) = settings(&config) {
            self.orders.send_modify(|orders| orders.settings = settings);
        }
    }

    fn facts(&self) -> TriggerFacts {
        let detail: Detail = self.seen.lock().clone().detail();
        self.caller.facts(detail)
    }

    fn run_now(&self) -> Result<(), RunError> {
        let orders = self.orders.borrow().clone();
        if orders.settings.overlap == Overlap::Skip && self.facts().calls_running > 0 {
            return Err(RunError::Overlap);
        }
        self.orders.send_modify(|orders| orders.asked += 1);
        Ok(())
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        self.orders.send_modify(|orders| orders.draining = true);
        let orders = self.orders.clone();
        Box::pin(async move { orders.closed().await })
    }

    fn stop(&self) {
        self.orders.send_modify(|orders| orders.draining = true);
        self.driver.abort();
    }

    fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
        let orders = self.orders.clone();
        Box::pin(async move {
            orders.closed().await;
            if orders.borrow().draining {
                return std::future::pending().await;
            }
            TriggerEnd::Fault("what follows its times panicked".to_owned())
        })
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
