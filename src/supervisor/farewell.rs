//! `on_stop`: the call that the last instance of a module gets before it leaves, when the module stops in order.
//!
//! All instances but one are asked to leave. When they are gone, the one that is left is told what to call and asked as
//! well: it finishes what waits, makes the call, and leaves. The module's `shutdown` ends it wherever it is.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};

use super::{
    events::{Subject, What},
    module_child::{ModuleChild, Phase},
    slot::SlotState,
    stops::leave,
    tree::Supervisor,
};
use crate::{
    actors::{ExitReport, FinalCall, FinalCallEnded, How, Leave},
    config::Shutdown,
};

/// The instance that makes a module's last call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Farewell {
    /// Its id.
    pub(super) instance: u64,
    /// Whether the call has ended.
    ended: bool,
}

impl ModuleChild {
    /// Asks all instances to leave that way: where `on_stop` is to be called, one of them stays until the others are gone.
    pub(super) fn leave_in_order(&mut self, how: How, told: bool) {
        self.farewell = self.farewell.filter(|farewell| self.has(farewell.instance));
        let calls = told && self.config.on_stop.is_some() && self.config.shutdown != Shutdown::Kill;
        self.last_leaves = (calls && how != How::Now).then_some(how);
        if self.last_leaves.is_none() {
            return leave(self, how);
        }
        // One that was asked before may leave in between.
        let serves = |state: &&SlotState| matches!(state, SlotState::Live(_));
        let last = self.slots.iter().map(|slot| &slot.state).find(serves).and_then(SlotState::id);
        let last = last.or_else(|| self.live().next().map(|live| live.id));
        for live in self.live().filter(|live| Some(live.id) != last) {
            live.addr.do_send(Leave::from(how));
        }
    }
}

impl Supervisor {
    /// Asks the last instance of a module that stops to make the last call and to leave, if it is the last.
    pub(super) fn part_with_last(&mut self, module: usize, ctx: &Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let (Phase::Stopping(_), Some(how)) = (child.phase, child.last_leaves) else { return };
        let mut live = child.live();
        let (Some(last), None) = (live.next(), live.next()) else { return };
        let (addr, instance) = (last.addr.clone(), last.id);
        drop(live);
        let is_first = child.farewell.is_none();
        if let Some(on_stop) = child.config.on_stop.as_ref().filter(|_| is_first) {
            // Two for each stop: neither may be lost to a full mailbox.
            addr.do_send(FinalCall {
                module,
                instance,
                operation: on_stop.operation.clone(),
                payload: on_stop.payload.clone().into(),
                timeout: on_stop.timeout.unwrap_or(child.config.limits.call_timeout),
                reply: ctx.address().recipient(),
            });
            child.farewell = Some(Farewell { instance, ended: false });
        }
        addr.do_send(Leave::from(how));
    }

    /// Notes that an instance is gone: where it was to make the last call and did not end it, that is told.
    pub(super) fn note_parted(&mut self, module: usize, instance: u64, report: &ExitReport) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(farewell) = child.farewell.take_if(|farewell| farewell.instance == instance) else { return };
        if !farewell.ended {
            self.note_farewell(module, instance, None, format!("the instance ended before: {}", report.summary()));
        }
    }

    fn note_farewell(&mut self, module: usize, instance: u64, call: Option<u64>, why: String) {
        let Some(child) = self.modules.get(module) else { return };
        let operation = child.config.on_stop.as_ref().map(|on_stop| on_stop.operation.clone()).unwrap_or_default();
        let what = What::OnStopFailed { instance, operation, call, why };
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
    }
}

impl Handler<FinalCallEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: FinalCallEnded, _: &mut Context<Self>) {
        let FinalCallEnded { module, instance, call, outcome } = ended;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(farewell) = child.farewell.as_mut().filter(|farewell| farewell.instance == instance) else { return };
        farewell.ended = true;
        if let Err(causes) = outcome {
            self.note_farewell(module, instance, Some(call), causes.join(": "));
        }
    }
}
