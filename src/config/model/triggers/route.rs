//! Routes of a `http` trigger: which request calls whom, with what, and what the answer is.

use std::{sync::Arc, time::Duration};

use super::super::SecretSource;

/// One `[[triggers.NAME.routes]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Pattern of paths, as `/hello/{name}` or `/files/{*rest}`.
    pub path: String,
    /// Methods, in upper case; empty: every one.
    pub methods: Vec<String>,
    /// Hosts in lower case, `*.example.com` for all below; empty: every one.
    pub hosts: Vec<String>,
    /// The module.
    pub module: Template,
    /// The guest's operation.
    pub operation: Template,
    /// Modules that a path may name; `None`: every one. Of no meaning where the module is fixed.
    pub modules: Option<Vec<Arc<str>>>,
    /// Operations that a path may name; `None`: every one. Of no meaning where the operation is fixed.
    pub operations: Option<Vec<String>>,
    /// What the guest gets, and what its response means.
    pub payload: Payload,
    /// Bytes of a body, where that is less than the trigger's limit.
    pub max_body: Option<u64>,
    /// How long the call may take, where that is less than the module's `call_timeout`.
    pub timeout: Option<Duration>,
    /// Status of the answer when the guest says that it cannot.
    pub error_status: u16,
    /// Who may call; `None`: everybody.
    pub authentication: Option<Authentication>,
    /// Which pages of other origins may call; `None`: none.
    pub cors: Option<Cors>,
}

impl Route {
    /// Names of the modules that it is known to call.
    pub fn modules(&self) -> impl Iterator<Item = &Arc<str>> {
        let fixed = match &self.module {
            Template::Fixed(name) => Some(name),
            Template::Parameter(_) => None,
        };
        let listed = self.modules.iter().flatten().filter(move |_| fixed.is_none());
        fixed.into_iter().chain(listed)
    }
}

/// A name that is fixed, or that a request's path has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// This one.
    Fixed(Arc<str>),
    /// The value of this parameter of the path.
    Parameter(Arc<str>),
}

/// What the guest gets of a request, and what its response means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The body is the payload, the response is the body.
    Raw {
        /// Type of the response; `None`: what the caller's `Accept` asks for, if that is one type.
        content_type: Option<String>,
    },
    /// The payload is a map of the whole request, the response one of status, headers and body.
    Http(PayloadFormat),
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PayloadFormat {
    MessagePack,
    Json,
}

/// Who may call a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Whoever sends one of the tokens, one a line, as `Authorization: Bearer TOKEN`.
    Token(SecretSource),
    /// Whoever sends one of the pairs `USER:PASSWORD`, one a line, as `Authorization: Basic …`.
    Basic(SecretSource),
}

/// Which pages of other origins may call a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins as `https://example.com`, or `*` alone.
    pub origins: Vec<String>,
    /// Headers that a page may send besides the simple ones.
    pub headers: Vec<String>,
    /// Headers of answers that a page may read besides the simple ones.
    pub expose: Vec<String>,
    /// Whether a page may send cookies and credentials.
    pub credentials: bool,
    /// How long a browser may remember this.
    pub max_age: Duration,
}
