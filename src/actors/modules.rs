//! Calls by the module's name: from outside, and from one module to another.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::RwLock;

use super::{
    CallFailure, CallReply, CallRequest, Gate, ModuleQueue, Origin, Outcome, Refusal, accept::next_call_id,
    crossings::watched, waits::Waits,
};
use crate::{
    bindings::{Answer, BindingCall, BindingReply, ModuleCaller},
    host::{CallError, GuestExit, HostCallError, HostErrorKind, chain},
};

/// Every module of the daemon. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Modules(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Read by every call, written when a module comes or goes.
    queues: RwLock<HashMap<Arc<str>, Arc<ModuleQueue>>>,
    waits: Waits,
}

impl Modules {
    /// Makes a module known under its name, from any thread; returns the one that had the name before.
    pub fn insert(&self, queue: Arc<ModuleQueue>) -> Option<Arc<ModuleQueue>> {
        self.0.queues.write().insert(Arc::clone(queue.name()), queue)
    }

    /// Forgets the module of that name, from any thread; returns its queue, which takes no new calls.
    ///
    /// What waits in the queue and what runs ends as it began, as long as there are instances for it. Once there are
    /// none, whoever stops the module refuses the rest by [`ModuleQueue::set_gate`].
    pub fn remove(&self, name: &str) -> Option<Arc<ModuleQueue>> {
        let queue = self.0.queues.write().remove(name)?;
        // Also for a call that found the queue before and comes to it only now.
        queue.close(Refusal::Removed);
        Some(queue)
    }

    fn queue(&self, name: &str) -> Option<Arc<ModuleQueue>> {
        self.0.queues.read().get(name).map(Arc::clone)
    }

    /// Why the module of that name takes no calls from outside at the moment; `None` where it does, or they wait for it.
    #[must_use]
    pub fn refusal(&self, name: &str) -> Option<CallFailure> {
        let Some(queue) = self.queue(name) else { return Some(CallFailure::NoSuchModule(name.to_owned())) };
        match queue.gate() {
            Gate::Open | Gate::Lazy => None,
            Gate::Finishing => Some(queue.refused(Refusal::ShuttingDown)),
            Gate::Refusing(refusal) => Some(queue.refused(refusal)),
        }
    }

    /// Calls a module and waits for the reply.
    pub async fn call(&self, module: &str, request: CallRequest) -> CallReply {
        match self.queue(module) {
            Some(queue) => watched(queue.call(request, None)).await,
            None => {
                let outcome = Err(CallFailure::NoSuchModule(module.to_owned()));
                CallReply { call: next_call_id(), ran_on: None, outcome }
            }
        }
    }

    /// Calls a module for another one, whose instance waits meanwhile; a call that would wait for itself is refused.
    async fn call_nested(&self, call: BindingCall) -> Result<CallReply, CallFailure> {
        let BindingCall { caller, namespace: target, operation, payload, .. } = call;
        let queue = self.queue(&target).ok_or_else(|| CallFailure::NoSuchModule(target.clone()))?;
        let chain = caller.chain.with(Arc::clone(&caller.module));
        if chain.contains(&target) {
            let path = format!("{chain} → {target}");
            queue.counters().refused(Outcome::Cycle);
            return Err(CallFailure::Cycle { target, path });
        }
        let members = |module: &str| self.queue(module).map(|queue| queue.members()).unwrap_or_default();
        let wait = self.0.waits.enter((&caller.module, caller.instance), queue.name(), members);
        let wait = wait.map_err(|path| {
            queue.counters().refused(Outcome::Cycle);
            CallFailure::Cycle { target: target.clone(), path }
        })?;
        let dispatched: Arc<AtomicU64> = Arc::clone(&wait.taken_by);
        let origin = Origin::Module { module: caller.module, instance: caller.instance };
        let request = CallRequest { operation, payload, deadline: Some(caller.deadline), origin, chain };
        Ok(watched(queue.call(request, Some(dispatched))).await)
    }

    async fn answer_nested(&self, call: BindingCall) -> BindingReply {
        let target = call.namespace.clone();
        let outcome = self.call_nested(call).await.and_then(|reply| reply.outcome);
        outcome.map_err(|failure| host_error(&target, &failure))
    }
}

impl ModuleCaller for Modules {
    fn call(&self, call: BindingCall) -> Answer {
        let modules = self.clone();
        Answer::Later(Box::pin(async move { modules.answer_nested(call).await }))
    }
}

/// What a failed call looks like to the module that made it.
fn host_error(target: &str, failure: &CallFailure) -> HostCallError {
    let kind = match failure {
        CallFailure::NoSuchModule(_) | CallFailure::Refused { refusal: Refusal::Removed, .. } => {
            HostErrorKind::NotFound
        }
        CallFailure::Refused { .. } | CallFailure::Busy { .. } | CallFailure::RateLimited { .. } => {
            HostErrorKind::Unavailable
        }
        CallFailure::Expired { .. } => HostErrorKind::TimedOut,
        CallFailure::Cycle { .. } => HostErrorKind::Cycle,
        // The target looked at the request and refused it.
        CallFailure::Call(CallError::Guest(_)) => HostErrorKind::BadRequest,
        CallFailure::Call(CallError::TooLarge { .. }) => HostErrorKind::TooLarge,
        CallFailure::Call(CallError::Exit(GuestExit::DeadlineExceeded { .. })) => HostErrorKind::TimedOut,
        CallFailure::Call(CallError::Exit(_) | CallError::Restart(_)) | CallFailure::Lost(_) => HostErrorKind::Internal,
    };
    let text = match failure {
        CallFailure::Call(_) => format!("module `{target}`: {}", chain(failure)),
        _ => chain(failure),
    };
    HostCallError::new(kind, text)
}
