//! How often a child was restarted, and why.

use std::collections::BTreeMap;

use crate::actors::ExitReason;

/// Restarts of a module, binding or trigger since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    total: u64,
    by_reason: BTreeMap<&'static str, u64>,
}

impl Restarts {
    pub(super) fn add(&mut self, reason: ExitReason) {
        self.total += 1;
        *self.by_reason.entry(reason.as_str()).or_default() += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn by_reason(&self) -> BTreeMap<String, u64> {
        self.by_reason.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
    }
}
