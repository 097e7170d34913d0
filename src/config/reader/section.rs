//! A table of the file whose keys are read one by one; what nobody asked for is reported at the end.

use std::{cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{Node, Problem, Report, did_you_mean, node};
use crate::config::error::ConfigErrorKind;

/// A table whose keys are known.
#[must_use = "unknown keys are reported by `finish`"]
pub(in crate::config) struct Section<'d> {
    report: &'d Report<'d>,
    path: String,
    span: Range<usize>,
    table: &'d DeTable<'d>,
    known: RefCell<Vec<&'static str>>,
    refused: RefCell<Vec<&'static str>>,
}

/// A table that the file names itself, such as a module.
#[derive(Clone)]
pub(in crate::config) struct Named<'d> {
    /// The name.
    pub(in crate::config) name: &'d str,
    /// Where the name is.
    pub(in crate::config) span: Range<usize>,
    /// What it holds.
    pub(in crate::config) node: Node<'d>,
}

impl Named<'_> {
    /// Notes a problem with the name itself.
    pub(in crate::config) fn problem(&self, problem: Problem) {
        self.node.report.add(self.node.path(), Some(self.span.clone()), problem);
    }

    /// Notes a problem with a key below the name that is not written.
    pub(in crate::config) fn problem_below(&self, key: &str, problem: Problem) {
        self.node.report.add(&node::join(self.node.path(), key), Some(self.span.clone()), problem);
    }

    /// The line of the name, as a report about another name gives it: with its file if that is another.
    pub(in crate::config) fn place_for(&self, other: &Named<'_>) -> String {
        self.node.report.line_for(self.span.start, other.node.report)
    }
}

impl<'d> Section<'d> {
    /// Makes a section of a table that was found under this key path.
    pub(in crate::config) fn new(
        report: &'d Report<'d>,
        path: String,
        span: Range<usize>,
        table: &'d DeTable<'d>,
    ) -> Self {
        Self { report, path, span, table, known: RefCell::default(), refused: RefCell::default() }
    }

    /// The key path of one of its keys.
    pub(in crate::config) fn path_of(&self, key: &str) -> String {
        node::join(&self.path, key)
    }

    /// The value of a key, which is known from now on.
    pub(in crate::config) fn get(&self, key: &'static str) -> Option<Node<'d>> {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
        #[cfg(test)]
        self.report.asked.borrow_mut().insert(self.path_of(key));
        self.table.get(key).map(|value| self.node(key, value))
    }

    /// The value of a key that must be there.
    pub(in crate::config) fn require(&self, key: &'static str, expected: &str) -> Option<Node<'d>> {
        let node = self.get(key);
        if node.is_none() {
            self.report.add(
                &self.path_of(key),
                Some(self.span.clone()),
                Problem {
                    kind: ConfigErrorKind::MissingKey,
                    found: "no such key".to_owned(),
                    expected: expected.to_owned(),
                    hint: None,
                },
            );
        }
        node
    }

    /// What a key says, or the default where it is absent or wrong.
    pub(in crate::config) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Node<'d>) -> Option<T>,
    ) -> T {
        self.get(key).and_then(|node| read(&node)).unwrap_or(default)
    }

    /// Notes a problem with a key that belongs elsewhere, if it is there. It is neither offered nor reported as unknown.
    pub(in crate::config) fn refuse(&self, key: &'static str, problem: impl FnOnce() -> Problem) {
        if let Some((key, _)) = self.table.get_key_value(key) {
            self.report.add(&self.path_of(key.get_ref()), Some(key.span()), problem());
        }
        self.refused.borrow_mut().push(key);
    }

    /// The tables of a section whose keys are names, in file order.
    pub(in crate::config) fn named(&self) -> Vec<Named<'d>> {
        self.table
            .iter()
            .map(|(key, value)| Named { name: key.get_ref(), span: key.span(), node: self.node(key.get_ref(), value) })
            .collect()
    }

    /// Reports every key that nobody asked for.
    pub(in crate::config) fn finish(self) {
        let (known, refused) = (self.known.borrow(), self.refused.borrow());
        let is = |keys: &[&str], key: &Spanned<DeString<'_>>| keys.contains(&key.get_ref().as_ref());
        for key in self.table.keys().filter(|key| !is(&known, key) && !is(&refused, key)) {
            self.unknown(key, &known);
        }
    }

    fn unknown(&self, key: &Spanned<DeString<'d>>, known: &[&'static str]) {
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let expected = match names.as_slice() {
            [] => "no key here".to_owned(),
            [name] => name.clone(),
            names => format!("one of {}", names.join(", ")),
        };
        let problem = Problem {
            kind: ConfigErrorKind::UnknownKey,
            found: "an unknown key".to_owned(),
            expected,
            hint: did_you_mean(key.get_ref(), known.iter().copied()),
        };
        self.report.add(&self.path_of(key.get_ref()), Some(key.span()), problem);
    }

    fn node(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Node<'d> {
        Node::new(self.report, self.path_of(key), value)
    }
}
