//! What failed for good: a child, or the whole group that gave up, until its new chance comes or somebody gives it one.

use std::time::Instant;

use actix::Context;

use super::{
    binding_child::BindingPhase, events::What, handle::EndReason, module_child::Phase, topology::Node,
    tree::Supervisor, trigger_child::TriggerPhase,
};
use crate::actors::{ExitReason, ExitReport};

/// By how much a failed child's new chance is put off at random: thousands at one moment would hold up everything else.
const RETRY_JITTER: f64 = 0.1;

impl Supervisor {
    /// Carries out that a child cannot be restarted: it fails, with the whole group that gave up, if one did.
    pub(super) fn fail_tree(
        &mut self,
        child: Node,
        report: &ExitReport,
        (top, stop, critical): (Node, &[Node], bool),
        ctx: &mut Context<Self>,
    ) {
        let because = self.subject(child).to_string();
        let mut others = report.clone();
        if let Node::Group(group) = top {
            let decision = if critical { "stop_daemon" } else { "fail" }.to_owned();
            self.events.record(self.subject(top), What::GroupGaveUp { because: because.clone(), decision });
            let name = self.groups.config(group).map_or("", |group| &group.name);
            let why = format!("its group `{name}` gave up after {because} ended: {}", report.summary());
            others = ExitReport::new(ExitReason::Stopped, vec![why]);
            for group in self.tree.groups_of(top) {
                self.groups.fail(group);
            }
        }
        self.fail_leaf(child, report.clone(), ctx);
        for leaf in stop {
            self.fail_leaf(*leaf, others.clone(), ctx);
        }
        self.retry_later(top, ctx);
        // Last, since the events tell of the next chance.
        for leaf in std::iter::once(&child).chain(stop) {
            self.touched(*leaf, ctx);
        }
        if critical && !self.draining {
            self.ended.send_replace(Some(EndReason::Critical { group: self.subject(top).to_string(), because }));
        }
    }

    fn fail_leaf(&mut self, leaf: Node, report: ExitReport, ctx: &mut Context<Self>) {
        match leaf {
            // What had ended as it may has not failed.
            Node::Module(at) if self.modules.get(at).is_some_and(|child| child.phase == Phase::Stopped) => {}
            Node::Binding(at) if self.bindings.get(at).is_some_and(|child| child.phase == BindingPhase::Stopped) => {}
            Node::Module(module) => self.fail_module(module, report, ctx),
            Node::Binding(binding) => self.fail_binding(binding, report),
            Node::Trigger(at) if self.triggers.get(at).is_some_and(|child| child.phase == TriggerPhase::Stopped) => {}
            Node::Trigger(trigger) => self.fail_trigger(trigger, report),
            Node::Group(_) => {}
        }
    }

    /// Gives what failed a new chance when its time has come.
    fn retry_later(&mut self, top: Node, ctx: &mut Context<Self>) {
        let after = match top {
            Node::Group(group) => self.groups.config(group).and_then(|group| group.retry_failed),
            leaf => self.tree.restart(leaf).and_then(|restart| restart.retry_failed),
        };
        let Some(after) = after else { return };
        // One that came back at once, with the code that it had before, needs no chance.
        if matches!(top, Node::Module(at) if self.modules.get(at).is_some_and(|child| child.phase != Phase::Failed)) {
            return;
        }
        // What failed together does not come back all at once.
        let after = after.mul_f64(1.0 + RETRY_JITTER * rand::random::<f64>());
        let next_try = Instant::now() + after;
        let mut leaves = self.tree.leaves_of(&[top]);
        leaves.retain(|leaf| !self.parked.contains(leaf));
        self.note_next_try(&leaves, next_try);
        let era = self.era(top);
        if let Node::Group(group) = top {
            self.groups.retry_at(group, next_try);
        }
        self.later(after, ctx, move |supervisor, ctx| {
            // Whoever started it in between has given the chance already. A member that was stopped takes none away.
            let still_failed = match top {
                Node::Group(group) => supervisor.groups.is_due(group, next_try),
                leaf => supervisor.era(leaf) == era,
            };
            if !supervisor.draining && still_failed {
                supervisor.revive(top, ctx);
            }
        });
    }

    /// Starts everything below a node again, with a clear history. What someone stopped stays as it is.
    pub(super) fn revive(&mut self, top: Node, ctx: &mut Context<Self>) {
        let groups = self.tree.groups_of(top);
        for group in &groups {
            self.groups.revive(*group);
        }
        let leaves = self.tree.leaves_of(&[top]);
        self.histories.clear(groups.into_iter().map(Node::Group).chain(leaves.iter().copied()));
        for leaf in leaves {
            if !self.parked.contains(&leaf) {
                self.start_leaf(leaf, ctx);
            }
        }
    }

    /// Whether a child belongs to a group that gave up.
    pub(super) fn in_failed_group(&self, node: Node) -> bool {
        matches!(self.tree.root_of(node), Node::Group(group) if self.groups.is_failed(group))
    }

    /// Gives a leaf the chance that an operator wants for it: with its whole group where that gave up. Where it did not, the leaf
    /// has a clear history and is to be started alone: then this is `false`.
    pub(super) fn unpark(&mut self, leaf: Node, ctx: &mut Context<Self>) -> bool {
        self.parked.remove(&leaf);
        let with_group = self.in_failed_group(leaf);
        if with_group {
            self.revive(self.tree.root_of(leaf), ctx);
        } else {
            self.histories.clear([leaf]);
        }
        with_group
    }

    fn era(&self, leaf: Node) -> u64 {
        match leaf {
            Node::Module(at) => self.modules.get(at).map_or(0, |child| child.era),
            Node::Binding(at) => self.bindings.get(at).map_or(0, |child| child.era),
            Node::Trigger(at) => self.triggers.get(at).map_or(0, |child| child.era),
            Node::Group(_) => 0,
        }
    }
}
