//! How a module ends: stopped by someone, by its group or by the daemon, or failed; and what becomes of its calls.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use actix::Context;

use super::{
    module_child::{ModuleChild, Phase, Then},
    topology::Node,
    tree::Supervisor,
};
use crate::{
    actors::{ExitReport, Gate, How, Leave, Refusal},
    config::Shutdown,
};

/// Why a module stops, which decides what becomes of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HowToStop {
    /// Someone asked: what was accepted is finished within the module's `shutdown`.
    Asked,
    /// It ended as it may: what waits is refused.
    Ended,
    /// Its group restarts: what waits stays for the next instances.
    Held,
    /// The daemon's grace time is over.
    AtOnce,
}

impl Supervisor {
    /// Gives a module up: it answers every caller with the reason, and what still runs ends.
    pub(super) fn fail_module(&mut self, module: usize, report: ExitReport, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        let Some(child) = self.modules.get_mut(module) else { return };
        // Other code that is on its way comes all the same: it may mend what failed.
        child.swaps.stop_step();
        // A load under way is stale from here on.
        child.next_load();
        child.enter(Phase::Failed);
        child.queue.set_gate(Gate::Refusing(Refusal::Failed(report.causes.join(": "))));
        child.last_exit = Some(report);
        child.abort_starts();
        leave(child, How::AfterCall);
        self.end_in_time(module, ctx);
        self.fail_with_code(module, ctx);
    }

    /// Takes no new calls, or holds them, and ends the instances.
    pub(super) fn stop_module(&mut self, module: usize, how: HowToStop, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        match how {
            HowToStop::Held => self.modules.get_mut(module).into_iter().for_each(|child| child.swaps.stop_step()),
            HowToStop::Asked | HowToStop::Ended | HowToStop::AtOnce => {
                self.give_up_swaps(module, "it is being stopped")
            }
        }
        let draining = self.draining;
        let Some(child) = self.modules.get_mut(module) else { return };
        child.next_load();
        let then = if how == HowToStop::Held { Then::Hold } else { Then::Stop };
        // What has failed is not told of its end.
        let had_failed = child.phase == Phase::Failed;
        child.enter(Phase::Stopping(then));
        child.abort_starts();
        let empty = child.is_empty();
        match how {
            HowToStop::Held => {}
            HowToStop::Asked if !empty => child.queue.close(refusal(child, draining)),
            HowToStop::Asked | HowToStop::Ended | HowToStop::AtOnce => {
                child.queue.set_gate(Gate::Refusing(refusal(child, draining)))
            }
        }
        let when = match how {
            HowToStop::Asked => How::WhenFree,
            HowToStop::Held | HowToStop::Ended => How::AfterCall,
            HowToStop::AtOnce => How::Now,
        };
        child.leave_in_order(when, !had_failed);
        self.part_with_last(module, ctx);
        if empty {
            self.ended(module, then);
        } else {
            self.end_in_time(module, ctx);
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Leaves a module that stops, or has failed, its `shutdown` to finish what runs.
    fn end_in_time(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some((budget, era)) = self.modules.get(module).map(|child| (child.config.shutdown, child.era)) else {
            return;
        };
        match budget {
            Shutdown::After(budget) => {
                self.later(budget, ctx, move |supervisor, _| supervisor.end_at_once(module, era))
            }
            Shutdown::Kill => self.end_at_once(module, era),
            Shutdown::Infinity => {}
        }
    }

    /// Ends what still runs of a stop that has taken too long.
    fn end_at_once(&mut self, module: usize, era: u64) {
        let draining = self.draining;
        let Some(child) = self.modules.get_mut(module).filter(|child| child.era == era) else { return };
        if child.is_empty() || !matches!(child.phase, Phase::Stopping(_) | Phase::Failed) {
            return;
        }
        tracing::warn!(module = %child.config.name, "module did not stop within its shutdown time, its calls are ended");
        if child.phase == Phase::Stopping(Then::Stop) {
            child.queue.set_gate(Gate::Refusing(refusal(child, draining)));
        }
        leave(child, How::Now);
    }

    /// Ends the calls of a module whose `shutdown` is over while the daemon drains.
    pub(super) fn drain_module(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(budget) = self.modules.get(module).map(|child| child.config.shutdown) else { return };
        let busy =
            |child: &ModuleChild| child.queue.numbers().calls > 0 || child.queue.counters().in_flight.load(Relaxed) > 0;
        let after = match budget {
            Shutdown::Kill => Duration::ZERO,
            Shutdown::After(budget) => budget,
            Shutdown::Infinity => return,
        };
        self.later(after, ctx, move |supervisor, ctx| {
            if supervisor.modules.get(module).is_some_and(|child| child.is_wanted() && busy(child)) {
                supervisor.groups.forget(Node::Module(module));
                supervisor.stop_module(module, HowToStop::AtOnce, ctx);
            }
        });
    }

    /// Notes that the last instance of a module that stops has ended.
    pub(super) fn ended(&mut self, module: usize, then: Then) {
        let draining = self.draining;
        let Some(child) = self.modules.get_mut(module) else { return };
        match then {
            Then::Hold => child.enter(Phase::Held),
            Then::Stop => {
                child.enter(Phase::Stopped);
                // Whatever came in between is answered too.
                child.queue.set_gate(Gate::Refusing(refusal(child, draining)));
            }
        }
    }
}

/// What a module that stops tells its callers.
fn refusal(child: &ModuleChild, draining: bool) -> Refusal {
    match (draining, child.removed) {
        (true, _) => Refusal::ShuttingDown,
        (false, true) => Refusal::Removed,
        (false, false) => Refusal::Stopped,
    }
}

/// Asks every live instance to end.
pub(super) fn leave(child: &ModuleChild, how: How) {
    for live in child.live() {
        // An instance is asked a few times in its life; one whose mailbox is closed is gone already.
        live.addr.do_send(Leave::from(how));
    }
}
