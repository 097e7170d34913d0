//! Answers the host calls of the `module` binding. Owns the way to the modules, shared by all workers.

use std::sync::Arc;

use super::operations;
use crate::bindings::{Answer, Binding, BindingCall, BindingFactory, ModuleCaller};

/// Makes the `module` binding of each worker.
pub(in crate::bindings) struct ModuleFactory {
    modules: Arc<dyn ModuleCaller>,
}

impl ModuleFactory {
    pub(in crate::bindings) fn new(modules: Arc<dyn ModuleCaller>) -> Self {
        Self { modules }
    }
}

impl BindingFactory for ModuleFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Modules(Arc::clone(&self.modules)))
    }
}

struct Modules(Arc<dyn ModuleCaller>);

impl Binding for Modules {
    fn call(&self, call: BindingCall) -> Answer {
        match operations::check(&call) {
            Ok(()) => self.0.call(call),
            Err(error) => error.into(),
        }
    }
}
