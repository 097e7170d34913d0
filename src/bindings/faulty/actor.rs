//! Maps host calls to faults.

use std::{future::ready, sync::Arc};

use super::{backend::Backend, operations};
use crate::bindings::{Answer, Binding, BindingCall, BindingFactory, Check};

/// Makes the `faulty` binding of each worker.
pub(super) struct FaultyFactory {
    backend: Arc<Backend>,
}

impl FaultyFactory {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        Self { backend }
    }
}

impl BindingFactory for FaultyFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Faulty(Arc::clone(&self.backend)))
    }

    fn check(&self) -> Option<Check> {
        Some(Box::pin(ready(self.backend.check())))
    }
}

struct Faulty(Arc<Backend>);

impl Binding for Faulty {
    fn call(&self, call: BindingCall) -> Answer {
        operations::run(&self.0, call)
    }
}
