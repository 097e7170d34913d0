//! Trees for tests, written in one line.
//!
//! ```text
//!   a~:5/30                           a module that stands alone: transient, at most 5 restarts in 30 s
//!   G=all:2/30! [ @a b? H=one [ c ] ] a critical group of a binding, a temporary module and a group
//!   ... | plain, initial=0, factor=1  settings of all leaves
//! ```
//!
//! `one`, `all` and `rest` are the strategies; a name without a mark is permanent; 5/30 where nothing is said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::HashMap, time::Duration};

use super::{Branch, Node, Topology};
use crate::config::{Backoff, Restart, RestartType, Strategy};

/// A tree with the names of its nodes.
#[derive(Debug)]
pub(in crate::supervisor) struct Sketch {
    pub(in crate::supervisor) tree: Topology,
    names: HashMap<String, Node>,
}

impl Sketch {
    pub(in crate::supervisor) fn new(text: &str) -> Self {
        let (nodes, settings) = text.split_once('|').unwrap_or((text, ""));
        let defaults = defaults(settings);
        let (mut names, mut groups, mut leaves, mut open) = (HashMap::new(), Vec::new(), Vec::new(), Vec::new());
        for word in nodes.split_whitespace() {
            let (head, (intensity, period)) = match word.split_once(':') {
                Some((head, limits)) => (head, of_limits(limits.trim_end_matches('!'))),
                None => (word, (5, Duration::from_secs(30))),
            };
            let (name, node) = match (word, head.trim_end_matches('!').split_once('=')) {
                ("[", _) => {
                    open.push(groups.len() - 1);
                    continue;
                }
                ("]", _) => {
                    open.pop().unwrap();
                    continue;
                }
                (_, Some((name, strategy))) => {
                    let strategy = of_strategy(strategy);
                    let critical = word.ends_with('!');
                    groups.push(Branch { strategy, members: Vec::new(), intensity, period, critical });
                    (name, Node::Group(groups.len() - 1))
                }
                (_, None) => {
                    let restart_type = match head {
                        _ if head.ends_with('~') => RestartType::Transient,
                        _ if head.ends_with('?') => RestartType::Temporary,
                        _ => RestartType::Permanent,
                    };
                    let node = match head.strip_prefix('@') {
                        Some(_) => Node::Binding(leaves.len()),
                        None => Node::Module(leaves.len()),
                    };
                    leaves.push((node, Restart { restart_type, intensity, period, ..defaults.clone() }));
                    (head.trim_matches(['@', '~', '?']), node)
                }
            };
            assert!(names.insert(name.to_owned(), node).is_none(), "{name} twice in {text}");
            // A group's own bracket opens after its name.
            if let Some(group) = open.last() {
                let branch: &mut Branch = &mut groups[*group];
                branch.members.push(node);
            }
        }
        assert!(open.is_empty(), "a bracket is open in {text}");
        Self { tree: Topology::build(groups.into_iter().enumerate().collect(), leaves), names }
    }

    pub(in crate::supervisor) fn node(&self, name: &str) -> Node {
        *self.names.get(name).unwrap_or_else(|| panic!("no node {name} in this tree"))
    }

    pub(in crate::supervisor) fn name(&self, node: Node) -> &str {
        self.names.iter().find(|(_, it)| **it == node).map(|(name, _)| name.as_str()).unwrap()
    }

    pub(in crate::supervisor) fn names(&self, nodes: &[Node]) -> String {
        nodes.iter().map(|node| self.name(*node)).collect::<Vec<_>>().join(" ")
    }
}

fn of_limits(text: &str) -> (u32, Duration) {
    let (intensity, period) = text.split_once('/').unwrap();
    (intensity.parse().unwrap(), Duration::from_secs(period.parse().unwrap()))
}

fn of_strategy(text: &str) -> Strategy {
    match text {
        "one" => Strategy::OneForOne,
        "all" => Strategy::OneForAll,
        "rest" => Strategy::RestForOne,
        _ => panic!("no strategy {text}"),
    }
}

/// Leaves wait 100 ms, 200 ms, ... 30 s, and without chance, where nothing else is said.
fn defaults(settings: &str) -> Restart {
    let mut restart = Restart {
        restart_type: RestartType::Permanent,
        intensity: 5,
        period: Duration::from_secs(30),
        reset_on_success: true,
        retry_failed: None,
        backoff: Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.0,
        },
    };
    for setting in settings.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match setting.split_once('=') {
            None if setting == "plain" => restart.reset_on_success = false,
            Some(("initial", ms)) => restart.backoff.initial = Duration::from_millis(ms.parse().unwrap()),
            Some(("max", ms)) => restart.backoff.max = Duration::from_millis(ms.parse().unwrap()),
            Some(("factor", factor)) => restart.backoff.factor = factor.parse().unwrap(),
            Some(("jitter", jitter)) => restart.backoff.jitter = jitter.parse().unwrap(),
            _ => panic!("no setting {setting}"),
        }
    }
    restart
}
