//! From a `[bindings.NAME]` table to the backend that serves it.

use std::sync::Arc;

use super::{
    BindingContext, BindingError, BindingFactory, blob, config as module_config, http_client, keyvalue,
    log::{self, LogFactory},
    messaging, metrics,
    module::ModuleFactory,
    process, secret, sql, system,
};
use crate::config::{Binding, BindingSettings};

/// Opens the backend of a binding, once for all workers.
///
/// Blocks while a database is opened or repaired; called at the start, off the workers. A server need not be there: its
/// binding starts all the same, and connects when it can.
///
/// # Errors
/// What the binding needs on this machine is missing or damaged: see [`BindingError`].
pub fn start_backend(binding: &Binding, context: &BindingContext) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let name = Arc::clone(&binding.name);
    match &binding.settings {
        BindingSettings::Log => Ok(Arc::new(LogFactory::new(name))),
        BindingSettings::Module => Ok(Arc::new(ModuleFactory::new(Arc::clone(&context.modules)))),
        BindingSettings::Config => module_config::start(name, context),
        BindingSettings::System => system::start(name, context),
        BindingSettings::Metrics(settings) => metrics::start(name, settings, context),
        BindingSettings::Secret(settings) => secret::start(name, settings, context),
        BindingSettings::KeyValue(settings) => keyvalue::start(name, settings, context),
        BindingSettings::Blob(settings) => blob::start(name, settings, context),
        BindingSettings::Sql(settings) => sql::start(name, settings, binding.limits.max_response, context),
        BindingSettings::Messaging(settings) => messaging::start(name, settings, context),
        BindingSettings::HttpClient(settings) => http_client::start(name, settings, context),
        BindingSettings::Process(settings) => process::start(binding, settings, context),
        #[cfg(feature = "fault-injection")]
        BindingSettings::Faulty => super::faulty::start(name),
    }
}

/// The operations that a type has, under whose names calls are counted; empty where guests name what they like.
#[must_use]
pub fn operations(settings: &BindingSettings) -> &'static [&'static str] {
    match settings {
        BindingSettings::Log => &log::OPERATIONS,
        BindingSettings::Module => &[],
        BindingSettings::Config => &module_config::OPERATIONS,
        BindingSettings::System => &system::OPERATIONS,
        BindingSettings::Metrics(_) => &metrics::OPERATIONS,
        BindingSettings::Secret(_) => &secret::OPERATIONS,
        BindingSettings::KeyValue(_) => &keyvalue::OPERATIONS,
        BindingSettings::Blob(_) => &blob::OPERATIONS,
        BindingSettings::Sql(_) => &sql::OPERATIONS,
        BindingSettings::Messaging(_) => &messaging::OPERATIONS,
        BindingSettings::HttpClient(_) => &http_client::OPERATIONS,
        BindingSettings::Process(_) => &process::OPERATIONS,
        #[cfg(feature = "fault-injection")]
        BindingSettings::Faulty => &super::faulty::OPERATIONS,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use bytes::Bytes;

    use super::*;
    use crate::{
        bindings::{Answer, BindingCall, ModuleCaller, testing::call},
        config::{Durability, KeyValueBackend, KeyValueSettings},
    };

    /// Modules that answer with what they were asked.
    struct Echo;

    impl ModuleCaller for Echo {
        fn call(&self, call: BindingCall) -> Answer {
            Answer::Now(Ok([call.namespace.as_bytes(), b"/", call.operation.as_bytes(), b"/", &call.payload]
                .concat()
                .into()))
        }
    }

    fn start(settings: BindingSettings) -> Result<Arc<dyn BindingFactory>, BindingError> {
        let context = BindingContext::new(Arc::new(Echo));
        start_backend(&Binding::with_defaults("it", settings), &context)
    }

    fn keyvalue(backend: KeyValueBackend) -> BindingSettings {
        BindingSettings::KeyValue(KeyValueSettings { backend, max_key: 64, max_value: 64 })
    }

    fn reply(factory: &dyn BindingFactory, call: BindingCall) -> Result<Bytes, String> {
        match factory.make(0).call(call) {
            Answer::Now(reply) => reply.map_err(|error| error.to_string()),
            Answer::Later(_) => panic!("it answers at once"),
        }
    }

    #[test]
    fn every_type_of_the_configuration_starts_and_answers() {
        let log = start(BindingSettings::Log).unwrap();
        assert_eq!(reply(&*log, call("info", "x")), Ok(Bytes::new()));
        let memory = start(keyvalue(KeyValueBackend::Memory { max_bytes: 4096 })).unwrap();
        assert_eq!(reply(&*memory, call("exists", r#"{"key":"k"}"#)), Ok(r#"{"exists":false}"#.into()));
        let modules = start(BindingSettings::Module).unwrap();
        assert!(reply(&*modules, call("greet", "x")).unwrap_err().starts_with("bad_request: the namespace is empty"));
        let mut greet = call("greet", "you");
        greet.namespace = "greeter".into();
        assert_eq!(reply(&*modules, greet), Ok("greeter/greet/you".into()));
        for factory in [log, memory, modules] {
            factory.stop();
            factory.stop();
        }
    }

    #[test]
    fn a_database_is_free_for_others_after_the_stop_and_named_while_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let settings = keyvalue(KeyValueBackend::Redb { path, durability: Durability::Immediate, cache: 4096 });
        let first = start(settings.clone()).unwrap();
        let error = start(settings.clone()).unwrap_err().to_string();
        assert!(error.starts_with("binding `it`: database `") && error.contains("already open"), "{error}");
        first.stop();
        start(settings).unwrap().stop();
    }
}
