//! Calls that the daemon makes itself, for which nobody waits in the queue: the one before a guest serves, and the last
//! one before an instance leaves.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix::{Message, Recipient};
use bytes::Bytes;
use futures_util::FutureExt;

use super::{Guest, accept::next_call_id, causes_of};
use crate::{
    bindings::Chain,
    host::{CallError, GuestExit, panic_message},
};

/// Tells an instance what to call when it leaves in order, after everything else it has to do. Sent by the supervisor
/// before the [`Leave`](super::Leave) of the last instance of a module.
///
/// It is answered by [`FinalCallEnded`], or by the [`InstanceExited`](super::InstanceExited) of an instance that ends
/// before or in the call.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FinalCall {
    /// Index of the module.
    pub module: usize,
    /// Id of the instance.
    pub instance: u64,
    /// The guest's operation.
    pub operation: String,
    /// Its payload.
    pub payload: Bytes,
    /// How long the call may take.
    pub timeout: Duration,
    /// Who learns of the outcome.
    pub reply: Recipient<FinalCallEnded>,
}

/// How the last call of an instance ended. Nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FinalCallEnded {
    /// Index of the module.
    pub module: usize,
    /// Id of the instance.
    pub instance: u64,
    /// Id of the call.
    pub call: u64,
    /// The guest's error, or how the guest ended: an error and its causes, outermost first.
    pub outcome: Result<(), Vec<String>>,
}

impl Guest {
    /// Calls an operation that no caller waits for, host calls included. Also returns the id of the call.
    ///
    /// # Errors
    /// As [`WapcHostAsync::call_until`](crate::host::WapcHostAsync::call_until); a panic of the host is an exit of the guest.
    pub async fn call_own(
        &mut self,
        operation: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> (u64, Result<Bytes, CallError>) {
        let (id, now) = (next_call_id(), Instant::now());
        self.links.begin(id, now + timeout, &Chain::default());
        let work = self.host.call_until(operation, payload, now, now + timeout);
        let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
            let message = panic_message(&*panic);
            tracing::error!(call = id, operation, panic = message, "host panicked in a call of the daemon");
            Err(CallError::Exit(GuestExit::HostPanicked(message)))
        });
        (id, outcome)
    }
}

/// Makes the last call of an instance, and tells who asked for it.
pub(super) async fn run_final(mut guest: Box<Guest>, call: FinalCall) {
    let FinalCall { module, instance, operation, payload, timeout, reply } = call;
    let (call, outcome) = guest.call_own(&operation, payload, timeout).await;
    let outcome = outcome.map(drop).map_err(|error| causes_of(&error));
    drop(guest);
    // One for each instance at most.
    reply.do_send(FinalCallEnded { module, instance, call, outcome });
}
