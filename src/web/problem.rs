//! Problem details (RFC 9457): the body of every answer that is not a success, written by servers, read by the client.
//!
//! [`Kind`] is the one table of stable types; the mapping from the ends of calls to it is here and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    actors::{CallFailure, CallReply, Refusal},
    host::{self, CallError, GuestExit, HostCallError, HostErrorKind, LoadError, Part, Trap},
};

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What every type begins with.
const PREFIX: &str = "urn:wapcd:error:";

/// The kinds of problem. Their names are part of the API: they are never changed or given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the titles in `Kind::describe` say it")]
pub enum Kind {
    NotFound,
    MethodNotAllowed,
    Forbidden,
    BadRequest,
    BodyTimeout,
    NoSuchModule,
    NoSuchBinding,
    NoSuchTrigger,
    NoMessages,
    BindingUnavailable,
    NoReceiver,
    NoReply,
    MessageRefused,
    TriggerRefused,
    GuestError,
    Stopped,
    Failed,
    ShuttingDown,
    Busy,
    RateLimited,
    Expired,
    Cycle,
    OperationTooLarge,
    PayloadTooLarge,
    ResponseTooLarge,
    Trapped,
    DeadlineExceeded,
    LimitExceeded,
    Exited,
    HostPanicked,
    LoadFailed,
    Lost,
    SwapFailed,
    SwapNotKept,
    SwapRefused,
    ReloadRefused,
    NoAnswer,
    Internal,
    Unauthorized,
    Unavailable,
    BadReply,
    HeadTooLarge,
    NotImplemented,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 43] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Forbidden,
        Self::BadRequest,
        Self::BodyTimeout,
        Self::NoSuchModule,
        Self::NoSuchBinding,
        Self::NoSuchTrigger,
        Self::NoMessages,
        Self::BindingUnavailable,
        Self::NoReceiver,
        Self::NoReply,
        Self::MessageRefused,
        Self::TriggerRefused,
        Self::GuestError,
        Self::Stopped,
        Self::Failed,
        Self::ShuttingDown,
        Self::Busy,
        Self::RateLimited,
        Self::Expired,
        Self::Cycle,
        Self::OperationTooLarge,
        Self::PayloadTooLarge,
        Self::ResponseTooLarge,
        Self::Trapped,
        Self::DeadlineExceeded,
        Self::LimitExceeded,
        Self::Exited,
        Self::HostPanicked,
        Self::LoadFailed,
        Self::Lost,
        Self::SwapFailed,
        Self::SwapNotKept,
        Self::SwapRefused,
        Self::ReloadRefused,
        Self::NoAnswer,
        Self::Internal,
        Self::Unauthorized,
        Self::Unavailable,
        Self::BadReply,
        Self::HeadTooLarge,
        Self::NotImplemented,
    ];

    /// The table: last part of the type, HTTP status, title.
    #[must_use]
    pub fn describe(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::NotFound => ("not-found", 404, "there is nothing at this path"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "this path does not take this method"),
            Self::Forbidden => ("forbidden", 403, "whoever asks has no right to this"),
            Self::BadRequest => ("bad-request", 400, "the request cannot be understood"),
            Self::BodyTimeout => ("body-timeout", 408, "the request's body did not arrive in time"),
            Self::NoSuchModule => ("no-such-module", 404, "there is no module of this name"),
            Self::NoSuchBinding => ("no-such-binding", 404, "there is no binding of this name"),
            Self::NoSuchTrigger => ("no-such-trigger", 404, "there is no trigger of this name"),
            Self::NoMessages => ("no-messages", 409, "the binding carries no messages"),
            Self::BindingUnavailable => ("binding-unavailable", 503, "the binding or its server is down"),
            Self::NoReceiver => ("no-receiver", 404, "nobody receives what is published to this topic"),
            Self::NoReply => ("no-reply", 504, "nobody has answered in time"),
            Self::MessageRefused => ("message-refused", 409, "the stream refused the message"),
            Self::TriggerRefused => ("trigger-refused", 409, "the trigger begins no call now"),
            Self::GuestError => ("guest-error", 422, "the guest answered with an error"),
            Self::Stopped => ("stopped", 409, "the module is stopped"),
            Self::Failed => ("failed", 409, "the module has failed"),
            Self::ShuttingDown => ("shutting-down", 503, "the daemon is stopping"),
            Self::Busy => ("busy", 503, "too many calls are waiting"),
            Self::RateLimited => ("rate-limited", 429, "the module has had as many calls as it takes"),
            Self::Expired => ("expired", 504, "the call waited too long and was not started"),
            Self::Cycle => ("cycle", 409, "the call would wait for itself"),
            Self::OperationTooLarge => ("operation-too-large", 413, "the operation's name is over its limit"),
            Self::PayloadTooLarge => ("payload-too-large", 413, "the payload is over its limit"),
            Self::ResponseTooLarge => ("response-too-large", 502, "the guest's answer is over its limit"),
            Self::Trapped => ("trapped", 502, "the guest trapped"),
            Self::DeadlineExceeded => ("deadline-exceeded", 504, "the call took too long"),
            Self::LimitExceeded => ("limit-exceeded", 502, "the guest ran into a limit"),
            Self::Exited => ("exited", 502, "the guest exited in the call"),
            Self::HostPanicked => ("host-panicked", 502, "the host failed while it worked for the guest"),
            Self::LoadFailed => ("load-failed", 502, "no instance of the module could be started"),
            Self::Lost => ("lost", 502, "the call was lost"),
            Self::SwapFailed => ("swap-failed", 422, "the new code did not take over, the old goes on"),
            Self::SwapNotKept => {
                ("swap-not-kept", 507, "the module runs the code, but not after a restart of the daemon")
            }
            Self::SwapRefused => ("swap-refused", 409, "the module cannot be swapped now"),
            Self::ReloadRefused => ("reload-refused", 422, "the configuration is refused and nothing has changed"),
            Self::NoAnswer => ("no-answer", 504, "a part of the daemon does not answer"),
            Self::Internal => ("internal", 500, "the server failed"),
            Self::Unauthorized => ("unauthorized", 401, "the request has no valid credentials"),
            Self::Unavailable => ("unavailable", 503, "what answers here is not running"),
            Self::BadReply => ("bad-reply", 502, "the guest's answer is no response"),
            Self::HeadTooLarge => ("head-too-large", 431, "the request's head is over its limit"),
            Self::NotImplemented => ("not-implemented", 501, "no path takes this method"),
        }
    }

    /// The stable type, as `urn:wapcd:error:busy`.
    #[must_use]
    pub fn urn(self) -> String {
        format!("{PREFIX}{}", self.describe().0)
    }
}

/// A problem, with the members of RFC 9457 and [`Facts`] beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence: the error with its causes, or the guest's own text.
    pub detail: String,
    /// What else is known.
    #[serde(flatten)]
    pub facts: Box<Facts>,
}

/// The members that wapcd adds to a problem, each where it is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The module that was addressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
    /// How the instance ended: the same names as in the status of a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_reason: Option<String>,
    /// The code that the guest exited with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// The guest's backtrace, innermost frame first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Why new code did not take over: the error and its causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Every problem of a configuration that is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// When to try again, in seconds; also in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// Makes a problem without the members that only calls have.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (_, status, title) = kind.describe();
        Self { kind: kind.urn(), title: title.to_owned(), status, detail: detail.into(), facts: Box::default() }
    }

    /// This problem, about that module.
    #[must_use]
    pub fn about(mut self, module: &str) -> Self {
        self.facts.module = Some(module.to_owned());
        self
    }

    /// The response of a call, or what went wrong with it.
    ///
    /// # Errors
    /// The problem that tells the caller of the failure.
    pub fn of_call(module: &str, reply: CallReply) -> Result<bytes::Bytes, Self> {
        let call = reply.call;
        reply.outcome.map_err(|failure| Self::of_failure(module, call, &failure))
    }

    /// Why a call has no response.
    #[must_use]
    pub fn of_failure(module: &str, call: u64, failure: &CallFailure) -> Self {
        let mut problem = Self::new(kind_of(failure), host::chain(failure)).about(module);
        problem.facts.call = Some(call);
        problem.facts.add(failure);
        problem
    }
}

impl Facts {
    fn add(&mut self, failure: &CallFailure) {
        match failure {
            // At least a second: zero would invite a caller to hammer.
            CallFailure::Busy { retry_after, .. } | CallFailure::RateLimited { retry_after, .. } => {
                self.retry_after_s = Some(retry_after.as_secs_f64().ceil().max(1.0) as u64);
            }
            CallFailure::Call(CallError::Exit(exit)) => {
                self.exit_reason = Some(exit_reason(exit).to_owned());
                self.add_exit(exit);
            }
            CallFailure::Call(CallError::Restart(LoadError::Start { exit, .. })) => {
                self.exit_reason = Some("start_failed".to_owned());
                self.add_exit(exit);
            }
            CallFailure::Call(CallError::Restart(_)) => self.exit_reason = Some("load_failed".to_owned()),
            _ => {}
        }
    }

    fn add_exit(&mut self, exit: &GuestExit) {
        let frames = |trap: &Trap| trap.backtrace.iter().map(ToString::to_string).collect();
        match exit {
            GuestExit::Trapped(trap) | GuestExit::LimitExceeded { trap, .. } => self.backtrace = frames(trap),
            GuestExit::Exited(code) => self.exit_code = Some(*code),
            GuestExit::DeadlineExceeded { .. } | GuestExit::HostPanicked(_) => {}
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}

impl std::error::Error for Problem {}

impl From<HostCallError> for Problem {
    /// What a binding says to an operator: its kinds are those of host calls.
    fn from(error: HostCallError) -> Self {
        let kind = match error.kind {
            HostErrorKind::BadRequest => Kind::BadRequest,
            HostErrorKind::NotFound => Kind::NoReceiver,
            HostErrorKind::TimedOut => Kind::NoReply,
            HostErrorKind::TooLarge => Kind::PayloadTooLarge,
            HostErrorKind::Unavailable => Kind::BindingUnavailable,
            HostErrorKind::Conflict => Kind::MessageRefused,
            _ => Kind::Internal,
        };
        let causes = error.source.as_deref().map(|source| format!(": {}", host::chain(source)));
        Self::new(kind, error.message + &causes.unwrap_or_default())
    }
}

/// The kind of a call's failure.
#[must_use]
pub fn kind_of(failure: &CallFailure) -> Kind {
    match failure {
        CallFailure::NoSuchModule(_) | CallFailure::Refused { refusal: Refusal::Removed, .. } => Kind::NoSuchModule,
        CallFailure::Refused { refusal: Refusal::Stopped, .. } => Kind::Stopped,
        CallFailure::Refused { refusal: Refusal::Failed(_), .. } => Kind::Failed,
        CallFailure::Refused { refusal: Refusal::ShuttingDown, .. } => Kind::ShuttingDown,
        CallFailure::Busy { .. } => Kind::Busy,
        CallFailure::RateLimited { .. } => Kind::RateLimited,
        CallFailure::Expired { .. } => Kind::Expired,
        CallFailure::Cycle { .. } => Kind::Cycle,
        CallFailure::Lost(_) => Kind::Lost,
        CallFailure::Call(CallError::Guest(_)) => Kind::GuestError,
        CallFailure::Call(CallError::TooLarge { part, .. }) => match part {
            Part::Operation => Kind::OperationTooLarge,
            Part::Payload => Kind::PayloadTooLarge,
            Part::Response | Part::GuestError => Kind::ResponseTooLarge,
        },
        CallFailure::Call(CallError::Restart(_)) => Kind::LoadFailed,
        CallFailure::Call(CallError::Exit(exit)) => match exit {
            GuestExit::Trapped(_) => Kind::Trapped,
            GuestExit::DeadlineExceeded { .. } => Kind::DeadlineExceeded,
            GuestExit::LimitExceeded { .. } => Kind::LimitExceeded,
            GuestExit::Exited(_) => Kind::Exited,
            GuestExit::HostPanicked(_) => Kind::HostPanicked,
        },
    }
}

/// The stable name of a way to end: the names of `ExitStatus::reason`.
fn exit_reason(exit: &GuestExit) -> &'static str {
    match exit {
        GuestExit::Trapped(_) => "trapped",
        GuestExit::DeadlineExceeded { .. } => "deadline_exceeded",
        GuestExit::LimitExceeded { .. } => "limit_exceeded",
        GuestExit::Exited(_) => "exited",
        GuestExit::HostPanicked(_) => "panicked",
    }
}
