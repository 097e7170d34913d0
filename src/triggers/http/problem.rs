//! What a caller gets in place of a response: problem details, of which the public sees the kind and nothing more.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::Serialize;

use crate::{
    actors::CallFailure,
    web::{Kind, MEDIA_TYPE, Problem, kind_of},
};

/// Why a request is not answered by a guest.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: Kind,
    /// Where it differs from the kind's.
    status: Option<u16>,
    what: What,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What only those may read who set `verbose_errors`.
#[derive(Debug)]
enum What {
    Text(String),
    Call(Box<Problem>),
}

/// What everybody may read.
#[derive(Serialize)]
struct Public {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
}

impl Refusal {
    /// Of this kind, with a detail for those who may read it.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, status: None, what: What::Text(detail.into()), header: None }
    }

    /// With a header that belongs to the status.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Of a call without a response. `error_status` is what the route says for errors of the guest.
    pub(super) fn of_call(module: &str, call: u64, failure: &CallFailure, error_status: u16) -> Self {
        let kind = kind_of(failure);
        let problem = Problem::of_failure(module, call, failure);
        let status = match kind {
            Kind::GuestError => error_status,
            other => public(other).describe().1,
        };
        let seconds = problem.facts.retry_after_s;
        let header = seconds.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
        Self { kind, status: Some(status), what: What::Call(Box::new(problem)), header }
    }

    /// Of an answer that is no response.
    pub(super) fn of_reply(module: &str, call: u64, why: String) -> Self {
        let mut problem = Problem::new(Kind::BadReply, why).about(module);
        problem.facts.call = Some(call);
        Self { kind: Kind::BadReply, status: None, what: What::Call(Box::new(problem)), header: None }
    }

    /// The answer.
    pub(super) fn into_response(self, verbose: bool) -> Response<Full<Bytes>> {
        let shown = if verbose { self.kind } else { public(self.kind) };
        let (_, own, title) = shown.describe();
        let status = self.status.unwrap_or(own);
        let text = match (self.what, verbose) {
            (_, false) => serde_json::to_vec(&Public { kind: shown.urn(), title, status }),
            (What::Text(detail), true) => serde_json::to_vec(&Problem { status, ..Problem::new(self.kind, detail) }),
            (What::Call(problem), true) => serde_json::to_vec(&Problem { status, ..*problem }),
        };
        // Strings, numbers and lists of them always have a JSON form.
        let mut response = Response::new(Full::new(text.unwrap_or_default().into()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What the public is told: whether and when it is worth to try again, and nothing of what is inside.
fn public(kind: Kind) -> Kind {
    match kind {
        Kind::NoSuchModule => Kind::NotFound,
        Kind::Stopped | Kind::Failed | Kind::ShuttingDown => Kind::Unavailable,
        Kind::ResponseTooLarge => Kind::BadReply,
        Kind::Cycle
        | Kind::Trapped
        | Kind::LimitExceeded
        | Kind::Exited
        | Kind::HostPanicked
        | Kind::LoadFailed
        | Kind::Lost => Kind::Internal,
        other => other,
    }
}
