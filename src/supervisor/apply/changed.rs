//! Children that go on with other settings: some take them as they run, others swap their code or restart.

use std::sync::Arc;

use actix::Context;
use tokio::sync::oneshot;

use crate::{
    actors::QueueSettings,
    config::{Change, ChangeAction, Changed, Member},
    supervisor::{
        binding_child::{BindingPhase, Closed},
        engines::instances_of,
        events::What,
        instance::routes,
        loader::Loaded,
        module_child::Phase,
        outcomes::{Outcomes, Wait},
        prepare::Prepared,
        slot::SlotState,
        status::GenerationOrigin,
        swaps::{SwapRequest, SwapSource},
        topology::Node,
        tree::Supervisor,
    },
};

impl Supervisor {
    /// Gives a child its new settings, and does what else they take.
    pub(super) fn change(
        &mut self,
        change: &Change,
        prepared: &mut Prepared,
        outcomes: Option<&mut Outcomes>,
        ctx: &mut Context<Self>,
    ) {
        let Changed::Child(member) = &change.subject else { return };
        let Some(node) = self.place(member) else { return };
        // Of a swap its own events tell.
        let keys: Vec<_> =
            change.keys.iter().filter(|key| !["path", "file"].contains(&key.as_str())).cloned().collect();
        if !keys.is_empty() {
            self.events.record(self.subject(node), What::Adjusted { keys });
        }
        match (member, node) {
            (Member::Module(name), Node::Module(at)) => {
                self.change_module(at, change.action, prepared.code.remove(name), outcomes, ctx);
            }
            (Member::Binding(_), Node::Binding(at)) => self.change_binding(at, change.action, ctx),
            (Member::Trigger(name), Node::Trigger(at)) => {
                let groundwork = prepared.triggers.remove(name);
                self.change_trigger(at, change.action, groundwork, ctx);
            }
            _ => {}
        }
    }

    fn change_module(
        &mut self,
        module: usize,
        action: ChangeAction,
        code: Option<Loaded>,
        outcomes: Option<&mut Outcomes>,
        ctx: &mut Context<Self>,
    ) {
        let workers = self.workers.count();
        let Some(child) = self.modules.get_mut(module) else { return };
        let name = &child.config.name;
        let Some(config) = self.config.modules.iter().find(|config| config.name == *name) else { return };
        child.config = Arc::new(config.clone());
        child.settings += 1;
        child.queue.configure(QueueSettings::from(config));
        // Smaller always fits; larger was reserved before.
        let fits = child.room.as_mut().is_none_or(|held| held.resize(instances_of(config, workers)));
        debug_assert!(fits, "room for {} was not reserved", config.name);
        if child.phase == Phase::Up {
            if action == ChangeAction::Restart {
                // What starts was made of the settings before.
                child.abort_starting();
            }
            child.fit_slots(&mut self.next_worker, workers);
        }
        let (phase, slots, lazy) = (child.phase, child.slots.len(), child.config.lazy);
        let rests = child.rests_before_opening();
        for slot in 0..slots {
            self.adjust_instance(module, slot);
            if phase == Phase::Up && !rests && self.wants(module, slot) {
                self.start_instance(module, slot, ctx);
            }
        }
        let node = Node::Module(module);
        self.check_health(node, ctx);
        match (action, phase) {
            // Other settings are another chance.
            (_, Phase::Failed) if self.in_failed_group(node) => self.revive(self.tree.root_of(node), ctx),
            (_, Phase::Failed) if !self.parked.contains(&node) => {
                self.histories.clear([node]);
                self.load(module, ctx);
            }
            (_, Phase::Idle) if !lazy => self.load(module, ctx),
            // What is being loaded, or will be, is that of the new path.
            (ChangeAction::Swap, Phase::Loading) => self.load(module, ctx),
            (ChangeAction::Swap, _) => self.swap_path(module, code, outcomes, ctx),
            (ChangeAction::Restart, Phase::Up) => {
                self.renew_instances(module, ctx);
                if let Some(outcomes) = outcomes {
                    outcomes.await_start(self.modules.get_mut(module));
                }
            }
            _ => {}
        }
        self.touched(node, ctx);
    }

    /// Whether a place is empty and one that is wanted.
    fn wants(&self, module: usize, slot: usize) -> bool {
        let place = self.modules.get(module).and_then(|child| child.slots.get(slot));
        place.is_some_and(|place| matches!(place.state, SlotState::Empty))
    }

    fn swap_path(
        &mut self,
        module: usize,
        code: Option<Loaded>,
        outcomes: Option<&mut Outcomes>,
        ctx: &mut Context<Self>,
    ) {
        let (reply, receiver) = oneshot::channel();
        // The code of what was dropped was not loaded before.
        let source = code.map_or(SwapSource::File, |code| SwapSource::Loaded(Box::new(code)));
        let request = SwapRequest { source, origin: GenerationOrigin::File, why: None, reply: Some(reply) };
        self.want_swap(module, request, ctx);
        if let (Some(outcomes), Some(child)) = (outcomes, self.modules.get(module)) {
            outcomes.waits.push((format!("modules.{}", child.config.name), Wait::Swap(receiver)));
        }
    }

    fn change_binding(&mut self, binding: usize, action: ChangeAction, ctx: &mut Context<Self>) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        let Some(config) = self.config.bindings.iter().find(|config| config.name == *child.name()) else { return };
        child.config = Arc::new(config.clone());
        child.settings += 1;
        let (node, phase) = (Node::Binding(binding), child.phase);
        self.check_health(node, ctx);
        match (action, phase) {
            (ChangeAction::Restart, BindingPhase::Serving | BindingPhase::Opening) => {
                self.close_binding(binding, Closed::Reopen, ctx);
            }
            (ChangeAction::Restart, BindingPhase::Failed) if self.in_failed_group(node) => {
                self.revive(self.tree.root_of(node), ctx);
            }
            (ChangeAction::Restart, BindingPhase::Failed | BindingPhase::Stopped) => {
                self.histories.clear([node]);
                self.open_binding(binding, ctx);
            }
            _ => {}
        }
        self.touched(node, ctx);
    }

    /// Gives every live instance its links anew, because bindings came or went.
    pub(super) fn renew_links(&self) {
        let workers: Vec<_> = (0..self.workers.count()).map(|worker| self.binding_actors(worker)).collect();
        for child in self.modules.values().filter(|child| !child.removed) {
            for place in &child.slots {
                let (SlotState::Live(live) | SlotState::Leaving(live)) = &place.state else { continue };
                if let Some(actors) = workers.get(place.worker) {
                    live.links.set(routes(&child.config, actors));
                }
            }
        }
    }
}
