//! From a request to its answer: the only thing that a connection knows of routes.

use std::{convert::Infallible, path::Path, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Body};

use crate::{
    config::HttpSettings,
    triggers::{Caller, TriggerError},
};

/// The routes of a trigger with their credentials, made of its settings once and read by every request. Other settings make
/// another one, which requests that come later find.
#[derive(Debug)]
pub(super) struct Site {}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address; `None` for a Unix socket.
    pub(super) address: Option<std::net::SocketAddr>,
    /// Whether the connection is secured.
    pub(super) secure: bool,
}

impl Site {
    /// Reads the credentials and compiles the routes.
    ///
    /// # Errors
    /// A file cannot be read or used, or two routes are in conflict.
    pub(super) fn new(
        _trigger: &Arc<str>,
        _settings: &HttpSettings,
        _credentials: Option<&Path>,
    ) -> Result<Self, TriggerError> {
        Ok(Self {})
    }

    /// Answers one request. Never fails: what goes wrong is an answer. Reads the body itself, within its limits.
    pub(super) async fn answer<B>(&self, _request: Request<B>, _peer: &Peer, _caller: &Caller) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let mut response = Response::new(Full::new(Bytes::from_static(b"no route")));
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
        response
    }
}

/// What a connection's service never says.
pub(super) type Never = Infallible;
