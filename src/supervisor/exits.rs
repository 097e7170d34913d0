//! From an exit to its consequence, for children of every kind: what is remembered, asked, told, and done.

use std::{
    sync::atomic::Ordering::{AcqRel, Acquire},
    time::{Duration, Instant},
};

use actix::Context;

use super::{
    binding_child::Closed,
    decide::{Decision, Exit, decide},
    events::What,
    groups::Run,
    module_child::Then,
    status::ExitStatus,
    stops::HowToStop,
    topology::Node,
    tree::Supervisor,
    trigger_child::{Ended, TriggerChild},
};
use crate::actors::ExitReport;

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

impl Supervisor {
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
}
