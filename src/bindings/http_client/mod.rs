//! The `http_client` binding: requests to HTTP servers, as far as the link allows.
//!
//! | operation | request | answer |
//! |---|---|---|
//! | `request` | `{url: str, method?: str, headers?: {str: str or [str]}, body?: bytes, timeout?: str, redirects?: bool}` | `{status: int, headers: {str: [str]}, body: bytes, url: str}` |
//!
//! Any status is an answer, 404 and 500 too. `headers` of the answer has names in lower case and a list of values for each,
//! in their order, so that repeated headers survive; a value that is not UTF-8 is read as ISO 8859-1. `body` is what the
//! server sent: nothing is decompressed, so there are no bombs. `url` is where the answer came from, after redirects.
//!
//! | error | when |
//! |---|---|
//! | `bad_request` | The URL, the method, a header or `timeout` is not what it should be; the URL has a user or password; a header belongs to the connection (`Host`, `Content-Length`, `Connection`, ...). |
//! | `not_allowed` | The link does not include the host, the method or the address, at the first request or after a redirect; a redirect leaves `http` and `https`, or leads from `https` to `http`. |
//! | `too_large` | The body is larger than `max_body`, or the head of the answer than what is read of one. |
//! | `timed_out` | `timeout`, the binding's `limits.timeout` or `connect_timeout` passed. |
//! | `unavailable` | The host cannot be found, reached or trusted, broke off, sends no HTTP, redirects too often, or has too many requests. |
//!
//! **Addresses.** Only public addresses are connected to, and those that the link lists in `addresses`. What is checked are
//! the addresses that a name has at the moment of the connection, and the connection goes to one of these and to no
//! other; a name that changes its address meanwhile gains nothing. A connection that is kept serves only links
//! with the same `addresses`. Every redirect is checked as the first request was.
//!
//! ```text
//! actor.rs ── request.rs: payload → Request ──▶ operations.rs: one exchange after the other ──▶ reply.rs
//!                                                 │ before each: rules.rs (host, method, address in the URL)
//!                                                 │              hosts.rs (a place among the requests to the host)
//!                                                 ▼ after each:  redirect.rs (where to go next)
//!                                      clients.rs: one reqwest::Client for each set of addresses
//!                                                 └── resolver.rs: names → addresses that address.rs lets through
//! ```

mod actor;
mod address;
mod clients;
mod failure;
mod headers;
mod hosts;
mod operations;
mod redirect;
mod reply;
mod request;
mod resolver;
mod rules;

use std::sync::Arc;

use self::{actor::HttpFactory, clients::Clients, hosts::Hosts, operations::Exchange};
use super::{BindingContext, BindingError, BindingFactory, tls};
use crate::config::HttpClientSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 1] = ["request"];

/// Reads the files of TLS; connections are made when somebody asks for them.
///
/// # Errors
/// A file of TLS is not what it should be, or there are no threads for connections.
pub(super) fn start(
    binding: Arc<str>,
    settings: &HttpClientSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let mut tls = tls::client(&binding, &settings.tls)?;
    tls.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
    let io = context.io.handle_for(&binding)?;
    let exchange = Exchange {
        clients: Clients::new(tls, settings),
        hosts: Hosts::new(settings.connections_per_host),
        max_redirects: settings.max_redirects,
        max_body: settings.max_body,
    };
    Ok(Arc::new(HttpFactory::new(binding, exchange, io, context.io.clone())))
}
