//! The supervisor: an actor on the main thread that owns all children and carries out decisions.
//!
//! It sends and never waits, so that it answers whatever the workers do. Here is what it owns, how it begins, and what a node
//! of the tree is called. What happens when a child ends is in `exits.rs`, after every change of state in `states.rs`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use actix::{Actor, Context};
use parking_lot::RwLock;

use super::{
    binding_child::BindingChild,
    children::Children,
    decide::Histories,
    ending::UnderWay,
    engines::Engines,
    events::{Events, Subject, What},
    follow::Follower,
    groups::Groups,
    handle::EndReason,
    keeper::Keeper,
    loader::{Acceptance, Loader, Stores},
    module_child::ModuleChild,
    reloads::Reloads,
    standing::Undecided,
    status::Status,
    topology::{Node, Topology},
    trigger_child::TriggerChild,
};
use crate::{
    actors::{Modules, QueueBudget, Workers},
    bindings::BindingContext,
    config::{Config, Group, Member},
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

    /// Where a member of the configuration is.
    pub(super) fn place(&self, member: &Member) -> Option<Node> {
        match member {
            Member::Module(name) => self.modules.find(name).map(Node::Module),
            Member::Binding(name) => self.bindings.find(name).map(Node::Binding),
            Member::Group(name) => self.groups.find(name).map(Node::Group),
            Member::Trigger(name) => self.triggers.find(name).map(Node::Trigger),
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

    /// Describes everything there is.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: now.saturating_duration_since(self.started).as_secs_f64(),
            draining: self.draining,
            engine: self.config.daemon.engine.as_str().to_owned(),
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
