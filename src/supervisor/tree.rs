//! The supervisor: an actor on the main thread that owns all children and carries out decisions.
//!
//! It sends and never waits, so that it answers whatever the workers do. What happens to a child of each kind is in
//! `modules.rs`, `instances.rs`, `stops.rs`, `bindings.rs` and `groups.rs`; here is what concerns all of them: from an exit to its consequence.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire},
    },
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Message};
use parking_lot::RwLock;

use super::{
    binding_child::{BindingChild, BindingPhase, Closed},
    children::Children,
    decide::{Decision, Exit, Histories, decide},
    ending::UnderWay,
    engines::Engines,
    events::{Events, Subject, What},
    follow::Follower,
    groups::{Groups, Run},
    handle::EndReason,
    keeper::Keeper,
    loader::{Acceptance, Loader, Stores},
    module_child::{ModuleChild, Phase, Then},
    moments::wall,
    reloads::Reloads,
    standing::Undecided,
    status::{ExitStatus, ModuleState, ServiceState, Status},
    stops::HowToStop,
    topology::{Node, Topology},
    trigger_child::{Ended, TriggerChild, TriggerPhase},
};
use crate::{
    actors::{ExitReport, Modules, QueueBudget, Workers},
    bindings::BindingContext,
    config::{Config, Group},
    triggers::{Sockets, TriggerObserver},
};

/// Messages that may lie in the supervisor's mailbox: bursts of exits of every instance at once are sent past it.
const MAILBOX: usize = 1024;

/// Owns every child.
pub(super) struct Supervisor {
    pub(super) workers: Workers,
    pub(super) bindings: Children<BindingChild>,
    pub(super) modules: Children<ModuleChild>,
    pub(super) triggers: Children<TriggerChild>,
    /// Triggers that wait for those that they call, each with one leaf that is not there yet.
    pub(super) waiting_triggers: BTreeMap<usize, Node>,
    /// Triggers that are ending; a stop of the daemon waits for them, too.
    pub(super) trigger_ends: Vec<UnderWay>,
    /// Whether the triggers have been told to end, with the daemon.
    pub(super) triggers_end: bool,
    pub(super) groups: Groups,
    pub(super) tree: Topology,
    pub(super) histories: Histories,
    /// Leaves that someone stopped.
    pub(super) parked: HashSet<Node>,
    /// Modules whose code is there and whose turn is not, each with one leaf that it waits for: it is looked at again only
    /// when that one has come.
    pub(super) waiting: BTreeMap<usize, Node>,
    pub(super) engines: Engines,
    /// The worker that gets the next instance: they are dealt out in turn.
    pub(super) next_worker: usize,
    /// The configuration that holds, with what was dropped.
    pub(super) config: Arc<Config>,
    /// The same for everybody else.
    pub(super) shared: Arc<RwLock<Arc<Config>>>,
    pub(super) reloads: Reloads,
    pub(super) follower: Follower,
    /// Which dropped files are accepted.
    pub(super) acceptance: Option<Acceptance>,
    /// Everybody's way to the modules.
    pub(super) known: Modules,
    pub(super) stores: Stores,
    pub(super) keeper: Keeper,
    pub(super) budget: Arc<QueueBudget>,
    pub(super) context: BindingContext,
    pub(super) sockets: Arc<Sockets>,
    pub(super) trigger_observer: Arc<dyn TriggerObserver>,
    pub(super) events: Events,
    pub(super) stalls: super::workers::Stalls,
    pub(super) undecided: Undecided,
    pub(super) started: Instant,
    pub(super) loader: Option<Loader>,
    pub(super) draining: bool,
    pub(super) ended: tokio::sync::watch::Sender<Option<EndReason>>,
}

/// Where something that ended lived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Id of the instance; none for a binding.
    pub(super) instance: Option<u64>,
    /// Its place in the module.
    pub(super) slot: Option<usize>,
    /// Its worker.
    pub(super) worker: usize,
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        match Loader::start(&self.stores) {
            Ok(loader) => self.loader = Some(loader),
            Err(error) => tracing::error!(%error, "threads that load modules did not start"),
        }
        self.events.record(Subject::Daemon, What::DaemonStarted { version: env!("CARGO_PKG_VERSION").to_owned() });
        self.begin_to_follow(ctx);
        self.retry_drop_in(ctx);
        self.undecided = Undecided::new(self.tree.order());
        for node in self.tree.order().to_vec() {
            self.start_leaf(node, ctx);
            self.check_health(node, ctx);
        }
        self.beat(ctx);
    }
}

impl Supervisor {
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.modules.find(name)
    }

    /// What a node is called in events.
    pub(super) fn subject(&self, node: Node) -> Subject {
        let name = |name: Option<&Arc<str>>| name.map_or_else(|| Arc::from(""), Arc::clone);
        match node {
            Node::Module(at) => Subject::Module(name(self.modules.get(at).map(|child| &child.config.name))),
            Node::Binding(at) => Subject::Binding(name(self.bindings.get(at).map(BindingChild::name))),
            Node::Group(at) => Subject::Group(name(self.groups.config(at).map(|group: &Group| &group.name))),
            Node::Trigger(at) => Subject::Trigger(name(self.triggers.get(at).map(TriggerChild::name))),
        }
    }

    /// Starts a leaf that does not run: at the start, with its group, or on a new chance.
    pub(super) fn start_leaf(&mut self, node: Node, ctx: &mut Context<Self>) {
        match node {
            Node::Binding(binding) => self.open_binding(binding, ctx),
            Node::Module(module) => self.start_module(module, ctx),
            Node::Trigger(trigger) => self.start_trigger(trigger, ctx),
            Node::Group(_) => {}
        }
    }

    /// Decides what follows from the end of a child, and does it.
    pub(super) fn child_ended(
        &mut self,
        child: Node,
        report: ExitReport,
        place: Option<Place>,
        at: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.forgive_others(child);
        let exit = Exit { child, reason: report.reason, succeeded: self.take_success(child), at, roll: rand::random() };
        let (mut decision, histories) = decide(&self.tree, exit, std::mem::take(&mut self.histories), &self.parked);
        self.histories = histories;
        if self.draining && matches!(decision, Decision::RestartGroup { .. }) {
            // A group that stops anyway is not stopped and started before.
            decision = Decision::Restart(Duration::ZERO);
        }
        self.note_ended(child, &report, place, decision.as_str(), decision.wait());
        match decision {
            Decision::Restart(after) => self.restart_leaf(child, &report, place, after, ctx),
            Decision::RestartGroup { group, stop, start, after } => {
                self.note_escalation(child, group);
                let run = Run::new(&self.tree, child, (group, stop, start), at + after);
                self.restart_group(run, child, ctx);
            }
            Decision::Stop => self.stop_ended(child, ctx),
            Decision::Fail { top, stop, critical } => self.fail_tree(child, &report, (top, &stop, critical), ctx),
        }
    }

    /// Records that a child ended and what follows.
    pub(super) fn note_ended(
        &mut self,
        child: Node,
        report: &ExitReport,
        place: Option<Place>,
        decision: &str,
        wait: Option<Duration>,
    ) {
        let what = What::Exited {
            instance: place.and_then(|place| place.instance),
            worker: place.map(|place| place.worker),
            exit: ExitStatus::of(report),
            decision: decision.to_owned(),
            backoff_s: wait.filter(|wait| !wait.is_zero()).map(|wait| wait.as_secs_f64()),
        };
        self.events.record(self.subject(child), what);
        self.note_exit(child, report.clone(), wait.is_some());
    }

    /// Records which groups between a child and the one that restarts it have given up.
    fn note_escalation(&self, child: Node, restarts: usize) {
        let above = std::iter::successors(self.tree.parent(child), |group| self.tree.parent(Node::Group(*group)));
        for group in above.take_while(|group| *group != restarts) {
            let (because, decision) = (self.subject(child).to_string(), "restart_group".to_owned());
            self.events.record(self.subject(Node::Group(group)), What::GroupGaveUp { because, decision });
        }
    }

    /// Takes back what other members of the child's groups caused, if they have succeeded since.
    fn forgive_others(&mut self, child: Node) {
        let mut others = self.tree.leaves_of(&[self.tree.root_of(child)]);
        others.retain(|leaf| *leaf != child && self.take_success(*leaf));
        for leaf in others {
            self.histories.forgive(&self.tree, leaf);
        }
    }

    /// Restarts that count now towards the intensity that holds for a node.
    pub(super) fn in_window(&self, node: Node, now: Instant) -> u32 {
        let resets = |leaf: Node| self.tree.restart(leaf).is_some_and(|restart| restart.reset_on_success);
        let succeeded = |leaf: Node| match leaf {
            Node::Module(at) => {
                self.modules.get(at).is_some_and(|child| child.queue.counters().succeeded.load(Acquire))
            }
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| child.counters.has_succeeded()),
            Node::Trigger(at) => self.triggers.get(at).is_some_and(TriggerChild::has_succeeded),
            Node::Group(_) => false,
        };
        self.histories.in_window(&self.tree, node, now, |leaf| succeeded(leaf) && resets(leaf))
    }

    fn take_success(&mut self, child: Node) -> bool {
        match child {
            Node::Module(at) => {
                self.modules.get(at).is_some_and(|child| child.queue.counters().succeeded.swap(false, AcqRel))
            }
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| child.counters.take_succeeded()),
            Node::Trigger(at) => self.triggers.get_mut(at).is_some_and(TriggerChild::take_succeeded),
            Node::Group(_) => false,
        }
    }

    fn note_exit(&mut self, child: Node, report: ExitReport, restarts: bool) {
        let (counts, last_exit) = match child {
            Node::Module(at) => match self.modules.get_mut(at) {
                Some(child) => (&mut child.restarts, &mut child.last_exit),
                None => return,
            },
            Node::Binding(at) => match self.bindings.get_mut(at) {
                Some(child) => (&mut child.restarts, &mut child.last_exit),
                None => return,
            },
            Node::Trigger(at) => match self.triggers.get_mut(at) {
                Some(child) => (&mut child.restarts, &mut child.last_exit),
                None => return,
            },
            Node::Group(_) => return,
        };
        if restarts {
            counts.add(report.reason);
        }
        *last_exit = Some(report);
    }

    fn restart_leaf(
        &mut self,
        child: Node,
        report: &ExitReport,
        place: Option<Place>,
        after: Duration,
        ctx: &mut Context<Self>,
    ) {
        match child {
            Node::Module(module) => self.restart_instance(module, place, after, ctx),
            Node::Binding(binding) => self.restart_binding(binding, report.reason, place, after, ctx),
            Node::Trigger(trigger) => self.restart_trigger(trigger, after, ctx),
            Node::Group(_) => {}
        }
    }

    /// Carries out that a child ended as it may.
    fn stop_ended(&mut self, child: Node, ctx: &mut Context<Self>) {
        match child {
            Node::Module(module) => self.stop_module(module, HowToStop::Ended, ctx),
            Node::Binding(binding) => self.close_binding(binding, Closed::Then(Then::Stop), ctx),
            Node::Trigger(trigger) => self.drain_trigger(trigger, Ended::Then(Then::Stop), ctx),
            Node::Group(_) => {}
        }
    }

    /// Does something later, on this actor.
    pub(super) fn later(
        &self,
        after: Duration,
        ctx: &Context<Self>,
        act: impl FnOnce(&mut Self, &mut Context<Self>) + Send + 'static,
    ) {
        // A task of its own: an actor's own timers are all polled at each of its messages.
        let address = ctx.address();
        actix::spawn(async move {
            tokio::time::sleep(after).await;
            // A timer must not be lost to a full mailbox; there are few.
            address.do_send(Due(Box::new(act)));
        });
    }

    /// To be called after every change of a leaf: records its new state, tells those who wait for it, and lets modules start
    /// that waited for it.
    pub(super) fn touched(&mut self, node: Node, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due = self.groups.due(node).filter(|due| *due > now);
        let change = match node {
            Node::Module(at) => self.modules.get_mut(at).and_then(|child| {
                child.tell_settled();
                let (state, before) = (child.state(), child.recorded);
                // An instance that is rebuilt at once is an exit and a start, and no more: unless calls wait for `on_start`.
                let opens = child.is_opening(child.code.generation());
                if child.phase == Phase::Up
                    && !opens
                    && (before, state) == (ModuleState::Running, ModuleState::Starting)
                {
                    return None;
                }
                child.recorded = state;
                let why = why_of(state == ModuleState::Backoff || state == ModuleState::Failed, &child.last_exit);
                let next_try = child.next_restart().or(due.filter(|_| state == ModuleState::Backoff));
                (state != before).then(|| (before.as_str(), state.as_str(), why, next_try))
            }),
            Node::Binding(at) => self.bindings.get_mut(at).and_then(|child| {
                let (state, before) = (child.state(), child.recorded);
                child.recorded = state;
                let troubled = matches!(child.phase, BindingPhase::Failed | BindingPhase::Waiting);
                let why = why_of(troubled || !child.backoff.is_empty(), &child.last_exit);
                let next_try = child.next_restart().or(due.filter(|_| state == ServiceState::Backoff));
                (state != before).then(|| (before.as_str(), state.as_str(), why, next_try))
            }),
            Node::Trigger(at) => self.triggers.get_mut(at).and_then(|child| {
                child.tell_settled();
                let (state, before) = (child.state(), child.recorded);
                child.recorded = state;
                let why = why_of(matches!(child.phase, TriggerPhase::Failed | TriggerPhase::Resting), &child.last_exit);
                let next_try = child.next_try.or(due.filter(|_| state == ServiceState::Backoff));
                (state != before).then(|| (before.as_str(), state.as_str(), why, next_try))
            }),
            Node::Group(_) => None,
        };
        if let Some((from, to, why, next_try)) = change {
            let next_try = next_try.map(|at| wall(at, now));
            let what = What::StateChanged { from: from.to_owned(), to: to.to_owned(), why, next_try };
            self.events.record(self.subject(node), what);
        }
        self.note_decided(node);
        if let Node::Module(at) = node {
            self.go_on_with_swaps(at, ctx);
        }
        self.forget_removed(node, ctx);
        self.advance_groups(ctx);
        // Only bindings and members of groups are waited for.
        if matches!(node, Node::Binding(_)) || self.tree.parent(node).is_some() {
            self.wake_waiting(node, ctx);
        }
        self.wake_triggers(node, ctx);
    }

    /// Describes everything there is.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: now.saturating_duration_since(self.started).as_secs_f64(),
            draining: self.draining,
            queue_bytes: self.budget.used(),
            workers: self.worker_status(),
            modules: self.module_order().filter_map(|module| self.module_status(module, now)).collect(),
            bindings: self.binding_status(now),
            groups: self.group_status(now),
            triggers: self.trigger_status(now),
            configuration: self.reloads.status(&self.config),
            drop_in: self.reloads.drop_in_status(&self.config),
        }
    }

    /// The configured modules in file order, then those that were dropped.
    pub(super) fn module_order(&self) -> impl Iterator<Item = usize> {
        self.config.modules.iter().filter_map(|module| self.modules.find(&module.name))
    }

    /// Name of the group that a node belongs to.
    pub(super) fn group_name(&self, node: Node) -> Option<String> {
        Some(self.groups.config(self.tree.parent(node)?)?.name.to_string())
    }
}

fn why_of(troubled: bool, last_exit: &Option<ExitReport>) -> Option<String> {
    last_exit.as_ref().filter(|_| troubled).map(ExitReport::summary)
}

/// What is done later.
type Deed = Box<dyn FnOnce(&mut Supervisor, &mut Context<Supervisor>) + Send>;

/// Something that was put off is due. Sent by the supervisor's own timers.
#[derive(Message)]
#[rtype(result = "()")]
struct Due(Deed);

impl Handler<Due> for Supervisor {
    type Result = ();

    fn handle(&mut self, Due(act): Due, ctx: &mut Context<Self>) {
        act(self, ctx);
    }
}
