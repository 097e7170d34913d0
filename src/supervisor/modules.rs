//! What happens to a module: its file is loaded, it waits for its bindings, and its instances are started.

use std::{sync::Arc, time::Instant};

use actix::Context;

use super::{
    binding_child::BindingPhase,
    events::{Subject, What},
    loader::{LoadRequest, Loaded},
    module_child::{ModuleChild, Phase, Then},
    status::ModuleStatus,
    stops::leave,
    topology::Node,
    tree::Supervisor,
};
use crate::actors::{ExitReason, ExitReport, Gate, How};

/// Names of those that a module waits for in its status. In a large group each of its members waits for all before it.
const NAMED: usize = 8;

impl Supervisor {
    /// Starts a module that does not run: from the code that is there where its group restarts it, else from its file.
    pub(super) fn start_module(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        match child.phase {
            // Its first call loads it.
            Phase::Idle if child.config.lazy => {}
            Phase::Failed if child.config.lazy && child.code.is_none() && child.generation == 0 => {
                child.enter(Phase::Idle);
                child.queue.set_gate(Gate::Lazy);
            }
            Phase::Held if child.code.is_some() => self.await_turn(module, ctx),
            Phase::Idle | Phase::Held | Phase::Stopped | Phase::Failed => self.load(module, ctx),
            Phase::Loading | Phase::Waiting(_) | Phase::Up | Phase::Stopping(_) => {}
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Reads and compiles the module's file; [`ModuleLoaded`](super::loader::ModuleLoaded) tells how that went.
    pub(super) fn load(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        child.enter(Phase::Loading);
        open(child, self.draining);
        // What still finishes what it had makes way for the new code after its call, not when nothing waits any more.
        leave(child, How::AfterCall);
        child.mark_leaving();
        let (path, limit) = (child.config.path.clone(), child.config.limits.module_size);
        let request = LoadRequest { module, load: child.next_load(), current: Arc::clone(&child.load), path, limit };
        if !self.loader.as_ref().is_some_and(|loader| loader.load(request)) {
            let causes = vec!["the threads that load modules are not running".to_owned()];
            self.load_failed(module, ExitReport::new(ExitReason::LoadFailed, causes), ctx);
        }
    }

    /// Carries out that the module's file did not become code.
    pub(super) fn load_failed(&mut self, module: usize, report: ExitReport, ctx: &mut Context<Self>) {
        self.child_ended(Node::Module(module), report, None, Instant::now(), ctx);
    }

    /// Takes the code that was loaded.
    pub(super) fn loaded(&mut self, module: usize, loaded: Loaded, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        child.generation += 1;
        let what = What::Loaded { generation: child.generation, sha256: loaded.sha256.clone() };
        child.code = Some(loaded);
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        self.await_turn(module, ctx);
        self.touched(Node::Module(module), ctx);
    }

    /// Starts the instances when the bindings and the members before are there, or when they are late.
    fn await_turn(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        child.enter(Phase::Waiting(Instant::now()));
        open(child, self.draining);
        let (era, wait) = (child.era, child.config.binding_wait);
        let Some(last) = self.last_missing(module) else { return self.fill(module, ctx) };
        self.waiting.insert(module, last);
        self.later(wait, ctx, move |supervisor, ctx| {
            if supervisor.modules.get(module).is_none_or(|child| child.era != era) {
                return;
            }
            let missing = supervisor.missing(module).join(", ");
            let name = supervisor.subject(Node::Module(module));
            tracing::warn!(child = %name, missing, "module starts without what it waited for");
            supervisor.fill(module, ctx);
            supervisor.touched(Node::Module(module), ctx);
        });
    }

    /// Lets the modules start whose turn has come with this leaf.
    pub(super) fn wake_waiting(&mut self, leaf: Node, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() || self.is_coming(leaf) {
            return;
        }
        let waiting = self.waiting.iter().filter(|(_, last)| **last == leaf);
        for module in waiting.map(|(module, _)| *module).collect::<Vec<_>>() {
            // The start of one may have changed what another waits for.
            let waits = self.waiting.get_mut(&module).is_some_and(|last| *last == leaf);
            match self.last_missing(module) {
                _ if !waits => {}
                Some(last) => {
                    self.waiting.insert(module, last);
                }
                None => {
                    self.fill(module, ctx);
                    self.touched(Node::Module(module), ctx);
                }
            }
        }
    }

    /// The last of those that a module's start waits for: in a large group the one that comes last, so that the module is
    /// not looked at for each of the others.
    fn last_missing(&self, module: usize) -> Option<Node> {
        let awaited = self.awaited(module);
        awaited.into_iter().rev().find(|leaf| self.is_coming(*leaf))
    }

    /// Whom a module's start waits for, and who is on the way; of many some.
    fn missing(&self, module: usize) -> Vec<String> {
        let mut missing = self.awaited(module);
        missing.retain(|leaf| self.is_coming(*leaf));
        missing.sort_unstable();
        missing.dedup();
        let mut names: Vec<_> = missing.iter().take(NAMED).map(|leaf| self.subject(*leaf).to_string()).collect();
        if missing.len() > NAMED {
            names.push(format!("{} others", missing.len() - NAMED));
        }
        names
    }

    /// Whom a module's start may wait for: bindings of its links and members before it.
    fn awaited(&self, module: usize) -> Vec<Node> {
        let Some(child) = self.modules.get(module) else { return Vec::new() };
        let linked = |at: &usize| {
            let name = self.bindings.get(*at).map(|binding| binding.name());
            name.is_some_and(|name| child.config.links.iter().any(|link| link.to == *name))
        };
        let bindings = (0..self.bindings.len()).filter(linked).map(Node::Binding);
        let before: Vec<Node> = self.tree.before(Node::Module(module)).collect();
        bindings.chain(self.tree.leaves_of(&before)).collect()
    }

    /// Whether a leaf does not run yet and is about to.
    fn is_coming(&self, leaf: Node) -> bool {
        match leaf {
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| {
                matches!(child.phase, BindingPhase::Opening | BindingPhase::Waiting | BindingPhase::Closing(_))
            }),
            Node::Module(at) => self.modules.get(at).is_some_and(|child| match child.phase {
                Phase::Loading | Phase::Waiting(_) | Phase::Held | Phase::Stopping(Then::Hold) => true,
                Phase::Up => child.live().next().is_none(),
                Phase::Idle | Phase::Stopping(Then::Stop) | Phase::Stopped | Phase::Failed => false,
            }),
            Node::Group(_) => false,
        }
    }

    /// Starts an instance in every empty place.
    fn fill(&mut self, module: usize, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        let Some(child) = self.modules.get_mut(module) else { return };
        child.enter(Phase::Up);
        for slot in 0..child.slots.len() {
            self.start_instance(module, slot, ctx);
        }
    }

    /// Everything about a module.
    pub(super) fn module_status(&self, module: usize, now: Instant) -> Option<ModuleStatus> {
        let mut status = self.modules.get(module)?.status(now);
        let node = Node::Module(module);
        status.group = self.group_name(node);
        status.restarts_in_window = self.in_window(node, now);
        if self.waiting.contains_key(&module) {
            status.waiting_for = self.missing(module);
        }
        Some(status)
    }
}

/// Lets calls come, or only those that the daemon's stop lets in.
fn open(child: &ModuleChild, draining: bool) {
    child.queue.set_gate(if draining { Gate::Finishing } else { Gate::Open });
}
