//! How triggers end: drained, failed, put out with their group, given up with the daemon. Whatever they began is waited for, by
//! whoever wants to know that it has ended.

use std::time::Instant;

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    ending::{Ending, Leaving},
    messages::DrainTriggers,
    module_child::Then,
    topology::Node,
    tree::Supervisor,
    trigger_child::{Ended, TriggerPhase},
};
use crate::actors::ExitReport;

/// A trigger has finished what it began, or its time for that is over.
#[derive(Message)]
#[rtype(result = "()")]
struct TriggerDrained {
    trigger: usize,
    era: u64,
}

impl Supervisor {
    /// Lets a trigger take nothing new and finish what it began.
    pub(super) fn drain_trigger(&mut self, trigger: usize, ended: Ended, ctx: &mut Context<Self>) {
        self.waiting_triggers.remove(&trigger);
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        if matches!(child.phase, TriggerPhase::Draining(_)) {
            // It ends already; only what comes then is another.
            (child.phase, child.next_try) = (TriggerPhase::Draining(ended), None);
            return self.touched(Node::Trigger(trigger), ctx);
        }
        child.enter(TriggerPhase::Draining(ended));
        let (era, supervisor, ending) = (child.era, ctx.address(), child.take_ending());
        let ending = ending.map(|ending| self.begin_to_end(ending));
        actix::spawn(async move {
            if let Some(ending) = ending {
                ending.await;
            }
            // One notice for each end.
            supervisor.do_send(TriggerDrained { trigger, era });
        });
        self.touched(Node::Trigger(trigger), ctx);
    }

    /// The end of a trigger, known to whoever stops the daemon meanwhile.
    fn begin_to_end(&mut self, ending: Ending) -> impl Future<Output = ()> + use<> {
        let (ending, under_way) = ending.watched();
        self.trigger_ends.retain_mut(|under_way| !under_way.is_over());
        self.trigger_ends.push(under_way);
        ending
    }

    fn trigger_drained(&mut self, drained: TriggerDrained, ctx: &mut Context<Self>) {
        let TriggerDrained { trigger, era } = drained;
        let Some(child) = self.triggers.get_mut(trigger).filter(|child| child.era == era) else { return };
        let TriggerPhase::Draining(next) = child.phase else { return };
        child.running = None;
        let until = child.next_try;
        match next {
            Ended::Restart => self.start_trigger_at(trigger, until.unwrap_or_else(Instant::now), ctx),
            Ended::Then(Then::Hold) if !child.removed => child.enter(TriggerPhase::Resting),
            Ended::Then(_) => child.enter(TriggerPhase::Stopped),
        }
        self.touched(Node::Trigger(trigger), ctx);
    }

    /// Gives a trigger up.
    pub(super) fn fail_trigger(&mut self, trigger: usize, report: ExitReport) {
        self.waiting_triggers.remove(&trigger);
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        child.enter(TriggerPhase::Failed);
        child.last_exit = Some(report);
        let ending = child.take_ending();
        child.running = None;
        if let Some(ending) = ending {
            actix::spawn(self.begin_to_end(ending));
        }
    }

    /// Stops a trigger for its group; whether it has ended.
    pub(super) fn put_out_trigger(&mut self, trigger: usize, then: Then, ctx: &mut Context<Self>) -> bool {
        let Some(phase) = self.triggers.get(trigger).map(|child| child.phase) else { return true };
        match phase {
            TriggerPhase::Stopped | TriggerPhase::Failed => true,
            TriggerPhase::Resting | TriggerPhase::Waiting(_) => {
                // A restart of its own that it waited for is over with that.
                self.waiting_triggers.remove(&trigger);
                self.triggers.get_mut(trigger).into_iter().for_each(|child| child.enter(TriggerPhase::Resting));
                true
            }
            TriggerPhase::Draining(Ended::Then(_)) => false,
            TriggerPhase::Starting | TriggerPhase::Up | TriggerPhase::Draining(Ended::Restart) => {
                self.drain_trigger(trigger, Ended::Then(then), ctx);
                false
            }
        }
    }

    /// Ends a trigger that is not configured any more.
    pub(super) fn retire_trigger(&mut self, trigger: usize, ctx: &mut Context<Self>) {
        match self.triggers.get(trigger).map(|child| child.phase) {
            Some(TriggerPhase::Stopped | TriggerPhase::Failed) => self.forget_removed(Node::Trigger(trigger), ctx),
            Some(_) => self.drain_trigger(trigger, Ended::Then(Then::Stop), ctx),
            None => {}
        }
    }
}

impl Handler<TriggerDrained> for Supervisor {
    type Result = ();

    fn handle(&mut self, drained: TriggerDrained, ctx: &mut Context<Self>) {
        self.trigger_drained(drained, ctx);
    }
}

impl Handler<DrainTriggers> for Supervisor {
    type Result = actix::MessageResult<DrainTriggers>;

    /// All at once: what one of them began does not wait for another.
    fn handle(&mut self, _: DrainTriggers, ctx: &mut Context<Self>) -> Self::Result {
        self.triggers_end = true;
        // What ends already is waited for with the others, also where nothing else is known of it any more.
        let mut endings: Vec<_> = std::mem::take(&mut self.trigger_ends).into_iter().map(Leaving::Already).collect();
        for trigger in self.triggers.ids() {
            self.waiting_triggers.remove(&trigger);
            let Some(child) = self.triggers.get_mut(trigger) else { continue };
            let stops = TriggerPhase::Draining(Ended::Then(Then::Stop));
            match child.phase {
                TriggerPhase::Stopped | TriggerPhase::Failed => continue,
                TriggerPhase::Draining(_) => (child.phase, child.next_try) = (stops, None),
                _ => {
                    endings.extend(child.take_ending().map(Leaving::Now));
                    child.enter(stops);
                }
            }
            self.touched(Node::Trigger(trigger), ctx);
        }
        actix::MessageResult(endings)
    }
}
