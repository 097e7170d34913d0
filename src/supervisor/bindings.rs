//! Starts the bindings: a shared backend each, and an actor on every worker.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Recipient};
use tokio::sync::oneshot;

use super::status::{BindingState, BindingStatus};
use crate::{
    actors::{Modules, Workers},
    bindings::{BindingActor, BindingCall, BindingContext, BindingCounters, BindingFactory, start_backend},
    config::Binding,
    host::chain,
};

/// How long the actors of a binding may take to start. They start at once unless a worker hangs.
const ACTORS_START: Duration = Duration::from_secs(10);

/// A binding that was started, or what became of it.
pub(super) struct BindingChild {
    name: Arc<str>,
    type_name: &'static str,
    counters: Arc<BindingCounters>,
    backend: Result<Running, String>,
}

struct Running {
    factory: Arc<dyn BindingFactory>,
    /// The actor on each worker.
    actors: Vec<Recipient<BindingCall>>,
}

impl BindingChild {
    /// Opens the backend, off this thread since that may block, and starts an actor on every worker. A binding that does
    /// not start is there all the same: its guests are told `unavailable`, and everything else runs.
    pub(super) async fn start(binding: Binding, modules: &Modules, workers: &Workers) -> Self {
        let (name, type_name) = (Arc::clone(&binding.name), binding.settings.type_name());
        let counters = Arc::new(BindingCounters::default());
        let context = BindingContext { modules: Arc::new(modules.clone()) };
        let opened = tokio::task::spawn_blocking(move || start_backend(&binding, &context)).await;
        let backend = match opened {
            Ok(Ok(factory)) => start_actors(&name, &factory, &counters, workers).await,
            Ok(Err(error)) => Err(chain(&error)),
            Err(error) => Err(format!("opening it panicked: {error}")),
        };
        match &backend {
            Ok(_) => tracing::info!(binding = %name, r#type = type_name, "binding started"),
            Err(error) => tracing::error!(binding = %name, r#type = type_name, error, "binding did not start"),
        }
        Self { name, type_name, counters, backend }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The actor on a worker, if the binding runs.
    pub(super) fn actor(&self, worker: usize) -> Option<Recipient<BindingCall>> {
        self.backend.as_ref().ok()?.actors.get(worker).cloned()
    }

    pub(super) fn status(&self) -> BindingStatus {
        let counts = self.counters.read();
        let state = match &self.backend {
            Ok(_) => BindingState::Running,
            Err(_) => BindingState::Failed,
        };
        BindingStatus {
            name: self.name.to_string(),
            type_name: self.type_name.to_owned(),
            state,
            group: None,
            next_try: None,
            host_calls: Vec::new(),
            restarts_by_reason: Default::default(),
            restarts_in_window: 0,
            last_exit: self.backend.as_ref().err().map(|error| super::status::ExitStatus {
                reason: "start_failed".to_owned(),
                causes: vec![error.clone()],
                backtrace: Vec::new(),
                operation: None,
                call: None,
                origin: None,
                at: 0.0,
            }),
            uptime_s: None,
            calls_ok: counts.calls_ok,
            calls_failed: counts.calls_failed,
            restarts: counts.restarts,
        }
    }

    /// The backend, to be stopped by whoever may block.
    pub(super) fn backend(&self) -> Option<Arc<dyn BindingFactory>> {
        self.backend.as_ref().ok().map(|running| Arc::clone(&running.factory))
    }
}

async fn start_actors(
    name: &Arc<str>,
    factory: &Arc<dyn BindingFactory>,
    counters: &Arc<BindingCounters>,
    workers: &Workers,
) -> Result<Running, String> {
    let mut actors = Vec::with_capacity(workers.count());
    for worker in 0..workers.count() {
        let (started, address) = oneshot::channel();
        let actor = {
            let (name, factory, counters) = (Arc::clone(name), Arc::clone(factory), Arc::clone(counters));
            move || BindingActor::new(name, worker, factory, counters).start().recipient()
        };
        // Refused by a worker that has ended; then `address` ends as well.
        workers.handle(worker).map(|handle| handle.spawn_fn(move || drop(started.send(actor()))));
        match tokio::time::timeout(ACTORS_START, address).await {
            Ok(Ok(address)) => actors.push(address),
            Ok(Err(_)) | Err(_) => return Err(format!("worker {worker} did not start its actor")),
        }
    }
    Ok(Running { factory: Arc::clone(factory), actors })
}
