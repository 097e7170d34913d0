//! What a binding receives: one host call with the facts about its caller.

use std::{fmt, sync::Arc, time::Instant};

use actix::Message;
use bytes::Bytes;

use super::payload::cut;
use crate::{
    config::Link,
    host::{HostCallError, HostErrorKind, LineLimit},
};

/// A host call on its way to a binding.
///
/// Sent by the instance whose guest made it, answered by the binding's actor on the same worker. The binding's
/// operation is already the binding's own name for it: links and renames are resolved by the sender.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Bytes, HostCallError>")]
pub struct BindingCall {
    /// Who asks.
    pub caller: Caller,
    /// The namespace that the guest named.
    pub namespace: String,
    /// The binding's name of the operation.
    pub operation: String,
    /// What the guest sent.
    pub payload: Bytes,
    /// The link that allowed it.
    pub link: Arc<Link>,
}

impl BindingCall {
    /// The error of an operation that the binding does not have.
    pub(super) fn no_such_operation(&self, binding: &str, operations: &[&str]) -> HostCallError {
        HostCallError::new(
            HostErrorKind::NoSuchOperation,
            format!("binding `{binding}` has no operation `{}`: {}", cut(&self.operation), operations.join(", ")),
        )
    }
}

/// The guest call in which a host call is made.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the module.
    pub module: Arc<str>,
    /// Id of the instance.
    pub instance: u64,
    /// Generation of the module's code.
    pub generation: u64,
    /// Id of the guest call.
    pub call: u64,
    /// When the guest call ends, whatever happens.
    pub deadline: Instant,
    /// The modules that wait for this guest call, outermost first.
    pub chain: Chain,
    /// How many lines the instance may log.
    pub lines: LineLimit,
}

/// How a guest call came about: the modules in a chain of nested guest calls, and the trace that the outermost caller gave.
/// Cheap to extend and to share.
#[derive(Clone, Default)]
pub struct Chain {
    modules: Option<Arc<ChainLink>>,
    trace: Option<Arc<Trace>>,
}

struct ChainLink {
    module: Arc<str>,
    outer: Option<Arc<ChainLink>>,
}

/// A trace as W3C's `traceparent` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace; not zero.
    pub id: u128,
    /// The span of whoever called; not zero.
    pub parent: u64,
    /// Whether the caller records it, and other flags.
    pub flags: u8,
}

impl fmt::Display for Trace {
    /// Writes the trace's id, as logs have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

impl Chain {
    /// This chain with one more module at its inner end.
    #[must_use]
    pub fn with(&self, module: Arc<str>) -> Self {
        let outer = self.modules.clone();
        Self { modules: Some(Arc::new(ChainLink { module, outer })), trace: self.trace.clone() }
    }

    /// A chain without modules, which belongs to a trace.
    #[must_use]
    pub fn traced(trace: Trace) -> Self {
        Self { modules: None, trace: Some(Arc::new(trace)) }
    }

    /// The trace that it belongs to, where the outermost caller gave one.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// Whether the module is part of the chain.
    #[must_use]
    pub fn contains(&self, module: &str) -> bool {
        self.iter().any(|name| &**name == module)
    }

    /// Whether no module waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_none()
    }

    /// The modules, innermost first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::successors(self.modules.as_deref(), |link| link.outer.as_deref()).map(|link| &link.module)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.iter().map(|name| &**name).collect();
        names.reverse();
        f.write_str(&names.join(" → "))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}
