//! `[drop_in]`: the directory whose files are modules. Whether its links lead anywhere is decided in `check`; whether its
//! owners and groups exist is for those who look at the files.

use std::{collections::HashSet, path::Path};

use crate::config::{
    defaults,
    error::ConfigErrorKind,
    model::DropIn,
    reader::{Node, Problem, Section},
};

/// The section as it is written: its links are still to be checked against the bindings.
pub(in crate::config) struct WrittenDropIn<'d> {
    /// The section.
    pub(in crate::config) drop_in: DropIn,
    /// Its links, with their places.
    pub(in crate::config) links: Vec<(&'d str, Node<'d>)>,
}

/// Reads it; a relative directory is meant against the state directory. Without the section there is none.
pub(in crate::config) fn read<'d>(section: Option<Section<'d>>, state_dir: &Path) -> Option<WrittenDropIn<'d>> {
    let section = section?;
    let links = section.or("links", Vec::new(), |node| names(node, "the name of a binding"));
    let texts = |named: Vec<(&str, Node<'_>)>| named.into_iter().map(|(name, _)| name.to_owned()).collect();
    let drop_in = DropIn {
        dir: section.or("dir", state_dir.join(defaults::DROP_IN_DIR), |node| node.path_in(state_dir)),
        links: links.iter().map(|(name, _)| (*name).into()).collect(),
        owners: texts(section.or("owners", Vec::new(), |node| names(node, "the name or number of a user, in quotes"))),
        groups: texts(section.or("groups", Vec::new(), |node| names(node, "the name or number of a group, in quotes"))),
        allow_unsafe_permissions: section.or("allow_unsafe_permissions", false, Node::flag),
    };
    section.finish();
    Some(WrittenDropIn { drop_in, links })
}

/// A list of names, each once.
pub(super) fn names<'d>(node: &Node<'d>, what: &str) -> Option<Vec<(&'d str, Node<'d>)>> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for item in node.list(&format!("a list, each item {what}"))? {
        let Some(name) = item.text_without_nul(what) else { continue };
        if name.is_empty() {
            item.bad::<()>(ConfigErrorKind::BadValue, what, None);
        } else if !seen.insert(name) {
            item.problem::<()>(Problem {
                kind: ConfigErrorKind::Duplicate,
                found: format!("{} a second time", item.describe()),
                expected: "every name once".to_owned(),
                hint: None,
            });
        } else {
            names.push((name, item));
        }
    }
    Some(names)
}
