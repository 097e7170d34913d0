//! The host's side of a host call: the callbacks, what they receive, and the errors that guests see.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;

use super::error::BoxError;

/// A plain closure: it answers before the guest goes on, and cannot be interrupted.
///
/// Receives the id of the host, binding, namespace, operation and payload.
pub type HostCallback = dyn Fn(u64, &str, &str, &str, &[u8]) -> Result<Bytes, BoxError> + Send + Sync + 'static;

/// An asynchronous callback: while it waits the thread does other work, and at the deadline it is dropped.
pub type HostCallbackAsync = dyn Fn(u64, HostCall) -> HostCallFuture + Send + Sync + 'static;

/// What an asynchronous callback returns.
pub type HostCallFuture = Pin<Box<dyn Future<Output = Result<Bytes, BoxError>> + Send + 'static>>;

/// One host call, as an asynchronous callback receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCall {
    /// The three names in one allocation.
    names: String,
    namespace_at: usize,
    operation_at: usize,
    /// What the guest sent.
    pub payload: Bytes,
}

impl HostCall {
    /// Makes a host call out of its four parts.
    #[must_use]
    pub fn new(binding: &str, namespace: &str, operation: &str, payload: Bytes) -> Self {
        let namespace_at = binding.len();
        let operation_at = namespace_at + namespace.len();
        let mut names = String::with_capacity(operation_at + operation.len());
        names.push_str(binding);
        names.push_str(namespace);
        names.push_str(operation);
        Self { names, namespace_at, operation_at, payload }
    }

    /// The binding that the guest named.
    #[must_use]
    pub fn binding(&self) -> &str {
        self.names.get(..self.namespace_at).unwrap_or_default()
    }

    /// The namespace that the guest named.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.names.get(self.namespace_at..self.operation_at).unwrap_or_default()
    }

    /// The operation that the guest named.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.names.get(self.operation_at..).unwrap_or_default()
    }
}

/// The stable kinds of host error, for guests to match on: the text of a host error is `kind: message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// The module has no link to this binding and namespace.
    NotGranted,
    /// The link does not include this operation, or the binding's policy forbids it.
    NotAllowed,
    /// There is nobody to answer host calls.
    NoSuchBinding,
    /// The binding does not know the operation.
    NoSuchOperation,
    /// The names or the payload are not what the operation takes.
    BadRequest,
    /// What was asked for is not there.
    NotFound,
    /// The state was not what the request demanded.
    Conflict,
    /// Payload or answer is over the binding's limit.
    TooLarge,
    /// The backend did not answer in time.
    TimedOut,
    /// The backend is down or too busy.
    Unavailable,
    /// The call would wait for itself.
    Cycle,
    /// The host failed.
    Internal,
}

impl HostErrorKind {
    /// The kind as guests see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::NotAllowed => "not_allowed",
            Self::NoSuchBinding => "no_such_binding",
            Self::NoSuchOperation => "no_such_operation",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
            Self::Cycle => "cycle",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for HostErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host error: what a guest gets when its host call fails.
///
/// A callback may return any error; one that is not a `HostCallError` reaches the guest as `internal`, with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct HostCallError {
    /// What guests match on.
    pub kind: HostErrorKind,
    /// What a person reads.
    pub message: String,
    /// The cause, whose chain is added to the text.
    #[source]
    pub source: Option<BoxError>,
}

impl HostCallError {
    /// Makes a host error without a cause.
    #[must_use]
    pub fn new(kind: HostErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Makes a host error with its cause.
    #[must_use]
    pub fn with_source(kind: HostErrorKind, message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }
}

/// The answer to host calls where nobody answers them.
pub(super) async fn nobody(call: HostCall) -> Result<Bytes, BoxError> {
    let text = format!("nobody answers host calls; the guest called binding `{}`", call.binding());
    Err(HostCallError::new(HostErrorKind::NoSuchBinding, text).into())
}
