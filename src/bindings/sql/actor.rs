//! Maps host calls to commands for the backend of a `sql` binding, and waits for their replies.
//!
//! Owns a share of the backend, which does the work on threads of its own.

use std::sync::Arc;

use super::{
    command::{Limits, parse},
    store::Store,
};
use crate::{
    bindings::{Answer, BackendStatus, Binding, BindingCall, BindingFactory, Check},
    host::{HostCallError, HostErrorKind},
};

/// Makes the `sql` binding of each worker over the shared backend.
pub(super) struct SqlFactory {
    name: Arc<str>,
    limits: Limits,
    store: Arc<dyn Store>,
}

impl SqlFactory {
    pub(super) fn new(name: Arc<str>, limits: Limits, store: Arc<dyn Store>) -> Self {
        Self { name, limits, store }
    }
}

impl BindingFactory for SqlFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Sql { name: Arc::clone(&self.name), limits: self.limits, store: Arc::clone(&self.store) })
    }

    fn check(&self) -> Option<Check> {
        Some(self.store.check())
    }

    fn backend(&self) -> Option<BackendStatus> {
        self.store.backend()
    }

    fn stop(&self) {
        self.store.stop();
    }
}

struct Sql {
    name: Arc<str>,
    limits: Limits,
    store: Arc<dyn Store>,
}

impl Binding for Sql {
    fn call(&self, call: BindingCall) -> Answer {
        let command = match parse(&call, self.limits) {
            Ok(command) => command,
            Err(error) => return error.into(),
        };
        let waiting = match self.store.submit(command, call.caller.deadline) {
            Ok(waiting) => waiting,
            Err(error) => return error.into(),
        };
        let name = Arc::clone(&self.name);
        Answer::Later(Box::pin(async move {
            let ended = format!("binding `{name}` ended before it answered");
            let reply = waiting.await;
            reply.map_err(|gone| HostCallError::with_source(HostErrorKind::Unavailable, ended, gone))?
        }))
    }
}
