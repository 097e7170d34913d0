//! Changes of state: each is recorded once, and whoever waits for it goes on.

use std::time::Instant;

use actix::Context;

use super::{
    binding_child::{BindingChild, BindingPhase},
    events::What,
    module_child::{ModuleChild, Phase},
    moments::wall,
    status::{ModuleState, ServiceState},
    topology::Node,
    tree::Supervisor,
    trigger_child::{TriggerChild, TriggerPhase},
};
use crate::actors::ExitReport;

/// A leaf is in another state than the one that was recorded last.
struct Change {
    from: &'static str,
    to: &'static str,
    why: Option<String>,
    next_try: Option<Instant>,
}

impl Supervisor {
    /// To be called after every change of a leaf: records its new state, tells those who wait for it, and lets modules start
    /// that waited for it.
    pub(super) fn touched(&mut self, node: Node, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due = self.groups.due(node).filter(|due| *due > now);
        let change = match node {
            Node::Module(at) => self.modules.get_mut(at).and_then(|child| of_module(child, due)),
            Node::Binding(at) => self.bindings.get_mut(at).and_then(|child| of_binding(child, due)),
            Node::Trigger(at) => self.triggers.get_mut(at).and_then(|child| of_trigger(child, due)),
            Node::Group(_) => None,
        };
        if let Some(Change { from, to, why, next_try }) = change {
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
}

/// The change of a module; `due` is when its group starts it.
fn of_module(child: &mut ModuleChild, due: Option<Instant>) -> Option<Change> {
    child.tell_settled();
    let (state, before) = (child.state(), child.recorded);
    // An instance that is rebuilt at once is an exit and a start, and no more: unless calls wait for `on_start`.
    let opens = child.is_opening(child.code.generation());
    if child.phase == Phase::Up && !opens && (before, state) == (ModuleState::Running, ModuleState::Starting) {
        return None;
    }
    child.recorded = state;
    let why = why_of(state == ModuleState::Backoff || state == ModuleState::Failed, &child.last_exit);
    let next_try = child.next_restart().or(due.filter(|_| state == ModuleState::Backoff));
    (state != before).then(|| Change { from: before.as_str(), to: state.as_str(), why, next_try })
}

/// The change of a binding; `due` is when its group starts it.
fn of_binding(child: &mut BindingChild, due: Option<Instant>) -> Option<Change> {
    let (state, before) = (child.state(), child.recorded);
    child.recorded = state;
    let troubled = matches!(child.phase, BindingPhase::Failed | BindingPhase::Waiting);
    let why = why_of(troubled || !child.backoff.is_empty(), &child.last_exit);
    let next_try = child.next_restart().or(due.filter(|_| state == ServiceState::Backoff));
    (state != before).then(|| Change { from: before.as_str(), to: state.as_str(), why, next_try })
}

/// The change of a trigger; `due` is when its group starts it.
fn of_trigger(child: &mut TriggerChild, due: Option<Instant>) -> Option<Change> {
    child.tell_settled();
    let (state, before) = (child.state(), child.recorded);
    child.recorded = state;
    let why = why_of(matches!(child.phase, TriggerPhase::Failed | TriggerPhase::Resting), &child.last_exit);
    let next_try = child.next_try.or(due.filter(|_| state == ServiceState::Backoff));
    (state != before).then(|| Change { from: before.as_str(), to: state.as_str(), why, next_try })
}

fn why_of(troubled: bool, last_exit: &Option<ExitReport>) -> Option<String> {
    last_exit.as_ref().filter(|_| troubled).map(ExitReport::summary)
}
