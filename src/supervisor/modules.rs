//! What happens to a module: load, wait for bindings, start, restart, stop, fail.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context};

use super::{
    binding_child::BindingPhase,
    events::{Subject, What},
    instance::{self, InstanceStarted, Start},
    loader::{LoadRequest, Loaded},
    module_child::{Live, ModuleChild, Phase, SlotState, Then},
    status::ModuleStatus,
    topology::Node,
    tree::{Place, Supervisor},
};
use crate::{
    actors::{ExitReason, ExitReport, Gate, How, InstanceExited, Leave, Refusal},
    config::Shutdown,
};

/// Names of those that a module waits for in its status. In a large group each of its members waits for all before it.
const NAMED: usize = 8;

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

    /// Starts an instance in a place, if nothing is there. What still leaves it is followed by a fresh one when it exits.
    fn start_instance(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let place = self.modules.get(module).and_then(|child| child.slots.get(slot));
        let Some(worker) = place.filter(|place| place.state.is_empty()).map(|place| place.worker) else { return };
        // A worker whose end has not been told yet is replaced here, so that nothing is started on it.
        let instance = match self.try_start(module, slot, worker, ctx) {
            None => {
                self.replace_worker(worker, ctx);
                self.try_start(module, slot, worker, ctx)
            }
            started => started,
        };
        let Some(place) = self.modules.get_mut(module).and_then(|child| child.slots.get_mut(slot)) else { return };
        if let Some((instance, abort)) = instance {
            place.state = SlotState::Starting(instance, abort);
            place.sick = 0;
        }
    }

    /// Starts an instance in an empty place; `None` when the worker has ended.
    fn try_start(
        &self,
        module: usize,
        slot: usize,
        worker: usize,
        ctx: &Context<Self>,
    ) -> Option<(u64, futures_util::future::AbortHandle)> {
        let child = self.modules.get(module)?;
        let to =
            |binding: &super::binding_child::BindingChild| Some((Arc::clone(binding.name()), binding.actor(worker)?));
        let start = Start {
            module,
            slot,
            worker,
            generation: child.generation,
            compiled: child.code.as_ref()?.compiled.clone(),
            config: Arc::clone(&child.config),
            queue: Arc::clone(&child.queue),
            bindings: self.bindings.iter().filter_map(to).collect(),
            started: ctx.address().recipient(),
            exited: ctx.address().recipient(),
        };
        instance::start(&self.workers.handle(worker)?, start)
    }

    /// Notes that an instance takes calls.
    pub(super) fn instance_started(&mut self, message: InstanceStarted, ctx: &mut Context<Self>) {
        let InstanceStarted { module, slot, instance, addr, facts } = message;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        // It was ready before the end of its start reached it. It may have code of an earlier load.
        let unwanted = matches!(&place.state, SlotState::Starting(_, abort) if abort.is_aborted());
        let leaves = match child.phase {
            Phase::Up if !unwanted => None,
            Phase::Stopping(Then::Stop) => Some(How::WhenFree),
            _ => Some(How::AfterCall),
        };
        let live = Live { id: instance, addr, facts };
        place.state = match leaves {
            None => SlotState::Live(live),
            Some(how) => {
                live.addr.do_send(Leave::from(how));
                SlotState::Leaving(live)
            }
        };
        let what = What::InstanceStarted { instance, generation: child.generation, worker: place.worker };
        child.running_since.get_or_insert_with(Instant::now);
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        self.touched(Node::Module(module), ctx);
    }

    /// Carries out what follows from the exit of an instance.
    pub(super) fn instance_exited(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        let InstanceExited { module, slot, instance, report, at } = exit;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        let worker = place.worker;
        place.state = SlotState::Empty;
        child.queue.part(instance);
        if child.live().next().is_none() {
            child.running_since = None;
        }
        match child.phase {
            Phase::Up if report.reason == ExitReason::Stopped => {
                // It left because a restart was asked for.
                child.restarts.add(ExitReason::Stopped);
                self.start_instance(module, slot, ctx);
            }
            Phase::Up => {
                let place = Place { instance: Some(instance), slot: Some(slot), worker };
                self.child_ended(Node::Module(module), report, Some(place), at, ctx);
            }
            Phase::Stopping(then) => {
                if report.reason != ExitReason::Stopped {
                    child.last_exit = Some(report);
                }
                if child.is_empty() {
                    self.ended(module, then);
                }
            }
            Phase::Idle | Phase::Loading | Phase::Waiting(_) | Phase::Held | Phase::Stopped | Phase::Failed => {}
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Starts a fresh instance where one ended, at once or after a wait.
    pub(super) fn restart_instance(
        &mut self,
        module: usize,
        place: Option<Place>,
        after: Duration,
        ctx: &mut Context<Self>,
    ) {
        let Some(slot) = place.and_then(|place| place.slot) else { return };
        if after.is_zero() {
            return self.start_instance(module, slot, ctx);
        }
        let until = Instant::now() + after;
        let Some(child) = self.modules.get_mut(module) else { return };
        let era = child.era;
        if let Some(place) = child.slots.get_mut(slot) {
            place.state = SlotState::Backoff(until);
        }
        self.later(after, ctx, move |supervisor, ctx| {
            let Some(child) = supervisor.modules.get_mut(module).filter(|child| child.era == era) else { return };
            let place = child.slots.get_mut(slot);
            let due = |state: &SlotState| matches!(state, SlotState::Backoff(at) if *at == until);
            if let Some(place) = place.filter(|place| due(&place.state)) {
                place.state = SlotState::Empty;
                supervisor.start_instance(module, slot, ctx);
                supervisor.touched(Node::Module(module), ctx);
            }
        });
    }

    /// Gives a module up: it answers every caller with the reason, and what still runs ends.
    pub(super) fn fail_module(&mut self, module: usize, report: ExitReport, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        let Some(child) = self.modules.get_mut(module) else { return };
        // A load under way is stale from here on.
        child.next_load();
        child.enter(Phase::Failed);
        child.queue.set_gate(Gate::Refusing(Refusal::Failed(report.causes.join(": "))));
        child.last_exit = Some(report);
        child.abort_starts();
        leave(child, How::AfterCall);
        self.end_in_time(module, ctx);
        self.touched(Node::Module(module), ctx);
    }

    /// Takes no new calls, or holds them, and ends the instances.
    pub(super) fn stop_module(&mut self, module: usize, how: HowToStop, ctx: &mut Context<Self>) {
        self.waiting.remove(&module);
        let draining = self.draining;
        let Some(child) = self.modules.get_mut(module) else { return };
        child.next_load();
        let then = if how == HowToStop::Held { Then::Hold } else { Then::Stop };
        child.enter(Phase::Stopping(then));
        child.abort_starts();
        let empty = child.is_empty();
        match how {
            HowToStop::Held => {}
            HowToStop::Asked if !empty => child.queue.close(refusal(draining)),
            HowToStop::Asked | HowToStop::Ended | HowToStop::AtOnce => {
                child.queue.set_gate(Gate::Refusing(refusal(draining)))
            }
        }
        let when = match how {
            HowToStop::Asked => How::WhenFree,
            HowToStop::Held | HowToStop::Ended => How::AfterCall,
            HowToStop::AtOnce => How::Now,
        };
        leave(child, when);
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
            child.queue.set_gate(Gate::Refusing(refusal(draining)));
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
    fn ended(&mut self, module: usize, then: Then) {
        let draining = self.draining;
        let Some(child) = self.modules.get_mut(module) else { return };
        match then {
            Then::Hold => child.enter(Phase::Held),
            Then::Stop => {
                child.enter(Phase::Stopped);
                // Whatever came in between is answered too.
                child.queue.set_gate(Gate::Refusing(refusal(draining)));
            }
        }
    }

    /// Gives a running module fresh instances, each after its call.
    pub(super) fn renew_instances(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        leave(child, How::AfterCall);
        child.mark_leaving();
        for slot in 0..child.slots.len() {
            let place = self.modules.get_mut(module).and_then(|child| child.slots.get_mut(slot));
            if let Some(place) = place.filter(|place| matches!(place.state, SlotState::Backoff(_))) {
                // Nobody waits any longer for what an operator wants now.
                place.state = SlotState::Empty;
                self.start_instance(module, slot, ctx);
            }
        }
    }

    /// Everything about a module.
    pub(super) fn module_status(&self, module: usize, now: Instant) -> Option<ModuleStatus> {
        let mut status = self.modules.get(module)?.status(now);
        let node = Node::Module(module);
        status.group = self.group_name(node);
        status.restarts_in_window = self.histories.in_window(&self.tree, node, now);
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

/// What a module that stops tells its callers.
fn refusal(draining: bool) -> Refusal {
    if draining { Refusal::ShuttingDown } else { Refusal::Stopped }
}

/// Asks every live instance to end.
fn leave(child: &ModuleChild, how: How) {
    for live in child.live() {
        // An instance is asked a few times in its life; one whose mailbox is closed is gone already.
        live.addr.do_send(Leave::from(how));
    }
}
