//! What happens to a module: its file is loaded, it waits for its bindings, and its instances are started.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Acquire},
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context, Message};

use super::{
    binding_child::BindingPhase,
    events::{Subject, What},
    generations::{Code, Sha256},
    loader::{Job, Loaded, Outcome, Source},
    module_child::{ModuleChild, Phase, Then},
    module_error::ModuleError,
    status::ModuleStatus,
    stops::leave,
    topology::Node,
    tree::Supervisor,
    trigger_child::TriggerPhase,
};
use crate::{
    actors::{ExitReason, ExitReport, Gate, How, causes_of},
    config::{Declared, Module},
    host::WasmtimeEngine,
};

/// Names of those that a module waits for in its status. In a large group each of its members waits for all before it.
const NAMED: usize = 8;

/// How long the start of a module waits for whoever writes its file. A copy takes seconds; a file that stays open for
/// longer is read when it changes next.
const WRITTEN_FOR: Duration = Duration::from_secs(10);

/// Tells the supervisor how a load ended. Nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ModuleLoaded {
    pub(super) module: usize,
    /// Which load this is; a later one makes it stale.
    pub(super) load: u64,
    pub(super) outcome: Outcome,
}

impl Supervisor {
    /// Starts a module that does not run: from the code that is there where its group restarts it, else from its file.
    pub(super) fn start_module(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        match child.phase {
            // Its first call loads it.
            Phase::Idle if child.config.lazy => {}
            Phase::Failed if child.config.lazy && child.code.current().is_none() && child.swaps.is_idle() => {
                child.enter(Phase::Idle);
                child.queue.set_gate(Gate::Lazy);
            }
            Phase::Held if child.code.current().is_some() => self.await_turn(module, ctx),
            Phase::Idle | Phase::Held | Phase::Stopped | Phase::Failed => self.load(module, ctx),
            Phase::Loading | Phase::Waiting(_) | Phase::Up | Phase::Stopping(_) => {}
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Reads and compiles the module's file; [`ModuleLoaded`] tells how that went.
    pub(super) fn load(&mut self, module: usize, ctx: &mut Context<Self>) {
        self.give_up_swaps(module, "it is being loaded");
        let Some(child) = self.modules.get_mut(module) else { return };
        child.enter(Phase::Loading);
        open(child, self.draining);
        // What still finishes what it had makes way for the new code after its call, not when nothing waits any more.
        leave(child, How::AfterCall);
        child.mark_leaving();
        let (path, load, current) = (child.config.path.clone(), child.next_load(), Arc::clone(&child.load));
        let supervisor = ctx.address();
        // One notice for each load, and the supervisor outlives the thread.
        let done = move |outcome| supervisor.do_send(ModuleLoaded { module, load, outcome });
        let wanted = move || current.load(Acquire) == load;
        let job = self.load_job(module, Source::Start(path), Vec::new(), wanted, done);
        if !job.is_some_and(|job| self.loader.as_ref().is_some_and(|loader| loader.load(job))) {
            let causes = vec!["the threads that load modules are not running".to_owned()];
            self.load_failed(module, ExitReport::new(ExitReason::LoadFailed, causes), ctx);
        }
    }

    /// What is to be loaded for a module.
    pub(super) fn load_job(
        &self,
        module: usize,
        source: Source,
        known: Vec<Sha256>,
        wanted: impl Fn() -> bool + Send + 'static,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) -> Option<Job> {
        let child = self.modules.get(module)?;
        let engine = child.room.as_ref()?.engine().clone();
        Some(self.job_of(&child.config, (source, engine), known, wanted, done))
    }

    /// What is to be loaded of a configured module, on this engine.
    pub(super) fn job_of(
        &self,
        config: &Module,
        (source, engine): (Source, WasmtimeEngine),
        known: Vec<Sha256>,
        wanted: impl Fn() -> bool + Send + 'static,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) -> Job {
        Job {
            module: Arc::clone(&config.name),
            source,
            limits: config.limits.clone(),
            acceptance: self.acceptance.clone().filter(|_| config.declared == Declared::Dropped),
            engine,
            known,
            wanted: Box::new(wanted),
            done: Box::new(done),
        }
    }

    /// Loads a module again whose file was being written; after some time that is an error like others.
    pub(super) fn load_again(&mut self, module: usize, path: PathBuf, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let since = *child.written_since.get_or_insert_with(Instant::now);
        if since.elapsed() > WRITTEN_FOR {
            let error = ModuleError::BeingWritten { path };
            return self.load_failed(module, ExitReport::new(ExitReason::LoadFailed, causes_of(&error)), ctx);
        }
        let (load, settle) = (child.load.load(Acquire), self.config.watch.settle);
        self.later(settle, ctx, move |supervisor, ctx| {
            let current = |child: &ModuleChild| child.load.load(Acquire) == load && child.phase == Phase::Loading;
            if supervisor.modules.get(module).is_some_and(current) {
                supervisor.load(module, ctx);
            }
        });
    }

    /// Carries out that the module's file did not become code.
    pub(super) fn load_failed(&mut self, module: usize, report: ExitReport, ctx: &mut Context<Self>) {
        self.child_ended(Node::Module(module), report, None, Instant::now(), ctx);
    }

    /// Takes the code that was loaded.
    pub(super) fn loaded(&mut self, module: usize, loaded: Loaded, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Loaded { file, sha256, size, compiled, held, origin, instead, barred } = loaded;
        // A start compiles what it loads, whatever ran before.
        let Some(compiled) = compiled else { return };
        let generation = child.code.next_number();
        let what = What::Loaded { generation, sha256: sha256.to_string() };
        child.code.file = file;
        child.code.barred = barred;
        child.code.start(Code { compiled, sha256, size, generation, _held: Arc::new(held) }, origin, instead);
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        self.await_turn(module, ctx);
        self.touched(Node::Module(module), ctx);
    }

    /// Starts the instances when the bindings and the members before are there, or when they are late.
    pub(super) fn await_turn(&mut self, module: usize, ctx: &mut Context<Self>) {
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
            let name = supervisor.subject(Node::Module(module));
            let missing = supervisor.missing(module).join(", ");
            if let Some(last) = supervisor.required(module).into_iter().rev().find(|leaf| supervisor.lacks(*leaf)) {
                tracing::warn!(child = %name, missing, "module goes on waiting for what it requires");
                supervisor.waiting.insert(module, last);
                return;
            }
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
    pub(super) fn last_missing(&self, module: usize) -> Option<Node> {
        let late = |child: &ModuleChild| matches!(child.phase, Phase::Waiting(since) if since.elapsed() >= child.config.binding_wait);
        let awaited = if self.modules.get(module).is_some_and(late) { Vec::new() } else { self.awaited(module) };
        let coming = awaited.into_iter().rev().find(|leaf| self.is_coming(*leaf));
        coming.or_else(|| self.required(module).into_iter().rev().find(|leaf| self.lacks(*leaf)))
    }

    /// The bindings that a module does not start without.
    fn required(&self, module: usize) -> Vec<Node> {
        let Some(child) = self.modules.get(module) else { return Vec::new() };
        let required = child.config.links.iter().filter(|link| link.required);
        required.filter_map(|link| self.bindings.find(&link.to)).map(Node::Binding).collect()
    }

    /// Whether a required binding is not there, or what is behind it is not.
    fn lacks(&self, leaf: Node) -> bool {
        let Node::Binding(at) = leaf else { return false };
        self.bindings.get(at).is_some_and(|child| !child.is_connected_to_backend())
    }

    /// Whom a module's start waits for, and who is on the way; of many some.
    fn missing(&self, module: usize) -> Vec<String> {
        let mut missing = self.awaited(module);
        let required = self.required(module);
        missing.retain(|leaf| self.is_coming(*leaf) || (required.contains(leaf) && self.lacks(*leaf)));
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
        let bindings = child.config.links.iter().filter_map(|link| self.bindings.find(&link.to)).map(Node::Binding);
        let before: Vec<Node> = self.tree.before(Node::Module(module)).collect();
        bindings.chain(self.tree.leaves_of(&before)).collect()
    }

    /// Whether a leaf does not run yet and is about to.
    pub(super) fn is_coming(&self, leaf: Node) -> bool {
        match leaf {
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| {
                matches!(child.phase, BindingPhase::Opening | BindingPhase::Waiting | BindingPhase::Closing(_))
            }),
            Node::Module(at) => self.modules.get(at).is_some_and(|child| match child.phase {
                Phase::Loading | Phase::Waiting(_) | Phase::Held | Phase::Stopping(Then::Hold) => true,
                Phase::Up => child.live().next().is_none(),
                Phase::Idle | Phase::Stopping(Then::Stop) | Phase::Stopped | Phase::Failed => false,
            }),
            Node::Trigger(at) => self.triggers.get(at).is_some_and(|child| {
                matches!(child.phase, TriggerPhase::Waiting(_) | TriggerPhase::Starting | TriggerPhase::Resting)
            }),
            Node::Group(_) => false,
        }
    }

    /// Starts an instance in every empty place.
    fn fill(&mut self, module: usize, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        let Some(child) = self.modules.get_mut(module) else { return };
        child.fit_slots(&mut self.next_worker, self.workers.count());
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
