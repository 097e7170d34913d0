//! What operators ask of triggers: to start, to stop, to restart, and to call now.

use actix::{Context, Handler};
use tokio::sync::oneshot;

use super::{
    events::What,
    messages::{ActOnTrigger, NoRun, RunTrigger, Want},
    module_child::Then,
    topology::Node,
    tree::Supervisor,
    trigger_child::{Ended, TriggerPhase},
};

impl Handler<ActOnTrigger> for Supervisor {
    type Result = Option<oneshot::Receiver<()>>;

    fn handle(&mut self, ActOnTrigger { trigger, action }: ActOnTrigger, ctx: &mut Context<Self>) -> Self::Result {
        let trigger = self.triggers.find(&trigger).filter(|_| !self.draining && !self.triggers_end)?;
        let node = Node::Trigger(trigger);
        self.events.record(self.subject(node), What::Asked { action: action.as_str().to_owned() });
        self.act_on_trigger(trigger, action, ctx);
        self.touched(node, ctx);
        Some(self.triggers.get_mut(trigger)?.settled())
    }
}

impl Handler<RunTrigger> for Supervisor {
    type Result = Result<(), NoRun>;

    fn handle(&mut self, RunTrigger(name): RunTrigger, _: &mut Context<Self>) -> Self::Result {
        let trigger = self.triggers.find(&name).ok_or(NoRun::NoSuchTrigger)?;
        let child = self.triggers.get(trigger).ok_or(NoRun::NoSuchTrigger)?;
        let running = child.running.as_ref().filter(|_| child.phase == TriggerPhase::Up);
        running.ok_or_else(|| NoRun::NotRunning(child.state()))?.run_now().map_err(NoRun::Refused)?;
        self.events.record(self.subject(Node::Trigger(trigger)), What::Asked { action: "run".to_owned() });
        Ok(())
    }
}

impl Supervisor {
    fn act_on_trigger(&mut self, trigger: usize, action: Want, ctx: &mut Context<Self>) {
        let node = Node::Trigger(trigger);
        let Some(phase) = self.triggers.get(trigger).map(|child| child.phase) else { return };
        match (action, phase) {
            (Want::Stop, TriggerPhase::Stopped | TriggerPhase::Draining(Ended::Then(Then::Stop))) => {
                self.parked.insert(node);
            }
            (Want::Stop, _) => {
                self.parked.insert(node);
                self.groups.forget(node);
                self.drain_trigger(trigger, Ended::Then(Then::Stop), ctx);
            }
            (Want::Restart, TriggerPhase::Up) => self.drain_trigger(trigger, Ended::Restart, ctx),
            (Want::Start, TriggerPhase::Up) => {}
            // It is on its way, and no wait comes before that any more.
            (_, TriggerPhase::Draining(Ended::Restart)) => {
                self.triggers.get_mut(trigger).into_iter().for_each(|child| child.next_try = None);
            }
            (_, TriggerPhase::Waiting(_) | TriggerPhase::Starting) => {}
            (_, TriggerPhase::Draining(Ended::Then(Then::Stop))) => {
                self.parked.remove(&node);
                self.histories.clear([node]);
                let restart = TriggerPhase::Draining(Ended::Restart);
                self.triggers.get_mut(trigger).into_iter().for_each(|child| child.phase = restart);
            }
            (_, TriggerPhase::Draining(Ended::Then(Then::Hold))) => self.groups.hurry(node),
            (_, TriggerPhase::Resting) if self.groups.due(node).is_some() => self.groups.hurry(node),
            (_, TriggerPhase::Resting) => self.start_trigger(trigger, ctx),
            (_, TriggerPhase::Stopped | TriggerPhase::Failed) => {
                if !self.unpark(node, ctx) {
                    self.start_trigger(trigger, ctx);
                }
            }
        }
    }
}
