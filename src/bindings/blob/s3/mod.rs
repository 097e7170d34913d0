//! The backend in a bucket of an S3-compatible store: requests on the threads of connections, behind a circuit.
//!
//! `object_store` signs and reads what S3 says; it is told everything and looks nowhere else for credentials. It repeats
//! nothing: whether the store is down is decided by the circuit alone.

mod failure;
mod http;
mod requests;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use object_store::{BackoffConfig, ClientOptions, RetryConfig, aws::AmazonS3Builder};
use tokio::{runtime::Handle, sync::Semaphore};

use self::{http::Connector, requests::Requests};
use super::store::{Command, Outcome, Outcomes, Store, Submitted};
use crate::{
    bindings::{
        BackendStatus, BindingContext, BindingError, Check, Io,
        circuit::{Circuit, Failure, Probe},
        io, secret_file,
    },
    config::Server,
    host::{BoxError, HostCallError, HostErrorKind},
};

/// Where the objects are.
pub(super) struct Place<'s> {
    pub(super) server: &'s Server,
    pub(super) bucket: &'s str,
    pub(super) region: &'s str,
    pub(super) prefix: &'s str,
}

/// A bucket.
pub(super) struct S3Store {
    name: Arc<str>,
    requests: Arc<Requests>,
    circuit: Circuit,
    /// A turn for each connection.
    turns: Arc<Semaphore>,
    io: Handle,
    /// Keeps the threads behind the handle.
    _threads: Io,
}

impl S3Store {
    /// Prepares what requests need; the store need not be there.
    pub(super) fn open(
        name: Arc<str>,
        place: &Place<'_>,
        max_object: u64,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let wrong = |what: String, source: BoxError| BindingError::Backend { binding: Arc::clone(&name), what, source };
        let io = context.io.handle_for(&name)?;
        let server = place.server;
        let bucket = builder(&name, place, context)?.build();
        let bucket = bucket.map_err(|error| wrong(format!("use bucket `{}`", place.bucket), error.into()))?;
        let requests = Arc::new(Requests::new(bucket, place.prefix.to_owned(), max_object));
        requests.check_prefix().map_err(|error| wrong(format!("use the prefix `{}`", place.prefix), error))?;
        let asked = Arc::clone(&requests);
        let probe: Probe = Arc::new(move || {
            let asked = Arc::clone(&asked);
            async move { asked.probe().await }.boxed()
        });
        let (settings, patience) = (server.circuit.clone(), server.connect_timeout);
        let observer = Arc::clone(&context.observer);
        let circuit = Circuit::new(Arc::clone(&name), settings, patience, observer, io.clone(), probe);
        let turns = Arc::new(Semaphore::new(usize::try_from(server.connections).unwrap_or(usize::MAX)));
        Ok(Self { name, requests, circuit, turns, io, _threads: context.io.clone() })
    }
}

impl Store for S3Store {
    fn submit(&self, command: Command) -> Submitted {
        let (requests, circuit) = (Arc::clone(&self.requests), self.circuit.clone());
        let (turns, name, io) = (Arc::clone(&self.turns), Arc::clone(&self.name), self.io.clone());
        Submitted::Waiting(Box::pin(async move {
            circuit.admit().await?;
            let Ok(_turn) = turns.acquire_owned().await else {
                return Err(HostCallError::new(HostErrorKind::Unavailable, format!("binding `{name}` is stopped")));
            };
            circuit
                .run(async move { ended(&name, io::run(&io, async move { requests.run(command).await }).await) })
                .await
        }))
    }

    fn check(&self) -> Option<Check> {
        Some(self.circuit.check())
    }

    fn backend(&self) -> Option<BackendStatus> {
        Some(self.circuit.status())
    }

    fn stop(&self) {
        self.turns.close();
    }
}

/// What came of the work, or of its panic.
fn ended(name: &str, work: Result<Result<Outcome, Failure>, tokio::task::JoinError>) -> Result<Outcome, Failure> {
    work.unwrap_or_else(|ended| {
        let text = format!("binding `{name}` failed at an object");
        let outcome: Outcomes = Err(HostCallError::with_source(HostErrorKind::Internal, text, ended));
        Ok(outcome?)
    })
}

fn builder(name: &Arc<str>, place: &Place<'_>, context: &BindingContext) -> Result<AmazonS3Builder, BindingError> {
    let server = place.server;
    let endpoint = server.urls.first().map(String::as_str).unwrap_or_default();
    let none = Duration::ZERO;
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: none, max_backoff: none, base: 1.0 },
        max_retries: 0,
        retry_timeout: none,
    };
    // Of its own settings only this one counts: the connections are made by `Connector`.
    let options = ClientOptions::new().with_allow_http(true);
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_virtual_hosted_style_request(false)
        .with_bucket_name(place.bucket)
        .with_region(place.region)
        .with_retry(retry)
        .with_client_options(options)
        .with_disable_bulk_delete(true)
        .with_disable_tagging(true)
        .with_http_connector(Connector::new(name, server, endpoint)?);
    let (Some(user), Some(password)) = (&server.user, &server.password) else {
        // Otherwise it would ask the machine's provider for credentials.
        return Ok(builder.with_skip_signature(true));
    };
    let secret = secret_file::text(name, password, context.credentials.as_deref())?;
    Ok(builder.with_access_key_id(user).with_secret_access_key(secret))
}
