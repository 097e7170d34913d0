//! The calls that wait while there is no binding, in the order in which they came.

use std::{collections::VecDeque, time::Instant};

use actix::dev::OneshotSender;

use crate::bindings::{BindingCall, BindingReply};

/// A call with the place where its answer goes.
pub(super) struct Waiting {
    pub(super) call: BindingCall,
    pub(super) tx: Option<OneshotSender<BindingReply>>,
}

impl Waiting {
    /// Whether its guest has gone.
    pub(super) fn is_given_up(&self) -> bool {
        self.tx.as_ref().is_some_and(OneshotSender::is_closed)
    }
}

/// Takes out what nobody waits for any more and what is past its deadline. Where there is nothing of that kind, nothing
/// is moved: a full queue asks before it refuses a call.
pub(super) fn take_expired(queue: &mut VecDeque<Waiting>, now: Instant) -> Vec<Waiting> {
    let is_over = |waiting: &Waiting| waiting.is_given_up() || waiting.call.caller.deadline <= now;
    if !queue.iter().any(is_over) {
        return Vec::new();
    }
    let (over, left) = std::mem::take(queue).into_iter().partition::<Vec<_>, _>(is_over);
    queue.extend(left);
    over
}

/// When the next call is past its deadline.
pub(super) fn next_deadline(queue: &VecDeque<Waiting>) -> Option<Instant> {
    queue.iter().map(|waiting| waiting.call.caller.deadline).min()
}
