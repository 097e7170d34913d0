//! One step of a swap: an instance gets a guest of the new code, or is started with it, or makes way for one of the old.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};

use super::{
    events::{Subject, What},
    generations::Code,
    instance::{self, Recipe, Renewal, routes},
    module_child::ModuleChild,
    slot::SlotState,
    status::GenerationOrigin,
    swaps::{Rolling, Stage, Step},
    topology::Node,
    tree::Supervisor,
};
use crate::actors::{How, Leave, TookOver};

impl Supervisor {
    /// Starts a guest of the new code beside a live instance, which is to take it.
    pub(super) fn renew_guest(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let Some(place) = child.slots.get(slot) else { return };
        let (SlotState::Live(live), Some(run)) = (&place.state, child.swaps.run()) else { return };
        let Stage::Rolling(rolling) = &run.stage else { return };
        let rolls_back = run.origin == GenerationOrigin::RollBack;
        let config = Arc::clone(&child.config);
        let Some(recipe) = self.recipe(module, place.worker, &rolling.code, !rolls_back) else { return };
        let opening = child.is_to_open(rolling.code.generation).then(|| self.opening(module, ctx));
        let recipe = Recipe { opening, ..recipe };
        let renewal = Renewal {
            module,
            instance: live.id,
            addr: live.addr.clone(),
            recipe,
            // The state of code that is not wanted is not handed on.
            hand_over: config.swap.hand_over.clone().filter(|_| !rolls_back),
            reply: ctx.address().recipient(),
        };
        let (instance, worker) = (live.id, place.worker);
        // A worker that has ended tells so, with the exit of its instances.
        let renewal = self.workers.handle(worker).and_then(|worker| instance::renew(&worker, renewal));
        let Some(abort) = renewal else { return };
        let step = Step { slot, instance, renewal: Some(abort), config };
        self.begin_step(module, step);
    }

    /// Starts an instance of the new code where none is.
    pub(super) fn start_swapped(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let config = Arc::clone(&child.config);
        if let Some(place) = child.slots.get_mut(slot) {
            place.state = SlotState::Empty;
        }
        // The step first, since it says which code is started.
        self.begin_step(module, Step { slot, instance: 0, renewal: None, config });
        self.start_instance(module, slot, ctx);
        let Some(child) = self.modules.get_mut(module) else { return };
        let started = child.slots.get(slot).and_then(|place| place.state.id());
        let Some(rolling) = child.swaps.rolling_mut() else { return };
        match (started, &mut rolling.step) {
            (Some(instance), Some(step)) => step.instance = instance,
            _ => rolling.step = None,
        }
    }

    fn begin_step(&mut self, module: usize, step: Step) {
        let rolling = self.modules.get_mut(module).and_then(|child| child.swaps.rolling_mut());
        if let Some(rolling) = rolling {
            rolling.step = Some(step);
        }
    }

    fn took_over(&mut self, message: TookOver, ctx: &mut Context<Self>) {
        let TookOver { module, instance, generation, outcome } = message;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(slot) = child.slots.iter().position(|place| place.state.is(instance)) else { return };
        let rolling = child.swaps.rolling_mut();
        let of_step = |rolling: &&mut Rolling| {
            rolling.code.generation == generation
                && rolling.step.as_ref().is_some_and(|step| step.instance == instance && step.renewal.is_some())
        };
        let step = rolling.filter(of_step).and_then(|rolling| rolling.step.take());
        match (step, outcome) {
            (Some(step), Ok(links)) => {
                let changed = !Arc::ptr_eq(&step.config, &child.config);
                if let Some(place) = child.slots.get_mut(slot) {
                    place.generation = generation;
                    place.sick = 0;
                    if let SlotState::Live(live) | SlotState::Leaving(live) = &mut place.state {
                        live.links = links;
                    }
                    let what = What::InstanceSwapped { instance, generation, worker: place.worker };
                    self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
                }
                if let Some(rolling) = child.swaps.rolling_mut() {
                    rolling.taken.insert(slot);
                }
                if changed {
                    self.adjust_instance(module, slot);
                }
                self.advance_swap(module, ctx);
            }
            (Some(_), Err(causes)) => self.swap_failed(module, causes, ctx),
            // The swap was given up, and the instance had taken its code already.
            (None, Ok(_)) => {
                child.slots.get_mut(slot).into_iter().for_each(|place| place.generation = generation);
                self.put_back_code(module, slot, generation);
            }
            (None, Err(_)) => {}
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Lets an instance make way that was started with code which does not take over any more.
    pub(super) fn put_back_other_code(&mut self, module: usize, slot: usize, generation: u64) {
        let code = self.modules.get(module).and_then(|child| child.code_for(slot));
        if code.is_some_and(|code| code.generation != generation) {
            self.put_back_code(module, slot, generation);
        }
    }

    /// Lets an instance make way that has code which is not the module's.
    pub(super) fn put_back_code(&mut self, module: usize, slot: usize, generation: u64) {
        let Some(child) = self.modules.get_mut(module) else { return };
        if child.code.generation() == generation {
            return;
        }
        let Some(place) = child.slots.get_mut(slot) else { return };
        match &place.state {
            SlotState::Live(live) => {
                live.addr.do_send(Leave::from(How::AfterCall));
                place.state = SlotState::Leaving(live.clone());
            }
            SlotState::Starting(_, abort) => abort.abort(),
            SlotState::Empty | SlotState::Backoff(_) | SlotState::Leaving(_) => {}
        }
    }

    /// Gives a live instance the links and limits that its module has now.
    pub(super) fn adjust_instance(&self, module: usize, slot: usize) {
        let Some(child) = self.modules.get(module) else { return };
        let Some(place) = child.slots.get(slot) else { return };
        if let SlotState::Live(live) | SlotState::Leaving(live) = &place.state {
            live.links.set(routes(&child.config, &self.binding_actors(place.worker)));
            // Few, and not to be lost.
            live.addr.do_send(crate::actors::SetLimits((&child.config.limits).into()));
        }
    }
}

impl ModuleChild {
    /// The code with which an instance is started in a place: the new one where a swap under way has come by.
    pub(super) fn code_for(&self, slot: usize) -> Option<&Code> {
        let rolling = self.swaps.rolling();
        let new = rolling.filter(|rolling| {
            rolling.taken.contains(&slot) || rolling.step.as_ref().is_some_and(|step| step.slot == slot)
        });
        new.map(|rolling| &rolling.code).or_else(|| self.code.current())
    }
}

impl Handler<TookOver> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: TookOver, ctx: &mut Context<Self>) {
        self.took_over(message, ctx);
    }
}
