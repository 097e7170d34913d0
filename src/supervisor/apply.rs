//! Applies a reload that was planned and whose code is there: children come, change, restart and go. Nothing here can be
//! refused any more; what a single child then fails with is its own, and told.

use std::{collections::HashSet, sync::Arc};

use actix::{AsyncContext, Context};
use tokio::sync::oneshot;

use super::{
    binding_child::{BindingChild, BindingPhase, Closed},
    drop_in::make_directory,
    engines::{Room, instances_of},
    events::What,
    instance::routes,
    loader::Loaded,
    messages::ModuleWanted,
    module_child::{ModuleChild, Phase, Then},
    outcomes::{Outcomes, Wait},
    planner::Draft,
    prepare::Prepared,
    slot::SlotState,
    status::GenerationOrigin,
    stops::HowToStop,
    swaps::{SwapRequest, SwapSource},
    topology::{Node, Topology},
    tree::Supervisor,
    trigger_child::{TriggerChild, TriggerPhase},
};
use crate::{
    actors::{Gate, ModuleQueue, QueueSettings},
    config::{Binding, Change, ChangeAction, Changed, Member, Module},
};

impl Supervisor {
    /// Makes another configuration the one that holds. What it returns tells what became of it.
    pub(super) fn apply(
        &mut self,
        draft: Draft,
        mut prepared: Prepared,
        wait: bool,
        ctx: &mut Context<Self>,
    ) -> Outcomes {
        let Draft { config, plan, acceptance, .. } = draft;
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        *self.shared.write() = Arc::clone(&config);
        self.acceptance = acceptance;
        self.budget.set_limit(config.daemon.queue_bytes);
        if old.logging.level != config.logging.level {
            self.reloads.set_level(config.logging.level);
        }
        let of = |wanted: &[ChangeAction]| -> Vec<Change> {
            plan.changes.iter().filter(|change| wanted.contains(&change.action)).cloned().collect()
        };
        let mut failed = self.tree.order().to_vec();
        failed.retain(|leaf| self.in_failed_group(*leaf));
        // Names first, so that the tree is that of the new configuration.
        let gone: Vec<Node> = of(&[ChangeAction::Remove]).iter().filter_map(|change| self.give_up(change)).collect();
        let added = of(&[ChangeAction::Add]);
        let added: Vec<Node> =
            added.iter().filter_map(|change| self.admit(change, &config, &mut prepared, ctx)).collect();
        let changed = of(&[ChangeAction::Adjust, ChangeAction::Swap, ChangeAction::Restart]);
        for group in &config.groups {
            self.groups.set(group.clone());
        }
        self.tree = Topology::new(&self.config, |member| self.place(member));
        let bindings_differ = gone.iter().chain(&added).any(|node| matches!(node, Node::Binding(_)));
        let mut outcomes = Outcomes { supervisor: ctx.address(), waits: Vec::new() };
        for change in &changed {
            self.change(change, &mut prepared, outcomes.if_wanted(wait), ctx);
        }
        if bindings_differ {
            self.renew_links();
        }
        for node in &added {
            self.events.record(self.subject(*node), What::Added);
        }
        let starts: HashSet<Node> = added.iter().copied().collect();
        for node in self.tree.order().to_vec().into_iter().filter(|node| starts.contains(node)) {
            self.start_added(node, &mut prepared, ctx);
            self.check_health(node, ctx);
            if let (true, Node::Module(module)) = (wait, node) {
                outcomes.await_start(self.modules.get_mut(module));
            }
        }
        for node in gone.into_iter().rev() {
            self.retire(node, ctx);
        }
        if config.watch != old.watch {
            let running = self.triggers.values().filter_map(|child| child.running.as_ref());
            running.for_each(|running| running.watch(config.watch.clone()));
        }
        if config.drop_in != old.drop_in {
            let config = Arc::clone(&config);
            self.keeper.then(move || make_directory(&config));
        }
        for leaf in failed {
            self.release(leaf, ctx);
        }
        self.follow_as_configured(ctx);
        outcomes
    }

    /// Where a member of the configuration is.
    pub(super) fn place(&self, member: &Member) -> Option<Node> {
        match member {
            Member::Module(name) => self.modules.find(name).map(Node::Module),
            Member::Binding(name) => self.bindings.find(name).map(Node::Binding),
            Member::Group(name) => self.groups.find(name).map(Node::Group),
            Member::Trigger(name) => self.triggers.find(name).map(Node::Trigger),
        }
    }

    /// Takes the name from a child that is not configured any more.
    fn give_up(&mut self, change: &Change) -> Option<Node> {
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

    /// Makes the child that is new.
    fn admit(
        &mut self,
        change: &Change,
        config: &crate::config::Config,
        prepared: &mut Prepared,
        ctx: &mut Context<Self>,
    ) -> Option<Node> {
        let Changed::Child(member) = &change.subject else { return None };
        match member {
            Member::Module(name) => {
                let module = config.modules.iter().find(|module| module.name == *name)?;
                let room = prepared.rooms.remove(name);
                Some(Node::Module(self.add_module(module, room, ctx)))
            }
            Member::Binding(name) => {
                let binding = config.bindings.iter().find(|binding| binding.name == *name)?;
                Some(Node::Binding(self.add_binding(binding, ctx)))
            }
            Member::Group(name) => {
                self.groups.set(config.groups.iter().find(|group| group.name == *name)?.clone());
                Some(Node::Group(self.groups.find(name)?))
            }
            Member::Trigger(name) => {
                let at = self.add_trigger(config.triggers.iter().find(|trigger| trigger.name == *name)?);
                self.triggers.get_mut(at)?.groundwork = prepared.triggers.remove(name);
                Some(Node::Trigger(at))
            }
        }
    }

    /// Starts a child that is new: a module from the code that was loaded before anything was applied.
    fn start_added(&mut self, node: Node, prepared: &mut Prepared, ctx: &mut Context<Self>) {
        let Node::Module(module) = node else { return self.start_leaf(node, ctx) };
        let Some(child) = self.modules.get_mut(module).filter(|child| !child.config.lazy) else { return };
        match prepared.code.remove(&child.config.name) {
            Some(loaded) => {
                child.enter(Phase::Loading);
                child.code.seen = loaded.file.as_ref().map(|file| file.fingerprint);
                self.touched(node, ctx);
                self.loaded(module, loaded, ctx);
            }
            None => self.start_leaf(node, ctx),
        }
    }

    /// Adds a module that does not run yet.
    pub(super) fn add_module(&mut self, module: &Module, room: Option<Room>, ctx: &mut Context<Self>) -> usize {
        let at = self.modules.next_id();
        let supervisor = ctx.address();
        // One notice for each lazy module; it must not be lost.
        let want = move || supervisor.do_send(ModuleWanted(at));
        let gate = if module.lazy { Gate::Lazy } else { Gate::Open };
        let settings = QueueSettings::from(module);
        let (budget, loads) = (Arc::clone(&self.budget), Arc::clone(self.workers.loads()));
        let queue = ModuleQueue::new(Arc::clone(&module.name), settings, gate, budget, loads, want);
        let queue = Arc::new(queue);
        let workers = self.workers.count().max(1);
        let count = module.instances.count(workers);
        let places: Vec<usize> = (0..count).map(|at| (self.next_worker + at) % workers).collect();
        self.next_worker = (self.next_worker + count) % workers;
        let mut child = ModuleChild::new(Arc::new(module.clone()), Arc::clone(&queue), &places);
        child.room = room;
        drop(self.known.insert(queue));
        self.modules.insert(Arc::clone(&module.name), child)
    }

    /// Adds a binding whose backend is not open yet.
    pub(super) fn add_binding(&mut self, binding: &Binding, ctx: &mut Context<Self>) -> usize {
        let at = self.bindings.next_id();
        let child = BindingChild::new(
            at,
            binding.clone(),
            &self.workers,
            &ctx.address().recipient(),
            Arc::clone(&self.context.observer),
        );
        self.bindings.insert(Arc::clone(&binding.name), child)
    }

    /// Gives a child its new settings, and does what else they take.
    fn change(
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
    fn renew_links(&self) {
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

    /// Ends a child that is not configured any more.
    fn retire(&mut self, node: Node, ctx: &mut Context<Self>) {
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

    /// Gives a child another chance that failed with a group to which it belongs no more.
    fn release(&mut self, leaf: Node, ctx: &mut Context<Self>) {
        let has_failed = match leaf {
            Node::Module(at) => self.modules.get(at).is_some_and(|child| child.phase == Phase::Failed),
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| child.phase == BindingPhase::Failed),
            Node::Trigger(at) => self.triggers.get(at).is_some_and(|child| child.phase == TriggerPhase::Failed),
            Node::Group(_) => false,
        };
        if has_failed && !self.in_failed_group(leaf) && !self.parked.contains(&leaf) {
            self.histories.clear([leaf]);
            self.start_leaf(leaf, ctx);
        }
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
    pub(super) fn forget_removed(&mut self, node: Node, ctx: &mut Context<Self>) {
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
