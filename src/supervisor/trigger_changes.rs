//! What a reload means for a trigger: what could fail is done before anything changes, and then it goes on with other settings,
//! or begins anew.

use std::sync::Arc;

use actix::{AsyncContext, Context, Message};
use futures_util::future::BoxFuture;

use super::{
    topology::Node,
    tree::Supervisor,
    trigger_child::{Ended, TriggerPhase},
};
use crate::{
    config::{ChangeAction, Trigger},
    triggers::{self, Groundwork, TriggerError},
};

/// What could fail of a trigger's other settings was done for a reload, or was not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TriggerPrepared {
    pub(super) id: u64,
    pub(super) trigger: Arc<str>,
    pub(super) result: Result<Groundwork, TriggerError>,
}

impl Supervisor {
    /// Begins to do what could fail of a trigger that a reload adds or changes; whether there is anything.
    pub(super) fn prepare_trigger(
        &self,
        id: u64,
        config: &Arc<Trigger>,
        action: ChangeAction,
        ctx: &Context<Self>,
    ) -> bool {
        let running = self.triggers.find(&config.name).and_then(|at| self.triggers.get(at)?.running.clone());
        let (config, name) = (Arc::clone(config), Arc::clone(&config.name));
        let work: BoxFuture<'static, Result<Groundwork, TriggerError>> = match (action, running) {
            (ChangeAction::Adjust, Some(running)) => running.prepare(config),
            (ChangeAction::Add | ChangeAction::Restart | ChangeAction::Adjust, _) => {
                let context = self.trigger_context(&config);
                Box::pin(triggers::prepare(config, context))
            }
            _ => return false,
        };
        let (supervisor, prepared) = (ctx.address(), self.on_io("reading its files", work));
        actix::spawn(async move {
            let result = prepared.await.unwrap_or(Err(TriggerError::Lost("what prepares it")));
            // One notice for each trigger of a reload.
            supervisor.do_send(TriggerPrepared { id, trigger: name, result });
        });
        true
    }

    /// Gives a trigger its new settings, and does what else they take.
    pub(super) fn change_trigger(
        &mut self,
        trigger: usize,
        action: ChangeAction,
        groundwork: Option<Groundwork>,
        ctx: &mut Context<Self>,
    ) {
        let node = Node::Trigger(trigger);
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        let Some(config) = self.config.triggers.iter().find(|config| config.name == *child.name()) else { return };
        child.config = Arc::new(config.clone());
        // What an earlier reload did was for other settings.
        child.groundwork = None;
        let (running, config, phase) = (child.running.clone(), Arc::clone(&child.config), child.phase);
        match (action, phase) {
            (ChangeAction::Adjust, TriggerPhase::Up) => {
                if let Some(running) = running {
                    running.adjust(config, groundwork.unwrap_or(Groundwork::None));
                }
            }
            (_, TriggerPhase::Up | TriggerPhase::Starting) => self.drain_trigger(trigger, Ended::Restart, ctx),
            (_, TriggerPhase::Failed) if self.in_failed_group(node) => self.revive(self.tree.root_of(node), ctx),
            (_, TriggerPhase::Failed | TriggerPhase::Stopped) if self.parked.contains(&node) => {}
            (_, TriggerPhase::Failed | TriggerPhase::Stopped) => {
                self.keep_groundwork(trigger, groundwork);
                self.histories.clear([node]);
                self.start_trigger(trigger, ctx);
            }
            (_, TriggerPhase::Waiting(_)) => {
                self.keep_groundwork(trigger, groundwork);
                // Whom it waits for may be none of those that it calls now.
                self.look_at_waiting(trigger, ctx);
            }
            (_, TriggerPhase::Resting) if self.tree.parent(node).is_none() => self.start_trigger(trigger, ctx),
            (_, TriggerPhase::Resting | TriggerPhase::Draining(_)) => {}
        }
        self.touched(node, ctx);
    }

    fn keep_groundwork(&mut self, trigger: usize, groundwork: Option<Groundwork>) {
        if let Some(child) = self.triggers.get_mut(trigger) {
            child.groundwork = groundwork;
        }
    }
}
