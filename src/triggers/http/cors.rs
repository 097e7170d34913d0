//! Which pages of other origins may read a route's answers (CORS of the Fetch standard). Browsers ask and obey; nobody else
//! is kept from anything, which is what authentication is for.

use hyper::{
    Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
    },
};

use crate::config::Cors;

/// What the answer to a preflight depends on.
const VARY_OF_PREFLIGHT: &str = "origin, access-control-request-method, access-control-request-headers";

/// The rules of a route, as the headers that they become.
#[derive(Debug)]
pub(super) struct Rules {
    /// `None`: every one.
    origins: Option<Vec<HeaderValue>>,
    credentials: bool,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Rules {
    /// The headers are those that the check of the configuration let through.
    pub(super) fn new(cors: &Cors) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let list = |names: &[String]| if names.is_empty() { None } else { value(&names.join(", ")) };
        let every = cors.origins.iter().any(|origin| origin == "*");
        Self {
            origins: (!every).then(|| cors.origins.iter().filter_map(|origin| value(origin)).collect()),
            credentials: cors.credentials,
            headers: list(&cors.headers),
            expose: list(&cors.expose),
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        }
    }

    /// Whether the name is one of the headers that only these rules may set.
    pub(super) fn owns(name: &HeaderName) -> bool {
        name.as_str().starts_with("access-control-")
    }

    /// Says in an answer who may read it.
    pub(super) fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        self.allow(origin, headers);
        if self.origins.is_some() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let (Some(expose), true) = (&self.expose, headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// Answers a preflight for a method that the route takes.
    pub(super) fn preflight<B: Default>(&self, sent: &HeaderMap, allow: &str) -> Response<B> {
        let mut response = no_content(allow);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static(VARY_OF_PREFLIGHT));
        self.allow(sent.get(ORIGIN), headers);
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            if let Some(method) = sent.get(ACCESS_CONTROL_REQUEST_METHOD) {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            }
            if let Some(names) = &self.headers {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        let allowed = match &self.origins {
            None => HeaderValue::from_static("*"),
            Some(origins) => match origins.iter().find(|known| *known == origin) {
                Some(known) => known.clone(),
                None => return,
            },
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// The method that a preflight asks about; `None` where the request is none.
pub(super) fn asked(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN)?;
    headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()
}

/// The answer to `OPTIONS` where no guest gives one.
pub(super) fn no_content<B: Default>(allow: &str) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    // A list of methods that the configuration has.
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
