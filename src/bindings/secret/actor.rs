//! Answers the host calls of the `secret` binding. Owns the places of the secrets, and no secret.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::runtime::Handle;

use super::{OPERATIONS, operations};
use crate::{
    bindings::{
        Answer, Binding, BindingCall, BindingContext, BindingError, BindingFactory, secret_file, turns::BlockingTurns,
    },
    config::{SecretSettings, SecretSource},
    host::{HostCallError, HostErrorKind, chain},
};

/// Secrets that are read at once: each takes microseconds.
const AT_ONCE: usize = 8;

/// Makes the `secret` binding of each worker.
pub(super) struct SecretFactory(Arc<Places>);

/// Where the secrets are, and what reads them.
struct Places {
    binding: Arc<str>,
    sources: BTreeMap<String, SecretSource>,
    credentials: Option<PathBuf>,
    io: Handle,
    turns: BlockingTurns,
}

impl SecretFactory {
    /// Reads every secret once, so that what is missing is noticed at the start.
    pub(super) fn open(
        binding: Arc<str>,
        settings: &SecretSettings,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        for source in settings.secrets.values() {
            secret_file::read(&binding, source, context.credentials.as_deref())?;
        }
        let io = context.io.handle_for(&binding)?;
        let (sources, credentials) = (settings.secrets.clone(), context.credentials.clone());
        let turns = BlockingTurns::new(AT_ONCE);
        Ok(Self(Arc::new(Places { binding, sources, credentials, io, turns })))
    }
}

impl BindingFactory for SecretFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Secrets(Arc::clone(&self.0)))
    }
}

struct Secrets(Arc<Places>);

impl Binding for Secrets {
    fn call(&self, call: BindingCall) -> Answer {
        match self.get(&call) {
            Ok(answer) => answer,
            Err(error) => error.into(),
        }
    }
}

impl Secrets {
    fn get(&self, call: &BindingCall) -> Result<Answer, HostCallError> {
        if call.operation != "get" {
            return Err(call.no_such_operation(&self.0.binding, &OPERATIONS));
        }
        let (name, format) = operations::name(&call.payload)?;
        operations::check(&name, &call.link.rules)?;
        if !self.0.sources.contains_key(&*name) {
            return Err(operations::unknown(&self.0.binding, &name));
        }
        let (places, name) = (Arc::clone(&self.0), name.into_owned());
        Ok(Answer::Later(Box::pin(async move {
            let secret = places.read_aside(name).await?;
            operations::reply(format, secret.bytes())
        })))
    }
}

impl Places {
    /// Reads a secret on a thread that may block: its file may be on a disk that is slow.
    async fn read_aside(self: Arc<Self>, name: String) -> Result<secret_file::Secret, HostCallError> {
        let (places, wanted) = (Arc::clone(&self), name.clone());
        let read = self.turns.run(&self.io, move || places.read(&wanted)).await;
        read.unwrap_or_else(|ended| {
            let why = format!("reading secret `{name}` of binding `{}` ended early", self.binding);
            Err(HostCallError::with_source(HostErrorKind::Internal, why, ended))
        })
    }

    fn read(&self, name: &str) -> Result<secret_file::Secret, HostCallError> {
        let binding = &*self.binding;
        let source = self.sources.get(name).ok_or_else(|| operations::unknown(binding, name))?;
        secret_file::read(&self.binding, source, self.credentials.as_deref()).map_err(|error| {
            // Where it is concerns the operator alone.
            tracing::warn!(binding, secret = name, error = %chain(&error), "a secret cannot be read any more");
            let why = format!("secret `{name}` of binding `{binding}` cannot be read: the daemon's log says why");
            HostCallError::new(HostErrorKind::Unavailable, why)
        })
    }
}
