//! What follows from an exit. Plain values in, plain values out: no clock, no actor, no wasm, no chance.
//!
//! The words are OTP's. An exit of any instance of a module is an exit of the module. First the child's own type says
//! whether it is restarted at all; then whoever counts its restarts, its group or the child itself, says whether that was
//! too often; a group that gives up is an exit to the group above it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use super::topology::{Node, Topology};
use crate::{
    actors::ExitReason,
    config::{Backoff, Restart, RestartType},
};

/// One exit, as decisions see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exit {
    /// Whose.
    pub child: Node,
    /// Why it ended.
    pub reason: ExitReason,
    /// Whether a call has succeeded since the exit before.
    pub succeeded: bool,
    /// When.
    pub at: Instant,
    /// A random number from 0 to 1, for the jitter.
    pub roll: f64,
}

/// What to do after an exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start the child again after this wait; nobody else is concerned.
    Restart(Duration),
    /// Stop these leaves, in this order, and after the wait start those, in that order.
    RestartGroup {
        /// The group whose strategy it is.
        group: usize,
        /// Last started first; the child that ended is not among them.
        stop: Vec<Node>,
        /// In the order of their start, with the child that ended.
        start: Vec<Node>,
        /// How long to wait between the two.
        after: Duration,
    },
    /// Leave it stopped: it ended as it may end.
    Stop,
    /// Leave it failed, and with it the whole group that gave up.
    Fail {
        /// The outermost that gave up: the child itself or a group.
        top: Node,
        /// What else still runs below it, last started first.
        stop: Vec<Node>,
        /// Whether the daemon stops.
        critical: bool,
    },
}

impl Decision {
    /// The name in events and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Restart(_) => "restart",
            Self::RestartGroup { .. } => "restart_group",
            Self::Stop => "stop",
            Self::Fail { critical: false, .. } => "fail",
            Self::Fail { critical: true, .. } => "stop_daemon",
        }
    }

    /// How long a restart waits.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Restart(after) | Self::RestartGroup { after, .. } => Some(*after),
            Self::Stop | Self::Fail { .. } => None,
        }
    }
}

/// What is remembered of every child, from one exit to the next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histories(HashMap<Node, History>);

/// What is remembered of one child.
#[derive(Debug, Clone, Default, PartialEq)]
struct History {
    /// Exits of a leaf without a success in between.
    streak: u32,
    /// When it was last started again, by itself or with its group, the wait included.
    started: Option<Instant>,
    /// Restarts that may still count, with the leaf that caused each: of a group's members, or of a leaf that stands alone.
    restarts: VecDeque<(Instant, Node)>,
}

impl Histories {
    /// Restarts that count at `now` towards the intensity that holds for this node: its group's, its own where it stands
    /// alone, or that of the group that it is.
    ///
    /// Those of leaves that are `forgiven` do not count any more, since they have succeeded in the meantime.
    #[must_use]
    pub fn in_window(&self, tree: &Topology, node: Node, now: Instant, forgiven: impl Fn(Node) -> bool) -> u32 {
        let counter = counter(tree, node);
        let period = limits(tree, counter).1;
        let Some(history) = self.0.get(&counter) else { return 0 };
        let recent = history.restarts.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= period);
        u32::try_from(recent.filter(|(_, cause)| !forgiven(*cause)).count()).unwrap_or(u32::MAX)
    }

    /// A success of a leaf ends its series of exits, and the restarts that it caused are forgotten by whoever counted them,
    /// unless it wants OTP's plain count.
    pub fn forgive(&mut self, tree: &Topology, leaf: Node) {
        if let Some(history) = self.0.get_mut(&leaf) {
            history.streak = 0;
        }
        if tree.restart(leaf).is_some_and(|restart| restart.reset_on_success) {
            for history in self.0.values_mut() {
                history.restarts.retain(|(_, cause)| *cause != leaf);
            }
        }
    }

    /// Forgets everything about these nodes: they get a new chance.
    pub fn clear(&mut self, nodes: impl IntoIterator<Item = Node>) {
        for node in nodes {
            self.0.remove(&node);
        }
    }

    fn of(&mut self, node: Node) -> &mut History {
        self.0.entry(node).or_default()
    }
}

/// Who counts the restarts of a node.
fn counter(tree: &Topology, node: Node) -> Node {
    match (node, tree.parent(node)) {
        (Node::Group(_), _) | (_, None) => node,
        (_, Some(group)) => Node::Group(group),
    }
}

/// Intensity and period by which a node counts.
fn limits(tree: &Topology, counter: Node) -> (u32, Duration) {
    match counter {
        Node::Group(group) => tree.group(group).map_or((0, Duration::ZERO), |group| (group.intensity, group.period)),
        leaf => tree.restart(leaf).map_or((0, Duration::ZERO), |own| (own.intensity, own.period)),
    }
}

/// Decides after one exit, and returns the histories that follow from it. `parked` are leaves that someone stopped: they
/// are neither stopped nor started with their group, and an exit of theirs leaves them stopped.
#[must_use]
pub fn decide(tree: &Topology, exit: Exit, histories: Histories, parked: &HashSet<Node>) -> (Decision, Histories) {
    let Some(spec) = tree.restart(exit.child) else { return (Decision::Stop, histories) };
    let mut case = Case { tree, exit, spec, parked, histories };
    if exit.succeeded {
        case.histories.forgive(tree, exit.child);
    }
    let decision = match wish(spec, exit.reason) {
        _ if parked.contains(&exit.child) => Decision::Stop,
        Wish::Stop => Decision::Stop,
        Wish::Rebuild => Decision::Restart(Duration::ZERO),
        Wish::Fail if tree.is_temporary(exit.child) => {
            Decision::Fail { top: exit.child, stop: Vec::new(), critical: false }
        }
        Wish::Fail => {
            let after = case.wait();
            case.give_up(exit.child, after, false)
        }
        Wish::Restart => {
            let after = case.wait();
            case.restart(exit.child, after, false)
        }
    };
    (decision, case.histories)
}

/// What a child's type says to an exit.
enum Wish {
    Stop,
    /// Start it again and count it.
    Restart,
    /// Start it again and do not count it: others were at fault.
    Rebuild,
    /// It cannot be started again.
    Fail,
}

fn wish(spec: &Restart, reason: ExitReason) -> Wish {
    match (spec.restart_type, reason) {
        (_, ExitReason::Stopped) => Wish::Stop,
        // The same file does not load better a moment later.
        (_, ExitReason::LoadFailed) => Wish::Fail,
        (RestartType::Temporary, _) | (RestartType::Transient, ExitReason::Exited(0)) => Wish::Stop,
        (_, ExitReason::DeadlineExceeded { in_host_call: true } | ExitReason::BindingEnded) => Wish::Rebuild,
        (RestartType::Permanent | RestartType::Transient, _) => Wish::Restart,
    }
}

/// One exit and everything that bears on it.
struct Case<'a> {
    tree: &'a Topology,
    exit: Exit,
    spec: &'a Restart,
    parked: &'a HashSet<Node>,
    histories: Histories,
}

impl Case<'_> {
    /// Adds the exit to the child's series, and says how long its restart waits.
    fn wait(&mut self) -> Duration {
        let period = limits(self.tree, counter(self.tree, self.exit.child)).1;
        let healthy = |started: Instant| self.exit.at.saturating_duration_since(started) >= period;
        let history = self.histories.of(self.exit.child);
        if history.started.is_some_and(healthy) {
            history.streak = 0;
        }
        history.streak = history.streak.saturating_add(1);
        let after = backoff(&self.spec.backoff, history.streak, self.exit.roll);
        history.started = self.exit.at.checked_add(after);
        after
    }

    /// Restarts a child by its group's strategy, or alone where it has none; if that is one restart too many, whoever
    /// counts it gives up. `critical` says whether a group that gave up so far ends the daemon.
    fn restart(&mut self, child: Node, after: Duration, critical: bool) -> Decision {
        match (self.tree.parent(child), child) {
            (Some(group), _) if self.add_restart(Node::Group(group)) => self.restart_members(group, child, after),
            (None, Node::Binding(_) | Node::Module(_) | Node::Trigger(_)) if self.add_restart(child) => {
                Decision::Restart(after)
            }
            _ => self.give_up(child, after, critical),
        }
    }

    /// The child is not started again by its group: the group gives up, and the one above restarts it.
    fn give_up(&mut self, child: Node, after: Duration, critical: bool) -> Decision {
        let Some(group) = self.tree.parent(child) else {
            let stop = self.others(&[child]);
            return Decision::Fail { top: child, stop, critical };
        };
        let critical = critical || self.tree.group(group).is_some_and(|group| group.critical);
        self.restart(Node::Group(group), after, critical)
    }

    /// Counts a restart and says whether it is within the intensity, as `add_restart` of OTP's supervisor does. One too
    /// many is not kept: it does not take place.
    fn add_restart(&mut self, counter: Node) -> bool {
        let (intensity, period) = limits(self.tree, counter);
        let Exit { at: now, child: cause, .. } = self.exit;
        let restarts = &mut self.histories.of(counter).restarts;
        restarts.retain(|(at, _)| now.saturating_duration_since(*at) <= period);
        let within = restarts.len() < intensity as usize;
        if within {
            restarts.push_back((now, cause));
        }
        within
    }

    fn restart_members(&mut self, group: usize, member: Node, after: Duration) -> Decision {
        let concerned = self.tree.concerned(group, member);
        if concerned == [self.exit.child] {
            return Decision::Restart(after);
        }
        // Groups below begin anew, as a supervisor that was restarted does.
        self.histories.clear(concerned.iter().flat_map(|node| self.tree.groups_of(*node)).map(Node::Group));
        let stop = self.others(concerned);
        let mut start = self.tree.leaves_of(concerned);
        start.retain(|leaf| !self.parked.contains(leaf) && !self.tree.is_temporary(*leaf));
        for leaf in &start {
            self.histories.of(*leaf).started = self.exit.at.checked_add(after);
        }
        Decision::RestartGroup { group, stop, start, after }
    }

    /// The leaves below these nodes that are to be stopped: last started first, without the one that ended.
    fn others(&self, nodes: &[Node]) -> Vec<Node> {
        let mut leaves = self.tree.leaves_of(nodes);
        leaves.retain(|leaf| *leaf != self.exit.child && !self.parked.contains(leaf));
        leaves.reverse();
        leaves
    }
}

/// The wait before the restart after so many exits in a row: none after the first, then growing from `initial` up to `max`.
fn backoff(backoff: &Backoff, streak: u32, roll: f64) -> Duration {
    streak.checked_sub(2).map_or(Duration::ZERO, |growths| backoff.wait(growths, roll))
}

#[cfg(test)]
mod tests;
