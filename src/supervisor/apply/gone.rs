//! Children that are not configured any more: they give their name up at once, end in their time, and are forgotten then.

use std::{collections::HashSet, sync::Arc};

use actix::Context;

use crate::{
    config::{Change, Changed, Member},
    supervisor::{
        binding_child::{BindingChild, BindingPhase, Closed},
        events::What,
        module_child::{ModuleChild, Phase, Then},
        stops::HowToStop,
        topology::Node,
        tree::Supervisor,
        trigger_child::{TriggerChild, TriggerPhase},
    },
};

impl Supervisor {
    /// Takes the name from a child that is not configured any more.
    pub(super) fn give_up(&mut self, change: &Change) -> Option<Node> {
        let Changed::Child(member) = &change.subject else { return None };
        let node = self.place(member)?;
        self.events.record(self.subject(node), What::Removed);
        match (member, node) {
            (Member::Module(name), Node::Module(at)) => {
                self.modules.unname(name);
                // Another module of this name begins with its file.
                self.keeper.forget(Arc::clone(name), None);
                self.known.remove(name);
                self.modules.get_mut(at).into_iter().for_each(|child| child.removed = true);
            }
            (Member::Binding(name), Node::Binding(at)) => {
                self.bindings.unname(name);
                self.bindings.get_mut(at).into_iter().for_each(|child| child.removed = true);
            }
            (Member::Group(_), Node::Group(at)) => self.groups.give_up(at),
            (Member::Trigger(name), Node::Trigger(at)) => {
                self.triggers.unname(name);
                self.triggers.get_mut(at).into_iter().for_each(|child| child.removed = true);
            }
            _ => {}
        }
        self.parked.remove(&node);
        self.groups.forget(node);
        Some(node)
    }

    /// Ends a child that is not configured any more.
    pub(super) fn retire(&mut self, node: Node, ctx: &mut Context<Self>) {
        match node {
            Node::Module(module) => self.stop_module(module, HowToStop::Asked, ctx),
            // One that has stopped before is forgotten here, others when they have closed.
            Node::Binding(_) => self.forget_removed(node, ctx),
            Node::Trigger(trigger) => self.retire_trigger(trigger, ctx),
            Node::Group(group) => {
                self.groups.end(group);
                self.histories.clear([node]);
            }
        }
        self.retire_bindings(ctx);
    }

    /// Closes bindings that are not configured any more, when nobody that ends calls them any more.
    fn retire_bindings(&mut self, ctx: &mut Context<Self>) {
        let open = |child: &BindingChild| {
            child.removed && !matches!(child.phase, BindingPhase::Closing(Closed::Then(_)) | BindingPhase::Stopped)
        };
        // Asked for each module that goes, of which there may be thousands.
        if !self.bindings.values().any(open) {
            return;
        }
        let linked: HashSet<Arc<str>> = self
            .modules
            .values()
            .filter(|child| child.removed)
            .flat_map(|child| child.config.links.iter().map(|link| Arc::clone(&link.to)))
            .collect();
        let due = self.bindings.iter().filter(|(_, child)| open(child) && !linked.contains(child.name()));
        for binding in due.map(|(at, _)| at).collect::<Vec<_>>() {
            self.close_binding(binding, Closed::Then(Then::Stop), ctx);
        }
    }

    /// Forgets a child that is not configured any more and has ended.
    pub(in crate::supervisor) fn forget_removed(&mut self, node: Node, ctx: &mut Context<Self>) {
        match node {
            Node::Module(at) => {
                let ended = |child: &ModuleChild| {
                    child.removed && child.is_empty() && matches!(child.phase, Phase::Stopped | Phase::Failed)
                };
                if self.modules.get(at).is_some_and(ended) {
                    self.waiting.remove(&at);
                    let gone = self.modules.remove(at);
                    // One that was added again under the name goes on with the series.
                    if let Some(child) = gone.filter(|child| self.modules.find(&child.config.name).is_none()) {
                        self.context.metrics.forget(&child.config.name);
                        self.context.observer.module_removed(&child.config.name);
                    }
                    self.histories.clear([node]);
                    self.retire_bindings(ctx);
                }
            }
            Node::Binding(at) => {
                let ended = |child: &BindingChild| child.removed && child.phase == BindingPhase::Stopped;
                if self.bindings.get(at).is_some_and(ended) {
                    self.bindings.remove(at);
                    self.histories.clear([node]);
                }
            }
            Node::Trigger(at) => {
                let ended = |child: &TriggerChild| {
                    child.removed && matches!(child.phase, TriggerPhase::Stopped | TriggerPhase::Failed)
                };
                if self.triggers.get(at).is_some_and(ended) {
                    self.triggers.remove(at);
                    self.histories.clear([node]);
                }
            }
            Node::Group(_) => {}
        }
    }
}
