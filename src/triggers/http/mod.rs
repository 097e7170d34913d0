//! The `http` trigger: connections that come in, and the requests on them that become guest calls.
//!
//! ```text
//!   sockets ─▶ listener.rs ── one task each, on the threads of connections
//!                  │  handover.rs: the worker that has the fewest connections, or another if that ends
//!                  ▼
//!             connection.rs ── on that worker to its end: handshake, protocol, requests ──▶ answer.rs: Site::answer
//!                  │ runs under guard.rs: time limits (life.rs), drained or cut (connections.rs)
//!                  └ reads and writes by stream.rs, half_close.rs and body.rs, which tell its life what happens
//! ```
//!
//! Connections are served with hyper, not with actix-http: measured here both answer equally many requests a second (1 KiB
//! over 32 connections), and hyper bounds the streams and header lists of HTTP/2 and shuts a connection down gracefully. So
//! listeners come and go with a reload while connections go on, and each connection has the time limits of its trigger.
//!
//! * `server.rs`: the trigger; everything that changes while it is at work is exchanged there.
//! * `tls.rs`: certificates; `secrets.rs`: their files and those of credentials, noticed when they change.
//! * `answer.rs`: from a request to its answer, with `route.rs` (what each route was compiled to), `head.rs`, `authenticate.rs`,
//!   `request.rs` (what the guest gets), `response.rs` and `problem.rs` (what its answer means), `cors.rs`, `trace.rs`,
//!   `access.rs` and `complaints.rs` (what the log says).

mod access;
mod answer;
mod authenticate;
mod body;
mod complaints;
mod connection;
mod connections;
mod cors;
mod guard;
mod half_close;
mod handover;
mod head;
mod life;
mod listener;
mod problem;
mod request;
mod response;
mod route;
mod secrets;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod trace;

use std::{path::Path, sync::Arc};

use self::{
    authenticate::Guard,
    connection::Current,
    server::{Ready, Server},
    tls::Identity,
};
use super::{RunningTrigger, TriggerContext, TriggerError};
use crate::{
    config::{Authentication, HttpSettings, SecretSource, Trigger},
    files::watch::Target,
};

/// What was done before it starts or takes other settings: sockets are bound, certificates and credentials are read.
#[derive(Debug)]
pub struct Groundwork {
    current: Arc<Current>,
    /// Files that were read, to be watched for what comes after.
    targets: Vec<Target>,
    ready: Vec<Ready>,
}

/// Binds sockets, reads certificates and credentials.
///
/// # Errors
/// Whatever of that cannot be done.
pub(super) async fn prepare(config: Arc<Trigger>, context: TriggerContext) -> Result<Groundwork, TriggerError> {
    server::prepare(config, context, Vec::new()).await
}

/// What a start would refuse of the files that the settings name. A credential that only the service has is taken for good.
pub(super) fn problems(settings: &HttpSettings, credentials: Option<&Path>) -> Vec<TriggerError> {
    let here = |source: &SecretSource| credentials.is_some() || matches!(source, SecretSource::File(_));
    let secured = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref()).filter(|tls| here(&tls.key));
    let guarded =
        settings.routes.iter().filter_map(|route| route.authentication.as_ref()).filter(|guard| match guard {
            Authentication::Token(source) | Authentication::Basic(source) => here(source),
        });
    let certificates = secured.filter_map(|tls| Identity::read(tls, credentials).err());
    certificates.chain(guarded.filter_map(|guard| Guard::new(guard, credentials).err())).collect()
}

/// Starts it.
///
/// # Errors
/// Why it does not start.
pub(super) async fn start(
    config: Arc<Trigger>,
    groundwork: Groundwork,
    context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    // What was prepared for one that listens already lacks its sockets.
    let is_whole = groundwork.ready.iter().all(Ready::has_sockets);
    let groundwork = if is_whole { groundwork } else { prepare(Arc::clone(&config), context.clone()).await? };
    Ok(Arc::new(Server::start(config, groundwork, context)?))
}
