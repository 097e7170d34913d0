//! What answers at the paths of the control API (`paths.rs` has the table).
//!
//! Names of modules and operations are read from the path as it was sent, not from the router's idea of it:
//! an operation may be empty, hold slashes, or be anything else that is text.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
    web::{self, Data},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::{
    access::Access,
    body,
    daemon::{Action, ControlError, Daemon},
    encoding, messages, metrics,
    problem::{self, Kind, Problem},
    settings::Settings,
    slots::Slots,
};
use crate::{
    actors::{CallReply, CallRequest, Origin, RanOn},
    bindings::Chain,
    host::{self, panic_message},
    web::{CALL_HEADER, GENERATION_HEADER, INSTANCE_HEADER, MODULE_HEADER},
};

/// Request header for an operation that does not fit into a path (URIs end at 65,534 bytes): percent-encoded, with
/// the path ending in `/call`.
pub const OPERATION_HEADER: &str = "wapcd-operation";

/// Where the paths of modules begin.
const MODULES: &str = "/v1/modules/";

/// What the handlers share.
pub(super) struct Api {
    pub(super) daemon: Arc<dyn Daemon>,
    pub(super) settings: Settings,
    /// Who may do what.
    pub(super) access: Access,
    /// Places for calls.
    pub(super) calls: Arc<Slots>,
    /// Places for swaps.
    pub(super) swaps: Arc<Slots>,
    /// Places for rollbacks: of their own, so that swaps that hang keep nobody from going back.
    pub(super) rollbacks: Arc<Slots>,
    /// Places for reloads, which the daemon does one after the other.
    pub(super) reloads: Arc<Semaphore>,
    /// Places for clients that follow the events.
    pub(super) followers: Arc<Semaphore>,
    /// Places for messages that are published and asked.
    pub(super) messages: Arc<Semaphore>,
    /// Whether the server stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// When the daemon started, for the metrics.
    pub(super) start: metrics::Start,
}

impl Api {
    pub(super) fn new(daemon: Arc<dyn Daemon>, settings: Settings, stopping: watch::Receiver<bool>) -> Self {
        let (access, unknown) = Access::new(settings.grants.clone());
        for group in unknown {
            tracing::error!(error = host::chain(&group), "a group on the control socket admits nobody");
        }
        Self {
            daemon,
            access,
            calls: Slots::new(settings.max_calls, "calls"),
            swaps: Slots::new(settings.max_swaps, "swaps"),
            rollbacks: Slots::new(settings.max_changes, "rollbacks"),
            reloads: Arc::new(Semaphore::new(settings.max_changes)),
            followers: Arc::new(Semaphore::new(settings.followers)),
            messages: Arc::new(Semaphore::new(messages::AT_ONCE)),
            stopping,
            start: metrics::Start::default(),
            settings,
        }
    }
}

#[cfg(feature = "fault-injection")]
pub(super) async fn end_worker(api: Data<Api>, worker: web::Path<usize>) -> Result<HttpResponse, Problem> {
    let worker = worker.into_inner();
    bounded("the end of a worker", api.settings.waits.answer, api.daemon.end_worker(worker)).await??;
    json(&worker)
}

/// How often calls have woken other threads, for tests of placement.
#[cfg(feature = "fault-injection")]
pub(super) async fn crossings() -> Result<HttpResponse, Problem> {
    json(&crate::actors::crossings())
}

/// Lets calls wait so long for an instance of their own worker, for the same tests.
#[cfg(feature = "fault-injection")]
pub(super) async fn set_patience(milliseconds: web::Path<u64>) -> Result<HttpResponse, Problem> {
    crate::actors::set_patience(*milliseconds);
    json(&*milliseconds)
}

pub(super) async fn status(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let status = bounded("the status", api.settings.waits.answer, api.daemon.status()).await??;
    json(&status.summary())
}

pub(super) async fn modules(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let status = bounded("the list of modules", api.settings.waits.answer, api.daemon.status()).await??;
    json(&status.summary().modules)
}

pub(super) async fn bindings(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let bindings = bounded("the list of bindings", api.settings.waits.answer, api.daemon.bindings()).await??;
    json(&bindings)
}

pub(super) async fn module(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    let what = format!("the status of module `{name}`");
    let answer = bounded(&what, api.settings.waits.answer, api.daemon.module(name.clone())).await?;
    json(&answer.map_err(|error| Problem::from(error).about(&name))?)
}

pub(super) async fn act(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, action) = target(&request)?;
    let action = Action::parse(action).ok_or_else(|| nothing_at(&request))?;
    let what = format!("{action} module `{name}`");
    let answer =
        bounded(&what, api.settings.waits.action(api.daemon.bounds()), api.daemon.act(name.clone(), action)).await;
    json(&answer?.map_err(|error| Problem::from(error).about(&name))?)
}

pub(super) async fn call(api: Data<Api>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let (module, operation) = match call_target(&request) {
        Ok(target) => target,
        Err(problem) => return problem.error_response(),
    };
    let mut labels = Labels { module, call: None, ran_on: None };
    let answer = answer_call(&api, &request, payload, operation, &mut labels).await;
    let mut response = answer.map_or_else(
        |problem| problem.about(&labels.module).error_response(),
        |bytes| HttpResponse::Ok().content_type("application/octet-stream").body(bytes),
    );
    labels.write(response.headers_mut());
    response
}

async fn answer_call(
    api: &Api,
    request: &HttpRequest,
    payload: web::Payload,
    operation: String,
    labels: &mut Labels,
) -> Result<Bytes, Problem> {
    let _slot = api.calls.take(&labels.module)?;
    let (bounds, waits) = (api.daemon.bounds(), api.settings.waits);
    let payload = body::read(request, payload, &waits.payload(bounds)).await?;
    let request = CallRequest { operation, payload, deadline: None, origin: Origin::Control, chain: Chain::default() };
    let what = format!("the call to module `{}`", labels.module);
    let reply = api.daemon.call(labels.module.clone(), request);
    let reply = bounded(&what, waits.call(bounds), reply).await?;
    labels.add(&reply);
    Problem::of_call(&labels.module, reply)
}

/// What every response to a call says about it, good or bad.
struct Labels {
    module: String,
    call: Option<u64>,
    ran_on: Option<RanOn>,
}

impl Labels {
    fn add(&mut self, reply: &CallReply) {
        self.call = Some(reply.call);
        self.ran_on = reply.ran_on;
    }

    fn write(&self, headers: &mut header::HeaderMap) {
        let mut put = |name, value: String| {
            // Encoded names and numbers always are header values.
            if let Ok(value) = header::HeaderValue::try_from(value) {
                headers.insert(header::HeaderName::from_static(name), value);
            }
        };
        put(MODULE_HEADER, encoding::encode(&self.module));
        self.call.into_iter().for_each(|call| put(CALL_HEADER, call.to_string()));
        if let Some(ran_on) = self.ran_on {
            put(INSTANCE_HEADER, ran_on.instance.to_string());
            put(GENERATION_HEADER, ran_on.generation.to_string());
        }
    }
}

/// The module that the path names, and what follows after it.
pub(super) fn target(request: &HttpRequest) -> Result<(String, &str), Problem> {
    named(request, MODULES, "module's name")
}

/// The name that follows in the path, and what follows after it.
pub(super) fn named<'r>(request: &'r HttpRequest, prefix: &str, what: &str) -> Result<(String, &'r str), Problem> {
    let path = request.uri().path().strip_prefix(prefix).ok_or_else(|| nothing_at(request))?;
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    Ok((decode(what, name)?, rest))
}

/// The module and the operation that a call names, in its path or in its header.
fn call_target(request: &HttpRequest) -> Result<(String, String), Problem> {
    let (name, rest) = target(request)?;
    let rest = rest.strip_prefix("call").ok_or_else(|| nothing_at(request))?;
    let operation = match (rest.strip_prefix('/'), request.headers().get(OPERATION_HEADER)) {
        (Some(operation), _) => decode("operation", operation)?,
        (None, None) => String::new(),
        (None, Some(value)) => {
            let text = value.to_str().map_err(|error| {
                Problem::new(Kind::BadRequest, format!("the header {OPERATION_HEADER} is not readable: {error}"))
            })?;
            decode("operation", text)?
        }
    };
    Ok((name, operation))
}

pub(super) fn decode(what: &str, encoded: &str) -> Result<String, Problem> {
    encoding::decode(encoded).map_err(|error| {
        Problem::new(Kind::BadRequest, format!("the {what} in the request is not percent-encoded UTF-8: {error}"))
    })
}

pub(super) fn nothing_at(request: &HttpRequest) -> Problem {
    Problem::new(Kind::NotFound, format!("there is nothing at {}", request.path()))
}

/// Waits for an answer of the daemon, but not for ever, and survives a panic in its code.
pub(super) async fn bounded<T>(what: &str, limit: Duration, answer: impl Future<Output = T>) -> Result<T, Problem> {
    match tokio::time::timeout(limit, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => {
            let text = panic_message(panic.as_ref());
            tracing::error!(what, panic = %text, "the daemon's side of a control request panicked");
            Err(Problem::new(Kind::Internal, format!("{what}: the daemon's code panicked: {text}")))
        }
        Err(_elapsed) => Err(ControlError::NoAnswer { what: what.to_owned(), waited: limit }.into()),
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<HttpResponse, Problem> {
    let text = serde_json::to_vec(value).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        if let Some(seconds) = self.facts.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        // Strings, numbers and lists of them always have a JSON form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        response.content_type(problem::MEDIA_TYPE).body(text)
    }
}

impl actix_web::Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
