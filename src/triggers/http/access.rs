//! The access log: one line a request, written when its answer is ready or its caller has gone.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, body::Body as _, http::request::Parts};
use tracing::{Level, field};

use super::answer::Peer;
use crate::bindings::Trace;

/// What lines are filtered by.
const TARGET: &str = "wapcd::access";

/// What is known of a request while it is answered.
#[derive(Debug)]
pub(super) struct Access {
    trigger: Arc<str>,
    method: String,
    path: String,
    peer: Option<std::net::SocketAddr>,
    began: Instant,
    /// Bytes of its body.
    pub(super) bytes_in: usize,
    /// The module that is called.
    pub(super) module: Option<String>,
    /// The trace that it belongs to.
    pub(super) trace: Option<Trace>,
    /// Status and bytes of its answer; `None` as long as there is none.
    answered: Option<(u16, u64)>,
    call: Option<u64>,
}

impl Access {
    /// Begins a line, if anybody wants to read it.
    pub(super) fn begin(trigger: &Arc<str>, head: &Parts, peer: &Peer) -> Option<Self> {
        tracing::enabled!(target: TARGET, Level::INFO).then(|| Self {
            trigger: Arc::clone(trigger),
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            peer: peer.address,
            began: Instant::now(),
            bytes_in: 0,
            module: None,
            trace: None,
            answered: None,
            call: None,
        })
    }

    /// Ends the line.
    pub(super) fn end(mut self, response: &Response<Full<Bytes>>, call: u64) {
        self.answered = Some((response.status().as_u16(), response.body().size_hint().lower()));
        self.call = Some(call);
    }
}

impl Drop for Access {
    /// Without a status where the caller went away before there was one.
    fn drop(&mut self) {
        let (status, bytes_out) = self.answered.unzip();
        tracing::info!(
            target: TARGET,
            trigger = &*self.trigger,
            method = self.method,
            path = self.path,
            status,
            bytes_in = self.bytes_in,
            bytes_out,
            duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            call = self.call,
            peer = self.peer.map(field::display),
            module = self.module,
            trace = self.trace.map(field::display),
            "{}",
            if status.is_some() { "request" } else { "request without an answer" }
        );
    }
}
