//! `shutdown` of a module or binding: how long it may take to end.

use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::Shutdown,
    reader::{Node, did_you_mean},
};

const WORDS: &[(&str, Shutdown)] = &[("kill", Shutdown::Kill), ("infinity", Shutdown::Infinity)];

/// `"kill"`, `"infinity"`, or a time.
pub(super) fn read(node: &Node<'_>) -> Option<Shutdown> {
    const OR: &str = "\"kill\" or \"infinity\" or ";
    if node.is_text() {
        let text = node.text(OR)?;
        if let Some((_, shutdown)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*shutdown);
        }
        if let Some(hint) = did_you_mean(text, WORDS.iter().map(|(word, _)| *word)) {
            return node.bad(ConfigErrorKind::BadValue, format!("{OR}a time with its unit"), Some(hint));
        }
    }
    node.time_or(&bounds::SHUTDOWN, OR).map(Shutdown::After)
}
