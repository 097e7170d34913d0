//! What a binding is: something that answers host calls, made by a factory that every worker shares.
//!
//! Nothing here knows actix: [`BindingActor`](super::BindingActor) wraps a [`Binding`] in an actor.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, LocalBoxFuture};

use super::{BackendStatus, BindingCall, CacheStatus, messaging::Broker};
use crate::host::HostCallError;

/// The answer to a host call: the response, or the error that the guest reads as `kind: message`.
pub type BindingReply = Result<Bytes, HostCallError>;

/// A reply that is not there yet. It stays on the worker on which it was made.
pub type BindingFuture = LocalBoxFuture<'static, BindingReply>;

/// What a binding gives back when it is called.
///
/// Two variants, so that what can be answered at once (a log line, a value in memory) costs no future.
pub enum Answer {
    /// The reply is there.
    Now(BindingReply),
    /// The reply comes later; dropped when the guest call ends before.
    Later(BindingFuture),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl From<HostCallError> for Answer {
    fn from(error: HostCallError) -> Self {
        Self::Now(Err(error))
    }
}

/// Answers the host calls of the guests on one worker.
///
/// Owned by one actor, so it need not be `Send`; what the workers share is behind the factory.
pub trait Binding: 'static {
    /// Answers one host call. Never blocks: what takes time goes into the future, what blocks to another thread.
    ///
    /// A panic, here or in the future, is caught by the actor, which then drops this value; the supervisor decides what
    /// follows.
    fn call(&self, call: BindingCall) -> Answer;
}

/// How an asked backend is: well, or what is wrong with it, with its causes.
pub type Check = BoxFuture<'static, Result<(), String>>;

/// The shared backend of a binding, opened once; makes the [`Binding`] of each worker.
pub trait BindingFactory: Send + Sync + 'static {
    /// Makes the binding of a worker: when it begins to serve, and again after a panic. Cheap, and never blocks.
    fn make(&self, worker: usize) -> Box<dyn Binding>;

    /// Asks the backend whether it is well, by way of everything that a call needs; `None` where there is nothing to ask.
    ///
    /// Never blocks, neither here nor in the future, which has no deadline of its own.
    fn check(&self) -> Option<Check> {
        None
    }

    /// Whether every call is answered at once, so that there is never more than one on a worker and none waits.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// How it stands with the server or process behind it; `None` where there is none.
    fn backend(&self) -> Option<BackendStatus> {
        None
    }

    /// How the cache in front of the backend does; `None` where there is none. Cheap, and never blocks for long.
    fn cache(&self) -> Option<CacheStatus> {
        None
    }

    /// Who carries the messages of a `messaging` binding, to others than guests; `None` for every other type.
    fn broker(&self) -> Option<Arc<dyn Broker>> {
        None
    }

    /// Resolves when the backend has ended by itself, with the reason: it is then closed and started anew, as the binding's
    /// `restart` says. `None` where that cannot be. Asked for once, after the start.
    fn ended(&self) -> Option<BoxFuture<'static, String>> {
        None
    }

    /// Ends the backend: what comes later is answered with `unavailable`. What was begun on a disk, in a database or by a
    /// program is finished when this returns, and durable where it promises that; requests to other servers are not waited
    /// for, and go on as long as somebody waits for their answers.
    ///
    /// May block for as long as the disk does, so it is called off the workers. A second call does nothing.
    fn stop(&self) {}
}

impl std::fmt::Debug for dyn BindingFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BindingFactory")
    }
}

/// The way from the `module` binding to the modules, implemented above this layer.
pub trait ModuleCaller: Send + Sync + 'static {
    /// Calls the module named by `call.namespace` with the operation and the payload of the host call.
    ///
    /// `call.caller` carries the deadline, the chain of waiting modules and the calling instance. Every failure of
    /// the guest call comes back as a host error.
    fn call(&self, call: BindingCall) -> Answer;
}

impl<C: ModuleCaller + ?Sized> ModuleCaller for Arc<C> {
    fn call(&self, call: BindingCall) -> Answer {
        (**self).call(call)
    }
}
