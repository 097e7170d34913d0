//! From a `[bindings.NAME]` table to the backend that serves it.

use std::sync::Arc;

use super::{BindingError, BindingFactory, ModuleCaller, keyvalue, log::LogFactory, module::ModuleFactory};
use crate::config::{Binding, BindingSettings};

/// What bindings need from the rest of the daemon.
#[derive(Clone)]
pub struct BindingContext {
    /// The way to the modules, for the `module` binding.
    pub modules: Arc<dyn ModuleCaller>,
}

/// Opens the backend of a binding, once for all workers.
///
/// Blocks while a database is opened or repaired; called at the start, off the workers.
///
/// # Errors
/// A database that cannot be opened: see [`BindingError`].
pub fn start_backend(binding: &Binding, context: &BindingContext) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let name = Arc::clone(&binding.name);
    Ok(match &binding.settings {
        BindingSettings::Log => Arc::new(LogFactory::new(name)),
        BindingSettings::Module => Arc::new(ModuleFactory::new(Arc::clone(&context.modules))),
        BindingSettings::KeyValue(settings) => keyvalue::start(name, settings)?,
    })
}
