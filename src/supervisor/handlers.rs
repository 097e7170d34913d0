//! What the supervisor does with each message. Handlers find the child, let `tree.rs` act, and answer at once.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use actix::{Context, Handler};
use tokio::sync::oneshot;

use super::{
    bindings::BindingChild,
    child::{Child, Phase, SlotState},
    instance::InstanceStarted,
    loader::{ModuleError, ModuleLoaded},
    messages::{Act, Backends, Drain, EndModule, EndWorkers, GetBindings, GetModule, GetStatus, IsBusy, ModuleWanted},
    status::{BindingStatus, ModuleStatus},
    tree::Supervisor,
};
use crate::actors::{ExitReason, ExitReport, Gate, InstanceExited, Leave, Refusal, causes_of};

impl Handler<ModuleLoaded> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ModuleLoaded, ctx: &mut Context<Self>) {
        let ModuleLoaded { module, load, result } = message;
        let current = self
            .children
            .get(module)
            .is_some_and(|child| child.load.load(Relaxed) == load && child.phase == Phase::Loading);
        match result {
            _ if !current => {}
            Ok(loaded) => self.loaded(module, loaded, ctx),
            Err(error) => self.fail(module, load_report(&error)),
        }
    }
}

fn load_report(error: &ModuleError) -> ExitReport {
    ExitReport::new(ExitReason::LoadFailed, causes_of(error))
}

impl Handler<InstanceStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: InstanceStarted, _: &mut Context<Self>) {
        let InstanceStarted { module, slot, instance, addr } = message;
        let Some(child) = self.children.get_mut(module) else { return };
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        match child.phase {
            Phase::Up => {}
            Phase::Stopping => addr.do_send(Leave::WhenFree),
            Phase::Idle | Phase::Loading | Phase::Stopped | Phase::Failed => addr.do_send(Leave::AfterCall),
        }
        place.state = SlotState::Live(instance, addr);
        let (name, worker) = (&child.config.name, place.worker);
        tracing::info!(module = %name, instance, generation = child.generation, worker, "instance started");
        child.running_since.get_or_insert_with(Instant::now);
        child.tell_settled();
    }
}

impl Handler<InstanceExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        self.exited(exit, ctx);
    }
}

impl Handler<ModuleWanted> for Supervisor {
    type Result = ();

    fn handle(&mut self, ModuleWanted(module): ModuleWanted, _: &mut Context<Self>) {
        if self.children.get(module).is_some_and(|child| child.phase == Phase::Idle) {
            self.load(module);
        }
    }
}

impl Handler<GetStatus> for Supervisor {
    type Result = actix::MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.status())
    }
}

impl Handler<GetModule> for Supervisor {
    type Result = Option<ModuleStatus>;

    fn handle(&mut self, GetModule(name): GetModule, _: &mut Context<Self>) -> Self::Result {
        Some(self.children.get(self.find(&name)?)?.status(Instant::now()))
    }
}

impl Handler<GetBindings> for Supervisor {
    type Result = Vec<BindingStatus>;

    fn handle(&mut self, _: GetBindings, _: &mut Context<Self>) -> Self::Result {
        self.bindings.iter().map(BindingChild::status).collect()
    }
}

impl Handler<Act> for Supervisor {
    type Result = Option<oneshot::Receiver<()>>;

    fn handle(&mut self, Act { module, action }: Act, _: &mut Context<Self>) -> Self::Result {
        let module = self.find(&module).filter(|_| !self.draining)?;
        self.act(module, action);
        Some(self.children.get_mut(module)?.settled())
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining = true;
        for child in &self.children {
            match child.queue.gate() {
                Gate::Open => child.queue.set_gate(Gate::Finishing),
                // Nothing is loaded any more.
                Gate::Lazy => child.queue.set_gate(Gate::Refusing(Refusal::ShuttingDown)),
                Gate::Finishing | Gate::Refusing(_) => {}
            }
        }
    }
}

impl Handler<IsBusy> for Supervisor {
    type Result = bool;

    fn handle(&mut self, _: IsBusy, _: &mut Context<Self>) -> bool {
        let busy =
            |child: &Child| child.queue.numbers().calls > 0 || child.queue.counters().in_flight.load(Relaxed) > 0;
        self.children.iter().any(busy)
    }
}

impl Handler<EndModule> for Supervisor {
    type Result = Option<oneshot::Receiver<()>>;

    fn handle(&mut self, EndModule { module, how }: EndModule, _: &mut Context<Self>) -> Self::Result {
        let runs = |child: &Child| matches!(child.phase, Phase::Loading | Phase::Up) || !child.is_empty();
        if self.children.get(module).is_some_and(runs) {
            self.stop(module, how);
        }
        Some(self.children.get_mut(module)?.settled())
    }
}

impl Handler<EndWorkers> for Supervisor {
    type Result = Backends;

    fn handle(&mut self, _: EndWorkers, _: &mut Context<Self>) -> Self::Result {
        self.workers.stop();
        self.loader = None;
        Backends(self.bindings.iter().rev().filter_map(BindingChild::backend).collect())
    }
}
