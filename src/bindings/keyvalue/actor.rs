//! Maps host calls to commands for the backend of a `keyvalue` binding, and their outcomes to replies.
//!
//! Owns a share of the backend. Answers at once where the backend does, and waits for its threads otherwise.

use std::sync::Arc;

use super::{
    command::Limits,
    replies::reply,
    requests::parse,
    store::{Store, Submitted},
};
use crate::{
    bindings::{Answer, BackendStatus, Binding, BindingCall, BindingFactory, CacheStatus, Check},
    config::KeyValueSettings,
    host::{HostCallError, HostErrorKind},
};

/// Makes the `keyvalue` binding of each worker over the shared backend.
pub(super) struct KeyValueFactory {
    name: Arc<str>,
    limits: Limits,
    store: Arc<dyn Store>,
}

impl KeyValueFactory {
    pub(super) fn new(name: Arc<str>, settings: &KeyValueSettings, store: Arc<dyn Store>) -> Self {
        Self { name, limits: settings.into(), store }
    }
}

impl BindingFactory for KeyValueFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(KeyValue { name: Arc::clone(&self.name), limits: self.limits, store: Arc::clone(&self.store) })
    }

    fn answers_at_once(&self) -> bool {
        self.store.answers_at_once()
    }

    fn check(&self) -> Option<Check> {
        self.store.check()
    }

    fn backend(&self) -> Option<BackendStatus> {
        self.store.backend()
    }

    fn cache(&self) -> Option<CacheStatus> {
        self.store.cache()
    }

    fn stop(&self) {
        self.store.stop();
    }
}

struct KeyValue {
    name: Arc<str>,
    limits: Limits,
    store: Arc<dyn Store>,
}

impl Binding for KeyValue {
    fn call(&self, call: BindingCall) -> Answer {
        let (command, format) = match parse(&call, self.limits) {
            Ok(parsed) => parsed,
            Err(error) => return error.into(),
        };
        match self.store.submit(command, call.caller.deadline) {
            Submitted::Done(outcome) => Answer::Now(outcome.and_then(|outcome| reply(format, outcome))),
            Submitted::Later(outcome) => Answer::Later(Box::pin(async move { reply(format, outcome.await?) })),
            Submitted::Waiting(outcome) => {
                let name = Arc::clone(&self.name);
                Answer::Later(Box::pin(async move {
                    let outcome = outcome.await.map_err(|gone| stopped(&name, gone))?;
                    reply(format, outcome?)
                }))
            }
        }
    }
}

fn stopped(name: &str, gone: tokio::sync::oneshot::error::RecvError) -> HostCallError {
    HostCallError::with_source(HostErrorKind::Unavailable, format!("binding `{name}` ended before it answered"), gone)
}
