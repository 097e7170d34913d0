//! The supervisor: an actor on the main thread that owns all children and carries out decisions.
//!
//! It sends and never waits, so that it answers whatever the workers do. `handlers.rs` holds what each message does.

use std::{
    sync::{Arc, atomic::Ordering::AcqRel},
    time::Instant,
};

use actix::{Actor, AsyncContext, Context};

use super::{
    bindings::BindingChild,
    child::{Child, Phase, SlotState},
    decide::{Decision, History, decide},
    instance::{self, Start},
    loader::{LoadRequest, Loaded, Loader},
    messages::Want,
    status::Status,
};
use crate::{
    actors::{ExitReason, ExitReport, Gate, InstanceExited, Leave, QueueBudget, Refusal, Workers},
    host::WasmtimeEngine,
};

/// Messages that may lie in the supervisor's mailbox: bursts of exits of every instance at once are sent past it.
const MAILBOX: usize = 1024;

/// Owns every child.
pub(super) struct Supervisor {
    pub(super) workers: Workers,
    pub(super) bindings: Vec<BindingChild>,
    pub(super) children: Vec<Child>,
    pub(super) engine: WasmtimeEngine,
    pub(super) budget: Arc<QueueBudget>,
    pub(super) started: Instant,
    pub(super) loader: Option<Loader>,
    pub(super) draining: bool,
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        match Loader::start(&self.engine, &ctx.address().recipient()) {
            Ok(loader) => self.loader = Some(loader),
            Err(error) => tracing::error!(%error, "threads that load modules did not start"),
        }
        for module in 0..self.children.len() {
            if self.children.get(module).is_some_and(|child| !child.config.lazy) {
                self.load(module);
            }
        }
    }
}

impl Supervisor {
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|child| &*child.config.name == name)
    }

    /// Reads and compiles the module's file; [`ModuleLoaded`](super::loader::ModuleLoaded) tells how that went.
    pub(super) fn load(&mut self, module: usize) {
        let Some(child) = self.children.get_mut(module) else { return };
        child.phase = Phase::Loading;
        let (path, limit) = (child.config.path.clone(), child.config.limits.module_size);
        let request = LoadRequest { module, load: child.next_load(), current: Arc::clone(&child.load), path, limit };
        if !self.loader.as_ref().is_some_and(|loader| loader.load(request)) {
            let causes = vec!["the threads that load modules are not running".to_owned()];
            self.fail(module, ExitReport::new(ExitReason::LoadFailed, causes));
        }
    }

    /// Starts an instance in every empty place.
    fn fill(&mut self, module: usize, ctx: &mut Context<Self>) {
        let slots = self.children.get(module).map_or(0, |child| child.slots.len());
        for slot in 0..slots {
            self.start_instance(module, slot, ctx);
        }
    }

    fn start_instance(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(module) else { return };
        let (Some(code), Some(place)) = (&child.code, child.slots.get_mut(slot)) else { return };
        if !matches!(place.state, SlotState::Empty) {
            return;
        }
        let worker = place.worker;
        let to = |binding: &BindingChild| Some((Arc::from(binding.name()), binding.actor(worker)?));
        let start = Start {
            module,
            slot,
            worker,
            generation: child.generation,
            compiled: code.compiled.clone(),
            config: Arc::clone(&child.config),
            queue: Arc::clone(&child.queue),
            bindings: self.bindings.iter().filter_map(to).collect(),
            started: ctx.address().recipient(),
            exited: ctx.address().recipient(),
        };
        let instance = self.workers.handle(worker).and_then(|handle| instance::start(&handle, start));
        match instance {
            Some((instance, abort)) => place.state = SlotState::Starting(instance, abort),
            None => {
                let report = ExitReport::new(ExitReason::Panicked, vec![format!("worker {worker} has ended")]);
                self.fail(module, report);
            }
        }
    }

    /// Gives a module up: it answers every caller with the reason, and what still runs ends.
    pub(super) fn fail(&mut self, module: usize, report: ExitReport) {
        let Some(child) = self.children.get_mut(module) else { return };
        let why = report.causes.join(": ");
        tracing::error!(module = %child.config.name, exit_reason = %report.reason, error = why, "module failed");
        child.phase = Phase::Failed;
        child.running_since = None;
        child.queue.set_gate(Gate::Refusing(Refusal::Failed(why)));
        child.last_exit = Some(report);
        child.abort_starts();
        leave(child, || Leave::AfterCall);
        child.tell_settled();
    }

    pub(super) fn loaded(&mut self, module: usize, loaded: Loaded, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(module) else { return };
        child.generation += 1;
        child.phase = Phase::Up;
        tracing::info!(module = %child.config.name, generation = child.generation, sha256 = loaded.sha256, "module loaded");
        child.code = Some(loaded);
        self.fill(module, ctx);
    }

    /// Carries out what follows from the exit of an instance.
    pub(super) fn exited(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        let InstanceExited { module, slot, instance, .. } = exit;
        let Some(child) = self.children.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        place.state = SlotState::Empty;
        child.queue.part(instance);
        if child.live().next().is_none() {
            child.running_since = None;
        }
        match child.phase {
            Phase::Up if exit.report.reason == ExitReason::Stopped => {
                // It left because a restart was asked for.
                tracing::info!(module = %child.config.name, instance, "instance restarts");
                child.restarts += 1;
                self.start_instance(module, slot, ctx);
            }
            Phase::Up => self.restart_or_not(exit, ctx),
            Phase::Stopping if child.is_empty() => self.stopped(module),
            Phase::Idle | Phase::Loading | Phase::Stopping | Phase::Stopped | Phase::Failed => {
                if exit.report.reason != ExitReason::Stopped {
                    child.last_exit = Some(exit.report);
                }
                child.tell_settled();
            }
        }
    }

    fn restart_or_not(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        let InstanceExited { module, slot, instance, report, at } = exit;
        let Some(child) = self.children.get_mut(module) else { return };
        let succeeded = child.queue.counters().succeeded.swap(false, AcqRel);
        let history = std::mem::take(&mut child.history);
        let (decision, history) = decide(&child.config.restart, report.reason, succeeded, history, at);
        child.history = history;
        let (operation, call, origin) = match &report.call {
            Some((operation, call, origin)) => (operation.as_str(), *call, origin.to_string()),
            None => ("", 0, String::new()),
        };
        tracing::warn!(
            module = %child.config.name, instance, exit_reason = %report.reason, error = report.causes.join(": "),
            operation, call, origin, %decision, "instance ended"
        );
        match decision {
            Decision::Restart => {
                child.restarts += 1;
                child.last_exit = Some(report);
                self.start_instance(module, slot, ctx);
            }
            Decision::Stop => {
                child.last_exit = Some(report);
                self.stop(module, Leave::AfterCall);
            }
            Decision::GiveUp => self.fail(module, report),
        }
    }

    /// Takes no new calls, finishes what is there and ends the instances.
    pub(super) fn stop(&mut self, module: usize, how: Leave) {
        let Some(child) = self.children.get_mut(module) else { return };
        // A load under way is stale from here on.
        child.next_load();
        let instances = !child.is_empty();
        let refusal = refusal(self.draining);
        match (&how, instances) {
            (Leave::WhenFree, true) => child.queue.close(refusal),
            _ => child.queue.set_gate(Gate::Refusing(refusal)),
        }
        child.phase = Phase::Stopping;
        child.abort_starts();
        leave(child, || match how {
            Leave::WhenFree => Leave::WhenFree,
            Leave::AfterCall => Leave::AfterCall,
            Leave::Now => Leave::Now,
        });
        if !instances {
            self.stopped(module);
        }
    }

    fn stopped(&mut self, module: usize) {
        let Some(child) = self.children.get_mut(module) else { return };
        tracing::info!(module = %child.config.name, "module stopped");
        child.phase = Phase::Stopped;
        child.running_since = None;
        // Whatever came in between is answered too.
        child.queue.set_gate(Gate::Refusing(refusal(self.draining)));
        child.tell_settled();
    }

    /// Gives a module that does not run a new chance, from its file.
    fn start_again(&mut self, module: usize) {
        let Some(child) = self.children.get_mut(module) else { return };
        child.history = History::default();
        child.queue.set_gate(Gate::Open);
        // One that still finishes what it had makes way for the new code after its call, not when nothing waits any more.
        leave(child, || Leave::AfterCall);
        child.mark_leaving();
        self.load(module);
    }

    pub(super) fn act(&mut self, module: usize, action: Want) {
        let Some(child) = self.children.get_mut(module) else { return };
        let running = matches!(child.phase, Phase::Loading | Phase::Up);
        match action {
            Want::Start if running => {}
            Want::Start => self.start_again(module),
            Want::Stop if child.phase == Phase::Stopped => {}
            Want::Stop => self.stop(module, Leave::WhenFree),
            Want::Restart if child.phase == Phase::Up => {
                leave(child, || Leave::AfterCall);
                child.mark_leaving();
            }
            Want::Restart if running => {}
            Want::Restart => self.start_again(module),
        }
    }

    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: now.saturating_duration_since(self.started).as_secs_f64(),
            workers: Vec::new(),
            groups: Vec::new(),
            draining: self.draining,
            queue_bytes: self.budget.used(),
            modules: self.children.iter().map(|child| child.line(now)).collect(),
            bindings: self.bindings.iter().map(BindingChild::status).collect(),
        }
    }
}

/// What a module that stops tells its callers.
fn refusal(draining: bool) -> Refusal {
    if draining { Refusal::ShuttingDown } else { Refusal::Stopped }
}

/// Asks every live instance to end.
fn leave(child: &Child, how: impl Fn() -> Leave) {
    for addr in child.live() {
        // An instance is asked a few times in its life; one whose mailbox is closed is gone already.
        addr.do_send(how());
    }
}
