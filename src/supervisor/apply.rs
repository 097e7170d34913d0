//! Applies a reload that was planned and whose code is there: children come, change, restart and go. Nothing here can be
//! refused any more; what a single child then fails with is its own, and told.
//!
//! Here is the order of it; children that come are in `added.rs`, those that go on in `changed.rs`, and those that go in `gone.rs`.

use std::{collections::HashSet, sync::Arc};

use actix::{AsyncContext, Context};

use super::{
    binding_child::BindingPhase,
    drop_in::make_directory,
    events::What,
    module_child::Phase,
    outcomes::Outcomes,
    planner::Draft,
    prepare::Prepared,
    topology::{Node, Topology},
    tree::Supervisor,
    trigger_child::TriggerPhase,
};
use crate::config::{Change, ChangeAction};

mod added;
mod changed;
mod gone;

impl Supervisor {
    /// Makes another configuration the one that holds. What it returns tells what became of it.
    pub(super) fn apply(
        &mut self,
        draft: Draft,
        mut prepared: Prepared,
        wait: bool,
        ctx: &mut Context<Self>,
    ) -> Outcomes {
        let Draft { config, plan, acceptance, .. } = draft;
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        *self.shared.write() = Arc::clone(&config);
        self.acceptance = acceptance;
        self.budget.set_limit(config.daemon.queue_bytes);
        if old.logging.level != config.logging.level {
            self.reloads.set_level(config.logging.level);
        }
        let of = |wanted: &[ChangeAction]| -> Vec<Change> {
            plan.changes.iter().filter(|change| wanted.contains(&change.action)).cloned().collect()
        };
        let mut failed = self.tree.order().to_vec();
        failed.retain(|leaf| self.in_failed_group(*leaf));
        // Names first, so that the tree is that of the new configuration.
        let gone: Vec<Node> = of(&[ChangeAction::Remove]).iter().filter_map(|change| self.give_up(change)).collect();
        let added = of(&[ChangeAction::Add]);
        let added: Vec<Node> =
            added.iter().filter_map(|change| self.admit(change, &config, &mut prepared, ctx)).collect();
        let changed = of(&[ChangeAction::Adjust, ChangeAction::Swap, ChangeAction::Restart]);
        for group in &config.groups {
            self.groups.set(group.clone());
        }
        self.tree = Topology::new(&self.config, |member| self.place(member));
        let bindings_differ = gone.iter().chain(&added).any(|node| matches!(node, Node::Binding(_)));
        let mut outcomes = Outcomes { supervisor: ctx.address(), waits: Vec::new() };
        for change in &changed {
            self.change(change, &mut prepared, outcomes.if_wanted(wait), ctx);
        }
        if bindings_differ {
            self.renew_links();
        }
        for node in &added {
            self.events.record(self.subject(*node), What::Added);
        }
        let starts: HashSet<Node> = added.iter().copied().collect();
        for node in self.tree.order().to_vec().into_iter().filter(|node| starts.contains(node)) {
            self.start_added(node, &mut prepared, ctx);
            self.check_health(node, ctx);
            if let (true, Node::Module(module)) = (wait, node) {
                outcomes.await_start(self.modules.get_mut(module));
            }
        }
        for node in gone.into_iter().rev() {
            self.retire(node, ctx);
        }
        if config.watch != old.watch {
            let running = self.triggers.values().filter_map(|child| child.running.as_ref());
            running.for_each(|running| running.watch(config.watch.clone()));
        }
        if config.drop_in != old.drop_in {
            let config = Arc::clone(&config);
            self.keeper.then(move || make_directory(&config));
        }
        for leaf in failed {
            self.release(leaf, ctx);
        }
        self.follow_as_configured(ctx);
        outcomes
    }

    /// Gives a child another chance that failed with a group to which it belongs no more.
    fn release(&mut self, leaf: Node, ctx: &mut Context<Self>) {
        let has_failed = match leaf {
            Node::Module(at) => self.modules.get(at).is_some_and(|child| child.phase == Phase::Failed),
            Node::Binding(at) => self.bindings.get(at).is_some_and(|child| child.phase == BindingPhase::Failed),
            Node::Trigger(at) => self.triggers.get(at).is_some_and(|child| child.phase == TriggerPhase::Failed),
            Node::Group(_) => false,
        };
        if has_failed && !self.in_failed_group(leaf) && !self.parked.contains(&leaf) {
            self.histories.clear([leaf]);
            self.start_leaf(leaf, ctx);
        }
    }
}
