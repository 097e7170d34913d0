//! The call that a panic is reported with, noted before the binding takes the call away.

use std::sync::Arc;

use crate::bindings::{BindingCall, BindingCounters, counters::OperationId};

/// Bytes of an operation's name that are kept. Every name that a type lists is known without a copy; of others the
/// beginning tells enough, and a copy on the heap would cost each call of a module by a module.
const KEPT: usize = 40;

/// Who called for what.
pub(super) struct Subject {
    pub(super) module: Arc<str>,
    pub(super) instance: u64,
    pub(super) call: u64,
    pub(super) operation: OperationId,
    name: Name,
}

enum Name {
    Listed(&'static str),
    Copied { bytes: [u8; KEPT], length: usize },
}

impl Subject {
    pub(super) fn of(call: &BindingCall, counters: &BindingCounters) -> Self {
        let operation = counters.operation(&call.operation);
        let name = counters.name(operation).map_or_else(|| copied(&call.operation), Name::Listed);
        let caller = &call.caller;
        Self { module: Arc::clone(&caller.module), instance: caller.instance, call: caller.call, operation, name }
    }

    /// Name of the operation, or its beginning.
    pub(super) fn name(&self) -> &str {
        match &self.name {
            Name::Listed(name) => name,
            Name::Copied { bytes, length } => {
                bytes.get(..*length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
            }
        }
    }
}

fn copied(name: &str) -> Name {
    let kept = name.get(..name.floor_char_boundary(KEPT)).unwrap_or_default();
    let mut bytes = [0; KEPT];
    bytes.iter_mut().zip(kept.as_bytes()).for_each(|(to, from)| *to = *from);
    Name::Copied { bytes, length: kept.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::testing::call;

    #[test]
    fn names_listed_operations_and_the_beginning_of_others() {
        let counters = BindingCounters::new(&["get"]);
        let name = |operation: &str| Subject::of(&call(operation, b""), &counters).name().to_owned();
        assert_eq!(name("get"), "get");
        assert_eq!(name("greet"), "greet");
        assert_eq!(name(""), "");
        assert_eq!(name(&"ü".repeat(100)), "ü".repeat(20));
        assert_eq!(name(&format!("x{}", "ü".repeat(100))), format!("x{}", "ü".repeat(19)));
    }
}
