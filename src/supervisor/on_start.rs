//! `on_start`: the call that a module's first guest must answer before the module runs, and its repetitions. Runs on the
//! guest's worker, and tells the supervisor how far it got.

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler, Message, Recipient};

use super::{
    events::{Subject, What},
    instance::{Recipe, begin},
    tree::Supervisor,
};
use crate::{
    actors::{ExitReason, ExitReport, Guest, Origin, causes_of},
    config::OnStart,
    host::CallError,
};

/// Whom a guest that opens its module tells of each attempt.
pub(super) struct Opening {
    pub(super) module: usize,
    pub(super) told: Recipient<Attempted>,
}

/// An attempt of `on_start` begins or has failed with another to follow. Sent by the task that starts the guest; nobody
/// answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Attempted {
    module: usize,
    instance: u64,
    operation: String,
    attempt: u32,
    of: u32,
    failed: Option<Failed>,
}

/// An attempt that failed.
#[derive(Debug)]
struct Failed {
    call: u64,
    causes: Vec<String>,
    /// When the next begins.
    retry: Duration,
}

/// How far the call has got that a module waits for.
#[derive(Debug)]
pub(super) struct Progress {
    /// Id of the instance that is being started, or that takes another guest.
    pub(super) instance: u64,
    operation: String,
    attempt: u32,
    of: u32,
    last_error: Option<String>,
}

impl Progress {
    /// The same in words.
    pub(super) fn describe(&self) -> String {
        let Self { operation, attempt, of, last_error, .. } = self;
        let attempts = if *of == 1 { String::new() } else { format!(", attempt {attempt} of {of}") };
        let error = last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("on_start `{operation}`{attempts}{error}")
    }
}

/// Starts a guest and calls its `on_start` until that succeeds. An error leaves the guest for the next attempt; one that
/// ended its guest takes a fresh one.
pub(super) async fn open(
    recipe: &Recipe,
    on_start: &OnStart,
    opening: &Opening,
    instance: u64,
) -> Result<Guest, ExitReport> {
    let timeout = on_start.timeout.unwrap_or(recipe.config.limits.call_timeout);
    let mut kept = None;
    let mut attempt = 1;
    loop {
        let mut guest = match kept.take() {
            Some(guest) => guest,
            None => begin(recipe, instance).await?,
        };
        // A few for each start: not to be lost to a full mailbox.
        let tell = |failed| {
            let (module, operation, of) = (opening.module, on_start.operation.clone(), on_start.attempts);
            opening.told.do_send(Attempted { module, instance, operation, attempt, of, failed });
        };
        tell(None);
        let payload = on_start.payload.clone().into();
        let (call, outcome) = guest.call_own(&on_start.operation, payload, timeout).await;
        let Err(error) = outcome else { return Ok(guest) };
        if attempt >= on_start.attempts {
            return Err(failed_start(on_start, call, &error));
        }
        tell(Some(Failed { call, causes: causes_of(&error), retry: on_start.retry_delay }));
        // Its memory is free before the next guest is made.
        kept = (!error.ends_instance()).then_some(guest);
        tokio::time::sleep(on_start.retry_delay).await;
        attempt += 1;
    }
}

/// The report of a start whose last attempt failed.
fn failed_start(on_start: &OnStart, call: u64, error: &CallError) -> ExitReport {
    let OnStart { operation, attempts, .. } = on_start;
    let what = match attempts {
        1 => format!("on_start `{operation}` failed"),
        _ => format!("on_start `{operation}` failed in each of {attempts} attempts, the last time with"),
    };
    let backtrace = ExitReport::of_call(error).map(|report| report.backtrace).unwrap_or_default();
    ExitReport {
        backtrace,
        call: Some((operation.clone(), call, Origin::Start)),
        ..ExitReport::new(ExitReason::StartFailed, std::iter::once(what).chain(causes_of(error)).collect())
    }
}

impl Handler<Attempted> for Supervisor {
    type Result = ();

    fn handle(&mut self, attempted: Attempted, _: &mut Context<Self>) {
        let Attempted { module, instance, operation, attempt, of, failed } = attempted;
        let Some(child) = self.modules.get_mut(module) else { return };
        let before = child.progress.take().filter(|progress| progress.instance == instance);
        let last_error = match &failed {
            Some(failed) => Some(failed.causes.join(": ")),
            None => before.and_then(|progress| progress.last_error),
        };
        if let (Some(Failed { call, retry, .. }), Some(why)) = (&failed, &last_error) {
            let (operation, why, retry_s) = (operation.clone(), why.clone(), retry.as_secs_f64());
            let what = What::OnStartFailed { instance, operation, call: *call, attempt, of, why, retry_s };
            self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        }
        child.progress = Some(Progress { instance, operation, attempt, of, last_error });
    }
}
