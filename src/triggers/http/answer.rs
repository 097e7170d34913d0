//! From a request to its answer: the only thing that a connection knows of routes.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Body,
    header::{ALLOW, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE},
    http::request::Parts,
};

use super::{
    access::Access,
    authenticate,
    complaints::Complaints,
    cors::{self, Rules},
    head,
    problem::Refusal,
    request, response,
    route::{Compiled, ModuleAndOperation},
    trace,
};
use crate::{
    actors::{RanOn, next_call_id},
    bindings::Chain,
    config::{Found, HttpLimits, HttpSettings, Payload, Router},
    host::{BoxError, chain as chain_of},
    triggers::{Caller, TriggerError},
    web::{CALL_HEADER, GENERATION_HEADER, INSTANCE_HEADER, Kind, MODULE_HEADER, encoding},
};

/// The routes of a trigger with their credentials, made of its settings once and read by every request. Other settings make
/// another one, which requests that come later find.
#[derive(Debug)]
pub(super) struct Site {
    trigger: Arc<str>,
    router: Router,
    routes: Vec<Compiled>,
    limits: HttpLimits,
    access_log: bool,
    verbose: bool,
    secret_files: Vec<PathBuf>,
    complaints: Complaints,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address; `None` for a Unix socket.
    pub(super) address: Option<std::net::SocketAddr>,
    /// Whether the connection is secured.
    pub(super) secure: bool,
}

/// What a connection's service never says.
pub(super) type Never = Infallible;

/// What is known of a request besides its answer, by the time there is one.
#[derive(Default)]
struct Told<'s> {
    route: Option<&'s Compiled>,
    module: Option<String>,
    call: Option<u64>,
    ran_on: Option<RanOn>,
    access: Option<Access>,
}

impl Site {
    /// Reads the credentials and compiles the routes.
    ///
    /// # Errors
    /// A file cannot be read or used, or two routes are in conflict.
    pub(super) fn new(
        trigger: &Arc<str>,
        settings: &HttpSettings,
        credentials: Option<&Path>,
    ) -> Result<Self, TriggerError> {
        let (router, problems) = Router::new(&settings.routes);
        // Not met with a configuration that was checked.
        if let Some((index, problem)) = problems.first() {
            return Err(TriggerError::Settings(format!("the {}. route has {problem}", index + 1)));
        }
        let guarded = settings.routes.iter().filter_map(|route| route.authentication.as_ref());
        let mut secret_files: Vec<_> = guarded.filter_map(|known| authenticate::file(known, credentials)).collect();
        secret_files.sort_unstable();
        secret_files.dedup();
        let compile = |route| Compiled::new(route, settings.limits.body, credentials);
        Ok(Self {
            trigger: Arc::clone(trigger),
            router,
            routes: settings.routes.iter().map(compile).collect::<Result<_, _>>()?,
            limits: settings.limits.clone(),
            access_log: settings.access_log,
            verbose: settings.verbose_errors,
            secret_files,
            complaints: Complaints::default(),
        })
    }

    /// The files that credentials were read from: when one changes, another site is to be made.
    pub(super) fn secret_files(&self) -> Vec<PathBuf> {
        self.secret_files.clone()
    }

    /// Answers one request. Never fails: what goes wrong is an answer. Reads the body itself, within its limits. `fits` is
    /// told how many bytes the answer has, and says whether there is room for it.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        peer: &Peer,
        caller: &Caller,
        fits: impl Fn(u64) -> bool,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let mut told = Told::default();
        if self.access_log {
            told.access = Access::begin(&self.trigger, &head, peer);
        }
        let served = self.serve(&head, body, peer, caller, &mut told).await;
        let size = served.as_ref().map_or(0, |response| response.body().size_hint().lower());
        let served = if fits(size) { served } else { Err(request::crowded(&"there is no room for the answer")) };
        let mut response = served.unwrap_or_else(|refusal| refusal.into_response(self.verbose));
        if let Some(rules) = told.route.and_then(|route| route.cors.as_ref()) {
            rules.apply(head.headers.get(ORIGIN), response.headers_mut());
        }
        let call = told.call.unwrap_or_else(next_call_id);
        self.label(&told, call, response.headers_mut());
        if let Some(access) = told.access {
            access.end(&response, call);
        }
        if head.method == Method::HEAD { without_body(response) } else { response }
    }

    async fn serve<'s, B>(
        &'s self,
        head: &Parts,
        body: B,
        peer: &Peer,
        caller: &Caller,
        told: &mut Told<'s>,
    ) -> Result<Response<Full<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        head::check(head, self.limits.head)?;
        let (authority, path) = (head::authority(head), head.uri.path());
        if path == "*" {
            return Ok(cors::no_content("OPTIONS"));
        }
        let host = authority.filter(|_| self.router.knows_hosts()).map(head::host);
        let found = self.router.find(host.as_deref(), path);
        let found = found.ok_or_else(|| Refusal::new(Kind::NotFound, format!("no route has the path {path}")))?;
        let route = match self.choose(head, &found) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        told.route = Some(route);
        if let Some(guard) = &route.guard
            && !guard.admits(&head.headers)
        {
            let refusal = Refusal::new(Kind::Unauthorized, "the credentials are missing or unknown");
            return Err(refusal.with(WWW_AUTHENTICATE, guard.challenge()));
        }
        let ModuleAndOperation { module, operation } = route.target(path, &found.parameters)?;
        self.note_module(told, &module);
        let body = request::body(body, route.max_body, self.limits.body_timeout).await?;
        let trace = trace::of(&head.headers);
        if let Some(access) = &mut told.access {
            (access.bytes_in, access.trace) = (body.len(), trace);
        }
        let payload = match &route.settings.payload {
            Payload::Raw { .. } => body,
            Payload::Http(format) => request::whole(*format, head, &found.parameters, peer, authority, &body)?,
        };
        let chain = trace.map(Chain::traced).unwrap_or_default();
        let reply = caller.ask(&module, operation, payload, route.settings.timeout, chain).await;
        (told.call, told.ran_on) = (Some(reply.call), reply.ran_on);
        let error_status = route.settings.error_status;
        let answer = reply.outcome.map_err(|failure| {
            caller.failed(chain_of(&failure));
            Refusal::of_call(&module, reply.call, &failure, error_status)
        })?;
        match &route.settings.payload {
            Payload::Raw { .. } => {
                caller.succeeded();
                Ok(response::raw(answer, route.content_type.as_ref(), &head.headers))
            }
            Payload::Http(_) => {
                let owned = |name: &HeaderName| route.cors.is_some() && Rules::owns(name);
                let response = response::of_map(&answer, owned).inspect(|_usable| caller.succeeded());
                response.map_err(|why| {
                    caller.failed(format!("the answer of module `{module}` is no response: {why}"));
                    self.complaints.bad_reply(&self.trigger, &module, reply.call, &why);
                    Refusal::of_reply(&module, reply.call, why)
                })
            }
        }
    }

    /// The route that takes the request's method, or what is answered without one.
    #[allow(clippy::type_complexity, reason = "an answer in place of a route")]
    fn choose(
        &self,
        head: &Parts,
        found: &Found<'_, '_>,
    ) -> Result<&Compiled, Box<Result<Response<Full<Bytes>>, Refusal>>> {
        let of = |method: &str| found.route(method).and_then(|index| self.routes.get(index));
        if head.method == Method::OPTIONS
            && let Some(rules) = cors::asked(&head.headers).and_then(of).and_then(|route| route.cors.as_ref())
        {
            return Err(Box::new(Ok(rules.preflight(&head.headers, found.allow()))));
        }
        match of(head.method.as_str()) {
            Some(route) => Ok(route),
            None if head.method == Method::OPTIONS => Err(Box::new(Ok(cors::no_content(found.allow())))),
            None => {
                let refusal = Refusal::new(Kind::MethodNotAllowed, format!("this path takes {}", found.allow()));
                let allow = HeaderValue::from_str(found.allow()).ok();
                Err(Box::new(Err(match allow {
                    Some(allow) => refusal.with(ALLOW, allow),
                    None => refusal,
                })))
            }
        }
    }

    fn note_module(&self, told: &mut Told<'_>, module: &str) {
        if let Some(access) = &mut told.access {
            access.module = Some(module.to_owned());
        }
        if self.verbose {
            told.module = Some(module.to_owned());
        }
    }

    /// Says which call an answer is about, and to those who may know, who answered.
    fn label(&self, told: &Told<'_>, call: u64, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static(CALL_HEADER), HeaderValue::from(call));
        if !self.verbose {
            return;
        }
        // Encoded names always are header values.
        if let Some(Ok(module)) = told.module.as_deref().map(|name| HeaderValue::try_from(encoding::encode(name))) {
            headers.insert(HeaderName::from_static(MODULE_HEADER), module);
        }
        if let Some(ran_on) = told.ran_on {
            headers.insert(HeaderName::from_static(INSTANCE_HEADER), HeaderValue::from(ran_on.instance));
            headers.insert(HeaderName::from_static(GENERATION_HEADER), HeaderValue::from(ran_on.generation));
        }
    }
}

/// The answer to `HEAD`: everything but the body, with its length.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && head.status != StatusCode::NO_CONTENT
        && head.status != StatusCode::NOT_MODIFIED
    {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Full::default())
}
