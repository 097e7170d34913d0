//! What happens to a group: its members are stopped in reverse, and after a wait started in order.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Context;

use super::{
    binding_child::{BindingPhase, Closed},
    children::Children,
    events::What,
    module_child::{Phase, Then},
    moments::wall,
    status::{GroupState, GroupStatus},
    stops::HowToStop,
    topology::{Node, Topology},
    tree::Supervisor,
};
use crate::config::{Group, Member};

/// Every group, with the restarts that are under way.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Children<GroupChild>,
    runs: Vec<Run>,
    /// Set while runs are looked through: what that changes is seen in the next round.
    advancing: bool,
}

#[derive(Debug)]
struct GroupChild {
    config: Group,
    failed: bool,
    restarts: u64,
    next_try: Option<Instant>,
}

/// One restart of members.
#[derive(Debug)]
pub(super) struct Run {
    group: usize,
    /// Still to be stopped, last started first.
    stop: VecDeque<Node>,
    /// To be started then, in this order.
    start: Vec<Node>,
    /// Not before.
    at: Instant,
    /// Whether the wait before the start has been begun.
    waits: bool,
}

impl Run {
    /// The restart that follows from the end of a child, which may have other instances: it is stopped in its place among
    /// the others.
    pub(super) fn new(
        tree: &Topology,
        because: Node,
        (group, stop, start): (usize, Vec<Node>, Vec<Node>),
        at: Instant,
    ) -> Self {
        let others: HashSet<Node> = stop.into_iter().collect();
        let concerned = |leaf: &Node| *leaf == because || others.contains(leaf);
        let stop = tree.order().iter().rev().copied().filter(concerned).collect();
        Self { group, stop, start, at, waits: false }
    }

    /// Whether both start some leaf.
    fn overlaps(&self, other: &Self) -> bool {
        let members: HashSet<&Node> = self.start.iter().collect();
        other.start.iter().any(|leaf| members.contains(leaf))
    }

    /// Makes one of two restarts that overlap: what either was to stop and start, when both have waited. One that began
    /// first may concern members that the second does not, and has stopped some of them already.
    fn join(self, other: Self, tree: &Topology) -> Self {
        let group = if other.start.len() > self.start.len() { other.group } else { self.group };
        let stop: HashSet<Node> = self.stop.into_iter().chain(other.stop).collect();
        let start: HashSet<Node> = self.start.into_iter().chain(other.start).collect();
        let of = |leaves: HashSet<Node>| tree.order().iter().copied().filter(move |leaf| leaves.contains(leaf));
        let mut stop: VecDeque<Node> = of(stop).collect();
        stop.make_contiguous().reverse();
        Self { group, stop, start: of(start).collect(), at: self.at.max(other.at), waits: false }
    }
}

impl Groups {
    /// Adds a group, or gives one that is there other settings.
    pub(super) fn set(&mut self, config: Group) {
        let child = self.groups.find(&config.name).and_then(|at| self.groups.get_mut(at));
        match child {
            Some(child) => child.config = config,
            None => {
                let child = GroupChild { config, failed: false, restarts: 0, next_try: None };
                self.groups.insert(Arc::clone(&child.config.name), child);
            }
        }
    }

    /// Takes the name from a group that is not configured any more.
    pub(super) fn give_up(&mut self, group: usize) {
        if let Some(child) = self.groups.get(group) {
            let name = Arc::clone(&child.config.name);
            self.groups.unname(&name);
        }
    }

    /// Forgets a group that was given up.
    pub(super) fn end(&mut self, group: usize) {
        self.groups.remove(group);
    }

    /// Id of the group of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.groups.find(name)
    }

    pub(super) fn config(&self, group: usize) -> Option<&Group> {
        self.groups.get(group).map(|child| &child.config)
    }

    fn note_restart(&mut self, group: usize) {
        self.groups.get_mut(group).into_iter().for_each(|child| child.restarts += 1);
    }

    /// Notes that a group gave up for good.
    pub(super) fn fail(&mut self, group: usize) {
        self.groups.get_mut(group).into_iter().for_each(|child| child.failed = true);
        self.runs.retain(|run| run.group != group);
    }

    pub(super) fn retry_at(&mut self, group: usize, at: Instant) {
        self.groups.get_mut(group).into_iter().for_each(|child| child.next_try = Some(at));
    }

    /// Whether a group has failed and waits for this new chance.
    pub(super) fn is_due(&self, group: usize, at: Instant) -> bool {
        self.groups.get(group).is_some_and(|child| child.failed && child.next_try == Some(at))
    }

    pub(super) fn revive(&mut self, group: usize) {
        if let Some(child) = self.groups.get_mut(group) {
            child.failed = false;
            child.next_try = None;
        }
    }

    pub(super) fn is_failed(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|child| child.failed)
    }

    /// Forgets restarts that are under way: the children are ended for good.
    pub(super) fn abandon(&mut self) {
        self.runs.clear();
    }

    /// When a leaf is started by a restart that is under way.
    pub(super) fn due(&self, leaf: Node) -> Option<Instant> {
        self.runs.iter().find(|run| run.start.contains(&leaf)).map(|run| run.at)
    }

    /// Ends the wait of the restarts that a leaf is part of: someone wants it now.
    pub(super) fn hurry(&mut self, leaf: Node) {
        let now = Instant::now();
        let concerned = self.runs.iter_mut().filter(|run| run.start.contains(&leaf));
        concerned.for_each(|run| run.at = run.at.min(now));
    }

    /// Takes a leaf out of every restart under way: someone stopped it.
    pub(super) fn forget(&mut self, leaf: Node) {
        for run in &mut self.runs {
            run.start.retain(|node| *node != leaf);
            run.stop.retain(|node| *node != leaf);
        }
    }

    fn status(
        &self,
        names: impl Iterator<Item = Arc<str>>,
        tree: &Topology,
        counted: impl Fn(Node) -> u32,
        now: Instant,
    ) -> Vec<GroupStatus> {
        let status = |(at, child): (usize, &GroupChild)| GroupStatus {
            name: child.config.name.to_string(),
            state: match (child.failed, self.runs.iter().any(|run| run.group == at)) {
                (true, _) => GroupState::Failed,
                (false, true) => GroupState::Restarting,
                (false, false) => GroupState::Running,
            },
            strategy: child.config.strategy.as_str().to_owned(),
            members: child.config.members.iter().map(member_name).collect(),
            group: tree.parent(Node::Group(at)).and_then(|group| Some(self.config(group)?.name.to_string())),
            critical: child.config.critical,
            restarts: child.restarts,
            restarts_in_window: counted(Node::Group(at)),
            next_try: child.next_try.map(|at| wall(at, now)),
        };
        let named = |name: Arc<str>| self.groups.find(&name).and_then(|at| Some((at, self.groups.get(at)?)));
        names.filter_map(named).map(status).collect()
    }
}

/// A member as the configuration can name it whatever else has that name.
fn member_name(member: &Member) -> String {
    match member {
        Member::Module(name) => format!("modules.{name}"),
        Member::Binding(name) => format!("bindings.{name}"),
        Member::Group(name) => format!("groups.{name}"),
        Member::Trigger(name) => format!("triggers.{name}"),
    }
}

impl Supervisor {
    /// Begins to restart members of a group.
    pub(super) fn restart_group(&mut self, run: Run, because: Node, ctx: &mut Context<Self>) {
        let restarted = run.group;
        let (joined, others) = std::mem::take(&mut self.groups.runs).into_iter().partition(|other| run.overlaps(other));
        self.groups.runs = others;
        let run = Vec::into_iter(joined).fold(run, |run, other| run.join(other, &self.tree));
        let members = run.start.iter().map(|leaf| self.subject(*leaf).to_string()).collect();
        let what = What::GroupRestarts { because: self.subject(because).to_string(), members };
        self.events.record(self.subject(Node::Group(restarted)), what);
        self.groups.note_restart(restarted);
        self.groups.runs.push(run);
        self.advance_groups(ctx);
    }

    /// Goes on with every restart of a group that can go on.
    pub(super) fn advance_groups(&mut self, ctx: &mut Context<Self>) {
        if self.groups.runs.is_empty() || std::mem::replace(&mut self.groups.advancing, true) {
            return;
        }
        let mut at = 0;
        while let Some(run) = self.groups.runs.get_mut(at) {
            let Some(leaf) = run.stop.front().copied() else {
                at += usize::from(!self.start_members(at, ctx));
                continue;
            };
            let restarted = run.start.contains(&leaf);
            if self.put_out(leaf, restarted, ctx) {
                // What that caused may have put another restart in this one's place.
                let run = self.groups.runs.get_mut(at).filter(|run| run.stop.front() == Some(&leaf));
                run.and_then(|run| run.stop.pop_front());
            } else {
                at += 1;
            }
        }
        self.groups.advancing = false;
    }

    /// Starts the members when everything has ended and the wait is over; `false` while it is not.
    fn start_members(&mut self, at: usize, ctx: &mut Context<Self>) -> bool {
        let Some(run) = self.groups.runs.get_mut(at) else { return false };
        let wait = run.at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            let (waits, until, start) = (std::mem::replace(&mut run.waits, true), run.at, run.start.clone());
            if !waits {
                self.note_next_try(&start, until);
                // A moment later than the wait, so that it is over then.
                self.later(wait + Duration::from_millis(1), ctx, |supervisor, ctx| supervisor.advance_groups(ctx));
            }
            return false;
        }
        let run = self.groups.runs.remove(at);
        for leaf in run.start {
            self.start_leaf(leaf, ctx);
        }
        true
    }

    /// Notes when leaves are started next.
    pub(super) fn note_next_try(&mut self, leaves: &[Node], until: Instant) {
        for leaf in leaves {
            match leaf {
                Node::Module(at) => {
                    self.modules.get_mut(*at).into_iter().for_each(|child| child.next_try = Some(until))
                }
                Node::Binding(at) => {
                    self.bindings.get_mut(*at).into_iter().for_each(|child| child.next_try = Some(until))
                }
                Node::Trigger(at) => {
                    self.triggers.get_mut(*at).into_iter().for_each(|child| child.next_try = Some(until))
                }
                Node::Group(_) => {}
            }
        }
    }

    /// Stops a leaf for its group; whether it has ended.
    fn put_out(&mut self, leaf: Node, restarted: bool, ctx: &mut Context<Self>) -> bool {
        match leaf {
            Node::Module(at) => {
                let Some(phase) = self.modules.get(at).map(|child| child.phase) else { return true };
                match phase {
                    Phase::Idle | Phase::Held | Phase::Stopped | Phase::Failed => true,
                    Phase::Stopping(_) => false,
                    Phase::Loading | Phase::Waiting(_) | Phase::Up => {
                        self.stop_module(at, if restarted { HowToStop::Held } else { HowToStop::Ended }, ctx);
                        self.modules.get(at).is_none_or(|child| !matches!(child.phase, Phase::Stopping(_)))
                    }
                }
            }
            Node::Binding(at) => {
                let Some(phase) = self.bindings.get(at).map(|child| child.phase) else { return true };
                let then = if restarted { Then::Hold } else { Then::Stop };
                match phase {
                    BindingPhase::Stopped | BindingPhase::Failed => true,
                    BindingPhase::Waiting => {
                        // A restart of its own that it waited for is over with that.
                        self.bindings.get_mut(at).into_iter().for_each(|child| child.enter(BindingPhase::Waiting));
                        true
                    }
                    BindingPhase::Closing(Closed::Then(_)) => false,
                    BindingPhase::Opening | BindingPhase::Serving | BindingPhase::Closing(Closed::Reopen) => {
                        self.close_binding(at, Closed::Then(then), ctx);
                        false
                    }
                }
            }
            Node::Trigger(at) => self.put_out_trigger(at, if restarted { Then::Hold } else { Then::Stop }, ctx),
            Node::Group(_) => true,
        }
    }

    pub(super) fn group_status(&self, now: Instant) -> Vec<GroupStatus> {
        let names = self.config.groups.iter().map(|group| Arc::clone(&group.name));
        self.groups.status(names, &self.tree, |node| self.in_window(node, now), now)
    }
}
