//! The supervision tree as plain values: who is a member of which group, in which order children start, and whom a
//! group's strategy concerns.
//!
//! Bindings, modules and triggers are the leaves. Those outside of groups hang on the root, each for itself, so that one that has
//! failed concerns nobody else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crate::config::{Config, Member, Restart, RestartType, Strategy};

/// A child, by its id among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A binding.
    Binding(usize),
    /// A module.
    Module(usize),
    /// A group.
    Group(usize),
    /// A trigger.
    Trigger(usize),
}

/// One group.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Who is restarted with whom.
    pub strategy: Strategy,
    /// In the order of their start.
    pub members: Vec<Node>,
    /// At most so many restarts of members ...
    pub intensity: u32,
    /// ... in this time.
    pub period: Duration,
    /// Whether the daemon stops when the group has failed for good.
    pub critical: bool,
}

/// The whole tree. Another configuration makes another one.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    groups: BTreeMap<usize, Branch>,
    /// The group of each member.
    parents: HashMap<Node, usize>,
    /// How each leaf is restarted.
    leaves: HashMap<Node, Restart>,
    /// All leaves in the order of their start.
    order: Vec<Node>,
}

impl Topology {
    /// The tree of a configuration whose children have these places. Names without a place are left out: the configuration
    /// was checked.
    #[must_use]
    pub fn new(config: &Config, place: impl Fn(&Member) -> Option<Node>) -> Self {
        let branch = |group: &crate::config::Group| {
            let Some(Node::Group(at)) = place(&Member::Group(Arc::clone(&group.name))) else { return None };
            let branch = Branch {
                strategy: group.strategy,
                members: group.members.iter().filter_map(&place).collect(),
                intensity: group.intensity,
                period: group.period,
                critical: group.critical,
            };
            Some((at, branch))
        };
        let leaf = |member: Member, restart: &Restart| Some((place(&member)?, restart.clone()));
        let bindings = config.bindings.iter();
        let bindings = bindings.filter_map(|it| leaf(Member::Binding(Arc::clone(&it.name)), &it.restart));
        let modules = config.modules.iter();
        let modules = modules.filter_map(|it| leaf(Member::Module(Arc::clone(&it.name)), &it.restart));
        let triggers = config.triggers.iter();
        let triggers = triggers.filter_map(|it| leaf(Member::Trigger(Arc::clone(&it.name)), &it.restart));
        let leaves = bindings.chain(modules).chain(triggers).collect();
        Self::build(config.groups.iter().filter_map(branch).collect(), leaves)
    }

    /// A tree of these groups and leaves, which start in this order where no group says otherwise.
    #[must_use]
    pub fn build(groups: Vec<(usize, Branch)>, leaves: Vec<(Node, Restart)>) -> Self {
        let of_group =
            |(group, branch): &(usize, Branch)| branch.members.iter().map(|node| (*node, *group)).collect::<Vec<_>>();
        let parents: HashMap<Node, usize> = groups.iter().flat_map(of_group).collect();
        let in_order: Vec<usize> = groups.iter().map(|(at, _)| *at).collect();
        let groups = groups.into_iter().collect();
        let mut tree = Self { groups, parents, leaves: HashMap::new(), order: Vec::new() };
        // Bindings first, as their place in the list is; then groups, then what stands alone.
        let alone = |node: &Node| !tree.parents.contains_key(node);
        let nodes = || leaves.iter().map(|(node, _)| *node).filter(alone);
        let groups = in_order.into_iter().map(Node::Group).filter(alone);
        let bindings = nodes().filter(|node| matches!(node, Node::Binding(_)));
        let modules = nodes().filter(|node| matches!(node, Node::Module(_)));
        let triggers = nodes().filter(|node| matches!(node, Node::Trigger(_)));
        let roots: Vec<Node> = bindings.chain(groups).chain(modules).chain(triggers).collect();
        tree.order = tree.leaves_of(&roots);
        tree.leaves = leaves.into_iter().collect();
        tree
    }

    /// All leaves in the order of their start: bindings that stand alone, groups, modules that stand alone, triggers
    /// that do.
    #[must_use]
    pub fn order(&self) -> &[Node] {
        &self.order
    }

    /// The group that a child belongs to.
    #[must_use]
    pub fn parent(&self, node: Node) -> Option<usize> {
        self.parents.get(&node).copied()
    }

    /// A group by its index.
    #[must_use]
    pub fn group(&self, group: usize) -> Option<&Branch> {
        self.groups.get(&group)
    }

    /// How a leaf is restarted.
    #[must_use]
    pub fn restart(&self, leaf: Node) -> Option<&Restart> {
        self.leaves.get(&leaf)
    }

    /// The outermost group that a child belongs to, or the child itself.
    #[must_use]
    pub fn root_of(&self, node: Node) -> Node {
        std::iter::successors(Some(node), |node| self.parent(*node).map(Node::Group)).last().unwrap_or(node)
    }

    /// The bindings, modules and triggers below these nodes, in the order of their start.
    #[must_use]
    pub fn leaves_of(&self, nodes: &[Node]) -> Vec<Node> {
        let below = |node: &Node| match node {
            Node::Group(group) => {
                self.groups.get(group).map(|branch| self.leaves_of(&branch.members)).unwrap_or_default()
            }
            leaf => vec![*leaf],
        };
        nodes.iter().flat_map(below).collect()
    }

    /// The groups below a node, itself included.
    #[must_use]
    pub fn groups_of(&self, node: Node) -> Vec<usize> {
        let Node::Group(group) = node else { return Vec::new() };
        let members = self.groups.get(&group).map(|branch| branch.members.as_slice()).unwrap_or_default();
        std::iter::once(group).chain(members.iter().flat_map(|member| self.groups_of(*member))).collect()
    }

    /// The members of a group whom its strategy concerns when one of them is restarted, in the order of their start.
    #[must_use]
    pub fn concerned(&self, group: usize, member: Node) -> &[Node] {
        let Some(branch) = self.groups.get(&group) else { return &[] };
        let Some(at) = branch.members.iter().position(|node| *node == member) else { return &[] };
        let range = match branch.strategy {
            Strategy::OneForOne => at..at + 1,
            Strategy::OneForAll => 0..branch.members.len(),
            Strategy::RestForOne => at..branch.members.len(),
        };
        branch.members.get(range).unwrap_or_default()
    }

    /// The members that start before this one, in its group and in those above.
    pub fn before(&self, node: Node) -> impl Iterator<Item = Node> {
        let chain = std::iter::successors(Some(node), |node| self.parent(*node).map(Node::Group));
        chain.flat_map(|node| {
            let members = self.parent(node).and_then(|group| self.groups.get(&group)).map(|branch| &branch.members);
            members.into_iter().flatten().copied().take_while(move |member| *member != node)
        })
    }

    /// Whether a leaf is of the type that is never restarted.
    #[must_use]
    pub fn is_temporary(&self, leaf: Node) -> bool {
        self.restart(leaf).is_some_and(|restart| restart.restart_type == RestartType::Temporary)
    }
}

#[cfg(test)]
pub(super) mod sketch;
#[cfg(test)]
mod tests;
