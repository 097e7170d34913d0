//! Modules, bindings, groups and triggers of several files: each name is there once, and the first file that has it keeps it.

use std::collections::HashMap;

use super::{
    error::ConfigErrorKind,
    reader::{Named, Problem, Section},
    sections::root::Children,
};

/// The names that files before this one have.
#[derive(Default)]
pub(super) struct Names<'d> {
    bindings: HashMap<&'d str, Named<'d>>,
    modules: HashMap<&'d str, Named<'d>>,
    groups: HashMap<&'d str, Named<'d>>,
    triggers: HashMap<&'d str, Named<'d>>,
}

/// What one file adds, in its order.
pub(super) struct Fresh<'d> {
    /// Bindings.
    pub(super) bindings: Vec<Named<'d>>,
    /// Modules.
    pub(super) modules: Vec<Named<'d>>,
    /// Groups.
    pub(super) groups: Vec<Named<'d>>,
    /// Triggers.
    pub(super) triggers: Vec<Named<'d>>,
}

impl<'d> Names<'d> {
    /// Takes what the next file has; names that are there already are reported and left out.
    pub(super) fn fresh(&mut self, children: Children<'d>) -> Fresh<'d> {
        Fresh {
            bindings: fresh(&mut self.bindings, children.bindings, "binding"),
            modules: fresh(&mut self.modules, children.modules, "module"),
            groups: fresh(&mut self.groups, children.groups, "group"),
            triggers: fresh(&mut self.triggers, children.triggers, "trigger"),
        }
    }
}

fn fresh<'d>(names: &mut HashMap<&'d str, Named<'d>>, section: Option<Section<'d>>, what: &str) -> Vec<Named<'d>> {
    let mut named = section.map(|section| section.named()).unwrap_or_default();
    named.retain(|named| match names.get(named.name) {
        None => {
            names.insert(named.name, named.clone());
            true
        }
        Some(first) => {
            named.problem(Problem {
                kind: ConfigErrorKind::Duplicate,
                found: format!("a second {what} `{}`; the first is on {}", named.name, first.place_for(named)),
                expected: "every name once in all files together".to_owned(),
                hint: None,
            });
            false
        }
    });
    named
}
