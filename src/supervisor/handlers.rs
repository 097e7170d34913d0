//! What the supervisor does with each message. Handlers find the child, let others act, and answer at once.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use actix::{Context, Handler};
use tokio::sync::oneshot;

use super::{
    events::{Subject, What},
    instance::InstanceStarted,
    loader::ModuleLoaded,
    messages::{Act, Backends, Drain, EndModule, EndWorkers, GetModule, GetStatus, IsBusy, ModuleWanted, Want},
    module_child::{ModuleChild, Phase, Then},
    status::ModuleStatus,
    stops::HowToStop,
    topology::Node,
    tree::Supervisor,
};
use crate::actors::{ExitReason, ExitReport, Gate, How, InstanceExited, Refusal, causes_of};

impl Handler<ModuleLoaded> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ModuleLoaded, ctx: &mut Context<Self>) {
        let ModuleLoaded { module, load, result } = message;
        let current = |child: &ModuleChild| child.load.load(Relaxed) == load && child.phase == Phase::Loading;
        if !self.modules.get(module).is_some_and(current) {
            return;
        }
        match result {
            Ok(loaded) => self.loaded(module, loaded, ctx),
            Err(error) => self.load_failed(module, ExitReport::new(ExitReason::LoadFailed, causes_of(&error)), ctx),
        }
        self.touched(Node::Module(module), ctx);
    }
}

impl Handler<InstanceStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, started: InstanceStarted, ctx: &mut Context<Self>) {
        self.instance_started(started, ctx);
    }
}

impl Handler<InstanceExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exit: InstanceExited, ctx: &mut Context<Self>) {
        self.instance_exited(exit, ctx);
    }
}

impl Handler<ModuleWanted> for Supervisor {
    type Result = ();

    fn handle(&mut self, ModuleWanted(module): ModuleWanted, ctx: &mut Context<Self>) {
        if self.modules.get(module).is_some_and(|child| child.phase == Phase::Idle) {
            self.load(module, ctx);
            self.touched(Node::Module(module), ctx);
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
        self.module_status(self.find(&name)?, Instant::now())
    }
}

impl Handler<Act> for Supervisor {
    type Result = Option<oneshot::Receiver<()>>;

    fn handle(&mut self, Act { module, action }: Act, ctx: &mut Context<Self>) -> Self::Result {
        let module = self.find(&module).filter(|_| !self.draining)?;
        self.events.record(self.subject(Node::Module(module)), What::Asked { action: action.as_str().to_owned() });
        self.act(module, action, ctx);
        self.touched(Node::Module(module), ctx);
        Some(self.modules.get_mut(module)?.settled())
    }
}

impl Supervisor {
    fn act(&mut self, module: usize, action: Want, ctx: &mut Context<Self>) {
        let node = Node::Module(module);
        let Some(child) = self.modules.get(module) else { return };
        match (action, child.phase) {
            (Want::Stop, Phase::Stopped | Phase::Stopping(Then::Stop)) => {
                self.parked.insert(node);
            }
            (Want::Stop, _) => {
                self.parked.insert(node);
                self.groups.forget(node);
                self.stop_module(module, HowToStop::Asked, ctx);
            }
            (Want::Restart, Phase::Up) => self.renew_instances(module, ctx),
            (Want::Start, Phase::Up) => self.end_backoff(module, ctx),
            (Want::Start | Want::Restart, Phase::Held | Phase::Stopping(Then::Hold)) => self.groups.hurry(node),
            (Want::Start | Want::Restart, _) if child.is_wanted() => {}
            (Want::Start | Want::Restart, _) => {
                self.parked.remove(&node);
                // A member of a group that gave up comes back with its group.
                let top = self.tree.root_of(node);
                match top {
                    Node::Group(group) if self.groups.is_failed(group) => self.revive(top, ctx),
                    _ => {
                        self.histories.clear([node]);
                        self.load(module, ctx);
                    }
                }
            }
        }
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, Drain { why }: Drain, ctx: &mut Context<Self>) {
        self.draining = true;
        self.events.record(Subject::Daemon, What::DaemonDraining { why });
        // A group that restarts goes on: calls that were accepted wait for its members.
        for module in 0..self.modules.len() {
            let Some(child) = self.modules.get(module) else { continue };
            match child.queue.gate() {
                Gate::Open => child.queue.set_gate(Gate::Finishing),
                // Nothing is loaded any more.
                Gate::Lazy => child.queue.set_gate(Gate::Refusing(Refusal::ShuttingDown)),
                Gate::Finishing | Gate::Refusing(_) => {}
            }
            self.drain_module(module, ctx);
        }
    }
}

impl Handler<IsBusy> for Supervisor {
    type Result = bool;

    fn handle(&mut self, _: IsBusy, _: &mut Context<Self>) -> bool {
        let busy =
            |child: &ModuleChild| child.queue.numbers().calls > 0 || child.queue.counters().in_flight.load(Relaxed) > 0;
        self.modules.iter().any(busy)
    }
}

impl Handler<EndModule> for Supervisor {
    type Result = Option<oneshot::Receiver<()>>;

    fn handle(&mut self, EndModule { module, how }: EndModule, ctx: &mut Context<Self>) -> Self::Result {
        let how = if how == How::Now { HowToStop::AtOnce } else { HowToStop::Asked };
        // No call waits any more, or its time is over: nothing is started again.
        self.groups.abandon();
        let child = self.modules.get(module)?;
        if !matches!(child.phase, Phase::Idle | Phase::Stopped | Phase::Failed) || !child.is_empty() {
            self.stop_module(module, how, ctx);
        }
        Some(self.modules.get_mut(module)?.settled())
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<super::messages::EndWorker> for Supervisor {
    type Result = ();

    fn handle(&mut self, super::messages::EndWorker(worker): super::messages::EndWorker, _: &mut Context<Self>) {
        self.workers.end(worker);
    }
}

impl Handler<EndWorkers> for Supervisor {
    type Result = Backends;

    fn handle(&mut self, _: EndWorkers, _: &mut Context<Self>) -> Self::Result {
        self.workers.stop();
        self.loader = None;
        let mut open = Vec::new();
        for node in self.tree.order().iter().rev() {
            let Node::Binding(at) = node else { continue };
            let Some(child) = self.bindings.get_mut(*at) else { continue };
            open.extend(child.take_backend());
        }
        Backends(open)
    }
}
