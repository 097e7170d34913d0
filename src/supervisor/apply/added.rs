//! Children that are new: made, given a place in the tree, and started.

use std::sync::Arc;

use actix::{AsyncContext, Context};

use crate::{
    actors::{Gate, ModuleQueue, QueueSettings},
    config::{Binding, Change, Changed, Config, Member, Module},
    supervisor::{
        binding_child::BindingChild,
        engines::Room,
        messages::ModuleWanted,
        module_child::{ModuleChild, Phase},
        prepare::Prepared,
        topology::Node,
        tree::Supervisor,
    },
};

impl Supervisor {
    /// Makes the child that is new.
    pub(super) fn admit(
        &mut self,
        change: &Change,
        config: &Config,
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
    pub(super) fn start_added(&mut self, node: Node, prepared: &mut Prepared, ctx: &mut Context<Self>) {
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
    pub(in crate::supervisor) fn add_module(
        &mut self,
        module: &Module,
        room: Option<Room>,
        ctx: &mut Context<Self>,
    ) -> usize {
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
    pub(in crate::supervisor) fn add_binding(&mut self, binding: &Binding, ctx: &mut Context<Self>) -> usize {
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
}
