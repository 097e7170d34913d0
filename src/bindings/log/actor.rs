//! Answers the host calls of the `log` binding, at once and without a future. Owns nothing but the binding's name.

use std::sync::Arc;

use super::operations;
use crate::bindings::{Answer, Binding, BindingCall, BindingFactory};

/// Makes the `log` binding of each worker.
pub(in crate::bindings) struct LogFactory {
    name: Arc<str>,
}

impl LogFactory {
    pub(in crate::bindings) fn new(name: Arc<str>) -> Self {
        Self { name }
    }
}

impl BindingFactory for LogFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Log { name: Arc::clone(&self.name) })
    }
}

struct Log {
    name: Arc<str>,
}

impl Binding for Log {
    fn call(&self, call: BindingCall) -> Answer {
        Answer::Now(operations::log(&self.name, &call))
    }
}
