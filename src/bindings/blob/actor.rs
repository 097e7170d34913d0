//! Maps host calls to commands for the backend of a `blob` binding, and their outcomes to replies.
//!
//! Owns a share of the backend. Answers at once where the backend does, and waits for it otherwise.

use std::sync::Arc;

use super::{
    operations::{parse, reply},
    store::{Store, Submitted},
};
use crate::bindings::{Answer, BackendStatus, Binding, BindingCall, BindingFactory, Check};

/// Makes the `blob` binding of each worker over the shared backend.
pub(super) struct BlobFactory {
    max_object: u64,
    store: Arc<dyn Store>,
}

impl BlobFactory {
    pub(super) fn new(max_object: u64, store: Arc<dyn Store>) -> Self {
        Self { max_object, store }
    }
}

impl BindingFactory for BlobFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Blobs { max_object: self.max_object, store: Arc::clone(&self.store) })
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

    fn stop(&self) {
        self.store.stop();
    }
}

struct Blobs {
    max_object: u64,
    store: Arc<dyn Store>,
}

impl Binding for Blobs {
    fn call(&self, call: BindingCall) -> Answer {
        let (command, format) = match parse(&call, self.max_object) {
            Ok(parsed) => parsed,
            Err(error) => return error.into(),
        };
        match self.store.submit(command) {
            Submitted::Done(outcome) => Answer::Now(outcome.and_then(|outcome| reply(format, &outcome))),
            Submitted::Waiting(outcome) => Answer::Later(Box::pin(async move { reply(format, &outcome.await?) })),
        }
    }
}
