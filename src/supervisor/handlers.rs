//! What the supervisor does with each message. Handlers find the child, let others act, and answer at once.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use actix::{Context, Handler};
use tokio::sync::oneshot;

use super::{
    binding_child::BindingPhase,
    events::{Subject, What},
    instance::InstanceStarted,
    messages::{
        Act, Backends, Drain, EndModule, EndWorkers, GetBroker, GetModule, GetOrder, GetStatus, IsBusy, ModuleWanted,
        NoBroker, RollBack, Sent, Swap, ToEnd, Want,
    },
    module_child::{ModuleChild, Phase, Then},
    module_error::ModuleError,
    modules::ModuleLoaded,
    status::{GenerationOrigin, ModuleStatus},
    stops::HowToStop,
    swaps::{SwapError, SwapRequest, SwapSource},
    topology::Node,
    tree::Supervisor,
};
use crate::{
    actors::{ExitReason, ExitReport, Gate, How, InstanceExited, Refusal, causes_of},
    bindings::messaging::Broker,
    config::BindingSettings,
};

impl Handler<ModuleLoaded> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ModuleLoaded, ctx: &mut Context<Self>) {
        let ModuleLoaded { module, load, outcome } = message;
        let current = |child: &&mut ModuleChild| child.load.load(Relaxed) == load && child.phase == Phase::Loading;
        let Some(child) = self.modules.get_mut(module).filter(current) else { return };
        child.code.seen = outcome.seen;
        if !matches!(outcome.result, Err(ModuleError::BeingWritten { .. })) {
            child.written_since = None;
            self.follow_files(ctx);
        }
        match outcome.result {
            Ok(loaded) => self.loaded(module, loaded, ctx),
            // It is read when whoever writes it has done so.
            Err(ModuleError::BeingWritten { path }) => self.load_again(module, path, ctx),
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

impl Handler<GetBroker> for Supervisor {
    type Result = Result<Arc<dyn Broker>, NoBroker>;

    fn handle(&mut self, GetBroker(name): GetBroker, _: &mut Context<Self>) -> Self::Result {
        let child = self.bindings.find(&name).and_then(|at| self.bindings.get(at)).ok_or(NoBroker::NoSuchBinding)?;
        if !matches!(child.config.settings, BindingSettings::Messaging(_)) {
            return Err(NoBroker::NotMessaging(child.config.settings.type_name()));
        }
        let broker = child.factory.as_ref().and_then(|factory| factory.broker());
        broker.ok_or_else(|| NoBroker::NotRunning(child.state()))
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

impl Handler<Swap> for Supervisor {
    type Result = Option<oneshot::Receiver<Result<bool, SwapError>>>;

    fn handle(&mut self, Swap { module, sent: Sent { code, force } }: Swap, ctx: &mut Context<Self>) -> Self::Result {
        let module = self.find(&module)?;
        let (reply, receiver) = oneshot::channel();
        self.events.record(self.subject(Node::Module(module)), What::Asked { action: "swap".to_owned() });
        let source = SwapSource::Sent { code, force };
        let request = SwapRequest { source, origin: GenerationOrigin::Operator, why: None, reply: Some(reply) };
        self.want_swap(module, request, ctx);
        Some(receiver)
    }
}

impl Handler<RollBack> for Supervisor {
    type Result = Option<oneshot::Receiver<Result<bool, SwapError>>>;

    fn handle(&mut self, RollBack(module): RollBack, ctx: &mut Context<Self>) -> Self::Result {
        let module = self.find(&module)?;
        let (reply, receiver) = oneshot::channel();
        self.events.record(self.subject(Node::Module(module)), What::Asked { action: "rollback".to_owned() });
        let instead_of = self.modules.get(module)?.code.generation();
        let (source, why) = (SwapSource::LastGood { instead_of }, Some("an operator asked for it".to_owned()));
        let request = SwapRequest { source, origin: GenerationOrigin::RollBack, why, reply: Some(reply) };
        self.want_swap(module, request, ctx);
        Some(receiver)
    }
}

impl Handler<GetOrder> for Supervisor {
    type Result = Vec<ToEnd>;

    fn handle(&mut self, _: GetOrder, _: &mut Context<Self>) -> Self::Result {
        let configured = self.tree.order().iter().filter_map(|node| match node {
            Node::Module(at) => Some(*at),
            Node::Binding(_) | Node::Group(_) | Node::Trigger(_) => None,
        });
        // Those that were taken out of the configuration and still finish what they have come last, and end first.
        let removed = self.modules.iter().filter(|(_, child)| child.removed).map(|(at, _)| at);
        let to_end = |module: usize| {
            let config = &self.modules.get(module)?.config;
            Some(ToEnd { module, name: config.name.clone(), calls: config.on_stop.is_some() })
        };
        configured.chain(removed).filter_map(to_end).collect()
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
                if !self.unpark(node, ctx) {
                    self.load(module, ctx);
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
        for module in self.modules.ids() {
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
        self.modules.values().any(busy)
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
        let removed = self.bindings.iter().filter(|(_, child)| child.removed).map(|(at, _)| Node::Binding(at));
        let order: Vec<Node> = self.tree.order().iter().copied().chain(removed).collect();
        for node in order.into_iter().rev() {
            let Node::Binding(at) = node else { continue };
            let Some(child) = self.bindings.get_mut(at) else { continue };
            open.extend(child.take_backend());
            // Its end is no news from here on, and nothing opens another.
            child.enter(BindingPhase::Stopped);
        }
        Backends(open)
    }
}
