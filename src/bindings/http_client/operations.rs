//! The one operation: a request, the redirects that follow, and the answer at their end.

use std::{future::Future, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{Response, header::HeaderMap};

use super::{
    clients::{Clients, MAX_HEAD},
    failure,
    hosts::Hosts,
    redirect::{self, Hop},
    reply::Answered,
    request::Request,
    rules,
};
use crate::{
    config::HttpRules,
    host::{HostCallError, HostErrorKind},
};

/// What requests need; shared by all workers.
pub(super) struct Exchange {
    pub(super) clients: Clients,
    pub(super) hosts: Hosts,
    pub(super) max_redirects: u32,
    pub(super) max_body: u64,
}

/// When the time that the guest gave is over.
#[derive(Clone, Copy)]
struct Limit(Option<Instant>);

impl Exchange {
    /// Makes the request and follows where it leads. Dropped in the middle, it closes the connection.
    ///
    /// # Errors
    /// As the page of this binding says.
    pub(super) async fn run(
        &self,
        request: Request,
        rules: &HttpRules,
        module: &Arc<str>,
    ) -> Result<Answered, HostCallError> {
        let Request { mut hop, timeout, redirects } = request;
        // A time beyond the end of the clock is no limit.
        let limit = Limit(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
        let mut left = if redirects { self.max_redirects } else { 0 };
        let mut from: Option<String> = None;
        loop {
            rules::check(&hop.url, &hop.method, rules).map_err(|error| after(from.as_deref(), error))?;
            let place = rules::place(&hop.url);
            let mut visit = self.hosts.visit(&place);
            limit.within(&place, visit.place(module)).await??;
            let response = limit.within(&place, self.send(&hop, &place, rules)).await?;
            let response = response.map_err(|error| after(from.as_deref(), error))?;
            let status = response.status();
            if self.max_redirects > 0 && redirects && redirect::leads_on(status, response.headers()) {
                left = left.checked_sub(1).ok_or_else(|| self.too_often(&place))?;
                redirect::follow(&mut hop, status, response.headers())?;
                drop(visit);
                from = Some(place);
                continue;
            }
            let headers = response.headers().clone();
            let body = limit.within(&place, self.body(response, &place)).await??;
            return Ok(Answered { status, headers, body, url: hop.url });
        }
    }

    async fn send(&self, hop: &Hop, place: &str, rules: &HttpRules) -> Result<Response, HostCallError> {
        let internal = |error: reqwest::Error| {
            let why = format!("the request to host `{place}` could not be made");
            HostCallError::with_source(HostErrorKind::Internal, why, error.without_url())
        };
        let client = self.clients.client(&rules.addresses).map_err(internal)?;
        let mut request = client.request(hop.method.clone(), hop.url.clone()).headers(hop.headers.clone());
        if !hop.body.is_empty() {
            request = request.body(hop.body.clone());
        }
        let request = request.build().map_err(internal)?;
        let response = client.execute(request).await.map_err(|error| failure::of(error, place))?;
        let head = size(response.headers());
        if head > MAX_HEAD as usize {
            let why = format!("the answer of host `{place}` has {head} bytes of headers, over the limit of {MAX_HEAD}");
            return Err(HostCallError::new(HostErrorKind::TooLarge, why));
        }
        Ok(response)
    }

    /// Reads a body to its end, or as far as it may be.
    async fn body(&self, mut response: Response, place: &str) -> Result<Bytes, HostCallError> {
        let announced = response.content_length().unwrap_or_default();
        if announced > self.max_body {
            return Err(self.too_large(place));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure::of(error, place))? {
            if (body.len() + chunk.len()) as u64 > self.max_body {
                return Err(self.too_large(place));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn too_large(&self, place: &str) -> HostCallError {
        let most = self.max_body;
        let why = format!("the body of the answer of host `{place}` is over the limit of {most} bytes (`max_body`)");
        HostCallError::new(HostErrorKind::TooLarge, why)
    }

    fn too_often(&self, place: &str) -> HostCallError {
        let most = self.max_redirects;
        let why = format!("more than {most} redirects (`max_redirects`) to host `{place}` and on from there");
        HostCallError::new(HostErrorKind::Unavailable, why)
    }
}

impl Limit {
    async fn within<T>(self, place: &str, work: impl Future<Output = T>) -> Result<T, HostCallError> {
        let Some(end) = self.0 else { return Ok(work.await) };
        tokio::time::timeout_at(end.into(), work).await.map_err(|_elapsed| {
            let why = format!("host `{place}` did not answer in full within the `timeout` of the request");
            HostCallError::new(HostErrorKind::TimedOut, why)
        })
    }
}

/// An error with the host whose redirect led to it.
fn after(from: Option<&str>, error: HostCallError) -> HostCallError {
    match from {
        Some(from) => HostCallError { message: format!("host `{from}` redirects: {}", error.message), ..error },
        None => error,
    }
}

/// Bytes of names and values.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
