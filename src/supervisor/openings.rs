//! Which instance of a module calls `on_start`, and which wait for it.
//!
//! A module with `on_start` is open while an instance lives that was started since the call succeeded. Until it is, one
//! instance is started, which makes the call, and all other places stay empty. Each generation is opened for itself, so
//! that the first guest of a swap makes the call while the old ones serve.

use actix::{AsyncContext, Context};

use super::{
    module_child::{ModuleChild, Phase},
    on_start::Opening,
    slot::{Slot, SlotState},
    topology::Node,
    tree::Supervisor,
};

impl ModuleChild {
    /// Whether an instance of that generation lives that was started since the module was opened last.
    pub(super) fn is_open(&self, generation: u64) -> bool {
        let mut slots = self.slots.iter().filter(|slot| slot.generation == generation && slot.opening == self.opening);
        slots.any(|slot| matches!(slot.state, SlotState::Live(_) | SlotState::Leaving(_)))
    }

    /// Whether the instance that opens that generation is being started.
    pub(super) fn is_opening(&self, generation: u64) -> bool {
        let mut slots = self.slots.iter().filter(|slot| slot.generation == generation && slot.opening == self.opening);
        self.config.on_start.is_some()
            && !self.is_open(generation)
            && slots.any(|slot| matches!(slot.state, SlotState::Starting(..)))
    }

    /// Whether a guest of that generation has to open the module.
    pub(super) fn is_to_open(&self, generation: u64) -> bool {
        self.config.on_start.is_some() && !self.is_open(generation)
    }

    /// Whether nothing may be started in a place yet: another instance opens the module, or the last one of the stop before
    /// says its last words.
    pub(super) fn waits_for_opening(&self, slot: usize) -> bool {
        let Some(generation) = self.code_for(slot).map(|code| code.generation) else { return false };
        let leaving = self.farewell.as_ref().is_some_and(|farewell| self.has(farewell.instance));
        self.config.on_start.is_some() && (self.is_opening(generation) || leaving)
    }

    /// Whether the module waits for the restart of the instance that is to open it.
    pub(super) fn rests_before_opening(&self) -> bool {
        let rests = |slot: &Slot| matches!(slot.state, SlotState::Backoff(_));
        self.is_to_open(self.code.generation()) && self.slots.iter().any(rests)
    }

    /// Closes the module: the next instance opens it again.
    pub(super) fn close(&mut self) {
        let (generation, opening) = (self.code.generation(), self.opening);
        if self.config.on_start.is_none() || !self.is_open(generation) {
            return;
        }
        // What is being started would serve without it.
        for slot in self.slots.iter().filter(|slot| slot.generation == generation && slot.opening == opening) {
            if let SlotState::Starting(_, abort) = &slot.state {
                abort.abort();
            }
        }
        self.opening += 1;
    }

    /// What is waited for at the moment, in words: by a module that starts, or by a swap.
    pub(super) fn opens_with(&self) -> Option<String> {
        let progress = self.progress.as_ref()?;
        let starts = |state: &SlotState| matches!(state, SlotState::Starting(id, _) if *id == progress.instance);
        let step = self.swaps.rolling().and_then(|rolling| rolling.step.as_ref());
        let renews = step.is_some_and(|step| step.instance == progress.instance && step.renewal.is_some());
        (renews || self.slots.iter().any(|slot| starts(&slot.state))).then(|| progress.describe())
    }

    /// Whether the instance is there, starting or live.
    pub(super) fn has(&self, instance: u64) -> bool {
        self.slots.iter().any(|slot| slot.state.is(instance))
    }
}

impl Supervisor {
    /// Who hears of the attempts of a guest that opens its module.
    pub(super) fn opening(&self, module: usize, ctx: &Context<Self>) -> Opening {
        Opening { module, told: ctx.address().recipient() }
    }

    /// Starts what waited until the module was open; where the instance that was to open it is gone for good, another one
    /// does.
    pub(super) fn start_waiting(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let is_due = child.config.on_start.is_some() && child.phase == Phase::Up && !child.rests_before_opening();
        // What its group restarts is started by that.
        if !is_due || self.groups.due(Node::Module(module)).is_some() {
            return;
        }
        for slot in 0..child.slots.len() {
            let Some(child) = self.modules.get(module) else { return };
            let is_open = child.code_for(slot).is_some_and(|code| child.is_open(code.generation));
            // A swap starts what is missing with its own code.
            let is_next = is_open || child.swaps.rolling().is_none();
            if is_next && child.slots.get(slot).is_some_and(|place| place.state.is_empty()) {
                self.start_instance(module, slot, ctx);
            }
        }
    }
}
