//! A call on the worker of its caller: begun where it is made, without a message, and most often ended there.
//!
//! ```text
//!  caller ── ModuleQueue::call ──▶ idle here? ── yes ──▶ one turn of a run ── over ──▶ the guest rests, the caller goes on
//!                                      └ no ──▶ GuestCall        └ waits, or there is more to do ──▶ GoOn ──▶ GuestActor
//! ```
//!
//! The instance is its actor's all the same. A run begun here has one turn of one call: it ends in that, or it is laid down
//! where its actor finds it, and goes on there. Nothing is awaited in between, so no message to the actor can come too late,
//! and a caller that goes away takes nothing with it.

use std::{
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;

use super::{
    ExitReason, ExitReport, GoOn, Guest, QueuedCall,
    desk::Desk,
    inner::Idle,
    run::{RunEnd, Seat, Work, run},
};

/// Calls that a run has here before the actor takes it over: the caller's own. What waits behind it is not its caller's to
/// wait for.
const ONE_CALL: u32 = 1;

/// What lies on an instance's desk between two runs, or while a run passes from a caller to the actor.
pub(super) enum Resting {
    /// The guest, ready for a call.
    Guest(Box<Guest>, Arc<Seat>),
    /// A run that has begun.
    Run(BoxFuture<'static, RunEnd>),
}

impl Desk {
    /// Lays the guest down.
    pub(super) fn rest(&self, guest: Box<Guest>, seat: &Arc<Seat>) {
        *self.resting.lock() = Some(Resting::Guest(guest, Arc::clone(seat)));
    }

    /// Takes the guest, if nothing runs.
    pub(super) fn guest(&self) -> Option<(Box<Guest>, Arc<Seat>)> {
        let mut resting = self.resting.lock();
        match resting.take()? {
            Resting::Guest(guest, seat) => Some((guest, seat)),
            run @ Resting::Run(_) => {
                *resting = Some(run);
                None
            }
        }
    }

    /// Takes a run that waits for the actor.
    pub(super) fn begun(&self) -> Option<BoxFuture<'static, RunEnd>> {
        let mut resting = self.resting.lock();
        match resting.take()? {
            Resting::Run(run) => Some(run),
            guest @ Resting::Guest(..) => {
                *resting = Some(guest);
                None
            }
        }
    }

    /// Drops whatever lies here.
    pub(super) fn clear(&self) {
        let resting = self.resting.lock().take();
        drop(resting);
    }
}

/// Gives the call to an idle instance of this very worker; hands it back where that is not to be had.
#[expect(clippy::result_large_err, reason = "a call that is handed back is on its way to where it came from")]
pub(super) fn run_here(idle: &Idle, call: QueuedCall) -> Result<(), QueuedCall> {
    let Some((guest, seat)) = idle.desk.guest() else { return Err(call) };
    let mut begun = Box::pin(run(guest, Work::Call(call), Arc::clone(&seat), idle.addr.clone(), ONE_CALL));
    // Nobody is woken: what is not over is looked at again by the actor.
    let mut cx = Context::from_waker(Waker::noop());
    let run: BoxFuture<'static, RunEnd> = match catch_unwind(AssertUnwindSafe(|| begun.as_mut().poll(&mut cx))) {
        Ok(Poll::Ready(RunEnd::Free(guest))) if !seat.is_wanted_elsewhere() => {
            idle.desk.rest(guest, &seat);
            return Ok(());
        }
        Ok(Poll::Ready(end)) => Box::pin(ready(end)),
        Ok(Poll::Pending) => begun,
        Err(_panic) => {
            let report = ExitReport::new(ExitReason::Panicked, vec!["code of the actor panicked".to_owned()]);
            Box::pin(ready(RunEnd::Exited(report)))
        }
    };
    *idle.desk.resting.lock() = Some(Resting::Run(run));
    // One for each call at most, and past the bound of the mailbox: without it the instance would stand still for ever.
    idle.addr.do_send(GoOn);
    Ok(())
}
