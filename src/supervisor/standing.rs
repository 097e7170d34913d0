//! How the daemon stands, in a few numbers and names: what a service manager is told. Asked far more often than the whole
//! status is read, so it costs no more than a look at each child.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Instant};

use actix::{Context, Handler, Message};

use super::{
    module_child::{ModuleChild, Phase},
    slot::SlotState,
    status::{ModuleState, ServiceState},
    topology::Node,
    tree::Supervisor,
    trigger_child::{TriggerChild, TriggerPhase},
    triggers::MODULES_WAIT,
};

/// How the daemon stands at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far the start has got.
    pub start: Start,
    /// Modules by their state, in the order of [`ModuleState::ALL`], without states that none has.
    pub modules: Vec<(ModuleState, usize)>,
    /// Triggers, all together.
    pub triggers: usize,
    /// Modules that are in back-off or have failed.
    pub modules_unwell: Vec<Unwell>,
    /// Bindings that do not answer, or not everywhere.
    pub bindings_unwell: Vec<Unwell>,
    /// Triggers that are not at work though they should be.
    pub triggers_unwell: Vec<Unwell>,
    /// Workers that do not turn over.
    pub stalled: Vec<usize>,
    /// Calls that run or wait.
    pub calls: usize,
    /// New code of a reload that is not there yet.
    pub reload_lacks: usize,
}

/// How far the start has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start {
    /// Children of which it is not known yet what becomes of them.
    pub undecided: usize,
    /// Those among them whose file is being read and compiled, which nothing but the file's size bounds.
    pub loading: usize,
    /// Those among them whose instances are being started, which ends with their deadlines.
    pub starting: usize,
}

/// A child that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwell {
    /// Its name.
    pub name: String,
    /// What it is instead: a state, or `disconnected`.
    pub state: &'static str,
}

/// Asks how the daemon stands. Answered at once.
#[derive(Message)]
#[rtype(result = "Standing")]
pub(super) struct GetStanding;

/// What the daemon was started with and has not been decided on: neither started, nor failed, nor stopped.
#[derive(Debug, Default)]
pub(super) struct Undecided(HashSet<Node>);

impl Undecided {
    /// Modules and triggers among these; nobody waits for a binding but its modules.
    pub(super) fn new(leaves: &[Node]) -> Self {
        let waited_for = |leaf: &&Node| matches!(leaf, Node::Module(_) | Node::Trigger(_));
        Self(leaves.iter().filter(waited_for).copied().collect())
    }
}

impl Supervisor {
    /// Notes what has been decided on a leaf, once and for all: one that ends later does not take it back.
    pub(super) fn note_decided(&mut self, leaf: Node) {
        if self.undecided.0.contains(&leaf) && self.is_decided(leaf, Instant::now()) {
            self.undecided.0.remove(&leaf);
        }
    }

    /// Whether it is known what becomes of a leaf. A restart that waits is such a decision: the start was tried, and more of
    /// them are a matter of restarts. So is a wait for a binding without which it does not start, if that lasts longer than all
    /// other waits; one whose wait is over for everything else is about to start.
    fn is_decided(&self, leaf: Node, now: Instant) -> bool {
        match leaf {
            Node::Module(at) => self.modules.get(at).is_none_or(|child| match child.phase {
                _ if child.removed => true,
                Phase::Waiting(since) => {
                    now.saturating_duration_since(since) >= child.config.binding_wait && self.last_missing(at).is_some()
                }
                _ => is_module_decided(child),
            }),
            Node::Trigger(at) => self.triggers.get(at).is_none_or(|child| match child.phase {
                _ if child.removed => true,
                TriggerPhase::Waiting(since) => {
                    now.saturating_duration_since(since) >= MODULES_WAIT && self.trigger_lacks(at).is_some()
                }
                _ => is_trigger_decided(child),
            }),
            Node::Binding(_) | Node::Group(_) => true,
        }
    }

    fn start_standing(&mut self, now: Instant) -> Start {
        let mut undecided = std::mem::take(&mut self.undecided);
        undecided.0.retain(|leaf| !self.is_decided(*leaf, now));
        let mut start = Start { undecided: undecided.0.len(), ..Start::default() };
        for leaf in &undecided.0 {
            let Node::Module(at) = leaf else { continue };
            let Some(child) = self.modules.get(*at) else { continue };
            start.loading += usize::from(child.phase == Phase::Loading);
            start.starting += usize::from(child.slots.iter().any(|slot| matches!(slot.state, SlotState::Starting(..))));
        }
        self.undecided = undecided;
        start
    }

    fn standing(&mut self) -> Standing {
        let mut standing = Standing {
            start: self.start_standing(Instant::now()),
            bindings_unwell: self.bindings_unwell(),
            stalled: self.stalls.stalled(),
            reload_lacks: self.reloads.lacks(),
            ..Standing::default()
        };
        let mut counts = [0; ModuleState::ALL.len()];
        for child in self.modules.values() {
            standing.calls = standing.calls.saturating_add(calls(child));
            if child.removed {
                continue;
            }
            let state = child.state();
            let of_state = counts.iter_mut().zip(ModuleState::ALL).find(|(_, it)| *it == state);
            of_state.into_iter().for_each(|(count, _)| *count += 1);
            if matches!(state, ModuleState::Backoff | ModuleState::Failed) {
                standing.modules_unwell.push(Unwell { name: child.config.name.to_string(), state: state.as_str() });
            }
        }
        standing.modules = ModuleState::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        for child in self.triggers.values().filter(|child| !child.removed) {
            standing.triggers += 1;
            let unwell = unwell(child.state()).map(|state| Unwell { name: child.name().to_string(), state });
            standing.triggers_unwell.extend(unwell);
        }
        standing
    }

    fn bindings_unwell(&self) -> Vec<Unwell> {
        let bindings = self.bindings.values().filter(|child| !child.removed);
        let unwell = |child: &super::binding_child::BindingChild| {
            let state = child.state();
            let disconnected = state == ServiceState::Running && !child.is_connected_to_backend();
            let state = unwell(state).or(disconnected.then_some("disconnected"))?;
            Some(Unwell { name: child.name().to_string(), state })
        };
        bindings.filter_map(unwell).collect()
    }
}

/// Calls of a module that run or wait.
fn calls(child: &ModuleChild) -> usize {
    let running = child.queue.counters().in_flight.load(Relaxed);
    usize::try_from(running).unwrap_or(usize::MAX).saturating_add(child.queue.numbers().calls)
}

/// The state of a binding or trigger that does not do what it is there for, whoever wants it so.
fn unwell(state: ServiceState) -> Option<&'static str> {
    matches!(state, ServiceState::Backoff | ServiceState::Stopped | ServiceState::Failed).then(|| state.as_str())
}

fn is_module_decided(child: &ModuleChild) -> bool {
    match child.phase {
        Phase::Idle => child.config.lazy,
        Phase::Loading | Phase::Waiting(_) => false,
        Phase::Up => {
            let starting = child.slots.iter().any(|slot| matches!(slot.state, SlotState::Starting(..)));
            let rests = |state: &SlotState| matches!(state, SlotState::Backoff(_));
            !starting && (child.live().next().is_some() || child.slots.iter().any(|slot| rests(&slot.state)))
        }
        Phase::Stopping(_) | Phase::Held | Phase::Stopped | Phase::Failed => true,
    }
}

fn is_trigger_decided(child: &TriggerChild) -> bool {
    match child.phase {
        TriggerPhase::Waiting(_) | TriggerPhase::Starting => false,
        // Before its first start it rests, too.
        TriggerPhase::Resting => child.last_exit.is_some(),
        TriggerPhase::Up | TriggerPhase::Draining(_) | TriggerPhase::Stopped | TriggerPhase::Failed => true,
    }
}

impl Handler<GetStanding> for Supervisor {
    type Result = actix::MessageResult<GetStanding>;

    fn handle(&mut self, _: GetStanding, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.standing())
    }
}
