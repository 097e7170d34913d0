//! What happens to the instances of a module: started, restarted at once or after a wait, renewed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context, Recipient};
use futures_util::future::AbortHandle;

use super::{
    binding_child::BindingChild,
    events::{Subject, What},
    exits::Place,
    generations::Code,
    instance::{self, InstanceStarted, Recipe, Start},
    module_child::{Phase, Then},
    probation::CodeExit,
    slot::{Live, SlotState},
    stops::leave,
    topology::Node,
    tree::Supervisor,
};
use crate::{
    actors::{ExitReason, How, InstanceExited, Leave},
    bindings::BindingCall,
};

/// An instance that is being started.
struct Started {
    instance: u64,
    /// Of its code: the end of a worker on the way may have ended a swap.
    generation: u64,
    abort: AbortHandle,
}

impl Supervisor {
    /// Starts an instance in a place, if nothing is there and its turn has come. What still leaves it is followed by a fresh one when it exits.
    pub(super) fn start_instance(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let child = self.modules.get(module).filter(|child| !child.waits_for_opening(slot));
        let place = child.and_then(|child| child.slots.get(slot));
        let Some(worker) = place.filter(|place| place.state.is_empty()).map(|place| place.worker) else { return };
        // A worker whose end has not been told yet is replaced here, so that nothing is started on it.
        let instance = match self.try_start(module, slot, worker, ctx) {
            None => {
                self.replace_worker(worker, ctx);
                self.try_start(module, slot, worker, ctx)
            }
            started => started,
        };
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot) else { return };
        if let Some(Started { instance, generation, abort }) = instance {
            place.state = SlotState::Starting(instance, abort);
            place.generation = generation;
            place.opening = child.opening;
            place.sick = 0;
        }
    }

    /// Starts an instance in an empty place; `None` when the worker has ended.
    fn try_start(&self, module: usize, slot: usize, worker: usize, ctx: &Context<Self>) -> Option<Started> {
        let child = self.modules.get(module)?;
        let code = child.code_for(slot)?;
        let generation = code.generation;
        let opening = child.is_to_open(generation).then(|| self.opening(module, ctx));
        let start = Start {
            module,
            slot,
            worker,
            recipe: Recipe { opening, ..self.recipe(module, worker, code, child.is_tried(slot))? },
            queue: Arc::clone(&child.queue),
            started: ctx.address().recipient(),
            exited: ctx.address().recipient(),
        };
        let (instance, abort) = instance::start(&self.workers.handle(worker)?, start)?;
        Some(Started { instance, generation, abort })
    }

    /// What a guest of a module is made of on a worker; `tried`: with the probe of its swaps.
    pub(super) fn recipe(&self, module: usize, worker: usize, code: &Code, tried: bool) -> Option<Recipe> {
        let child = self.modules.get(module)?;
        Some(Recipe {
            observer: Arc::clone(&self.context.observer),
            generation: code.generation,
            compiled: code.compiled.clone(),
            config: Arc::clone(&child.config),
            probe: child.config.swap.probe.clone().filter(|_| tried),
            opening: None,
            bindings: self.binding_actors(worker),
        })
    }

    /// The bindings' actors on a worker, by the bindings' names.
    pub(super) fn binding_actors(&self, worker: usize) -> Vec<(Arc<str>, Recipient<BindingCall>)> {
        let named = |binding: &BindingChild| Some((Arc::clone(binding.name()), binding.actor(worker)?));
        self.bindings.values().filter(|binding| !binding.removed).filter_map(named).collect()
    }

    /// Notes that an instance takes calls.
    pub(super) fn instance_started(&mut self, message: InstanceStarted, ctx: &mut Context<Self>) {
        let InstanceStarted { module, slot, instance, addr, facts, links, config } = message;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        // It was ready before the end of its start reached it. It may have code of an earlier load.
        let unwanted = matches!(&place.state, SlotState::Starting(_, abort) if abort.is_aborted());
        let leaves = match child.phase {
            Phase::Up if !unwanted => None,
            Phase::Stopping(Then::Stop) => Some(How::WhenFree),
            _ => Some(How::AfterCall),
        };
        let changed = !Arc::ptr_eq(&config, &child.config);
        let live = Live { id: instance, addr, facts, links };
        place.state = match leaves {
            None => SlotState::Live(live),
            Some(how) => {
                live.addr.do_send(Leave::from(how));
                SlotState::Leaving(live)
            }
        };
        let generation = place.generation;
        let what = What::InstanceStarted { instance, generation, worker: place.worker };
        child.running_since.get_or_insert_with(Instant::now);
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        child.swaps.started(slot, instance);
        if changed {
            self.adjust_instance(module, slot);
        }
        self.put_back_other_code(module, slot, generation);
        self.start_waiting(module, ctx);
        self.part_with_last(module, ctx);
        self.touched(Node::Module(module), ctx);
    }

    /// Carries out what follows from the exit of an instance.
    pub(super) fn instance_exited(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        let InstanceExited { module, slot, instance, report, at } = exit;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        let (worker, generation) = (place.worker, place.generation);
        place.state = SlotState::Empty;
        child.queue.part(instance);
        self.note_parted(module, instance, &report);
        let Some(child) = self.modules.get_mut(module) else { return };
        if child.live().next().is_none() {
            child.running_since = None;
        }
        let spare = child.phase == Phase::Up && child.drop_spare(slot);
        match child.phase {
            // A swap whose turn it was goes on with the others.
            Phase::Up if spare => child.swaps.left(instance),
            Phase::Up if report.reason == ExitReason::Stopped => {
                // It left because a restart was asked for.
                child.restarts.add(ExitReason::Stopped);
                child.swaps.left(instance);
                self.start_instance(module, slot, ctx);
            }
            Phase::Up => {
                let place = Place { instance: Some(instance), slot: Some(slot), worker };
                let exit = CodeExit { slot, instance, generation };
                match self.exit_of_code(module, exit, report.reason) {
                    Some(failure) => {
                        self.note_ended(Node::Module(module), &report, Some(place), "roll_back", None);
                        self.code_failed(module, exit, failure, &report, ctx);
                    }
                    None => self.child_ended(Node::Module(module), report, Some(place), at, ctx),
                }
            }
            Phase::Stopping(then) => {
                if report.reason != ExitReason::Stopped {
                    child.last_exit = Some(report);
                }
                if child.is_empty() {
                    self.ended(module, then);
                } else {
                    self.part_with_last(module, ctx);
                }
            }
            Phase::Idle | Phase::Loading | Phase::Waiting(_) | Phase::Held | Phase::Stopped | Phase::Failed => {}
        }
        self.start_waiting(module, ctx);
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

    /// Gives a running module fresh instances, each after its call.
    pub(super) fn renew_instances(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        child.close();
        leave(child, How::AfterCall);
        child.mark_leaving();
        self.end_backoff(module, ctx);
    }

    /// Starts at once what waits for its restart: nobody waits any longer for what an operator wants now.
    pub(super) fn end_backoff(&mut self, module: usize, ctx: &mut Context<Self>) {
        let slots = self.modules.get(module).map_or(0, |child| child.slots.len());
        for slot in 0..slots {
            let place = self.modules.get_mut(module).and_then(|child| child.slots.get_mut(slot));
            if let Some(place) = place.filter(|place| matches!(place.state, SlotState::Backoff(_))) {
                place.state = SlotState::Empty;
                self.start_instance(module, slot, ctx);
            }
        }
    }
}
