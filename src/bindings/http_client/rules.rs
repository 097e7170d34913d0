//! What a link allows: the host, the method, and an address that stands in the URL itself.
//!
//! Names are no matter of this file beyond `hosts`: what they resolve to is decided in `resolver`, where it is known.

use std::{fmt::Write, net::IpAddr};

use reqwest::Method;
use url::{Host, Url};

use super::{address, failure::Forbidden};
use crate::{
    config::HttpRules,
    host::{HostCallError, HostErrorKind},
};

/// Where a request goes, for messages and for counting: `api.example.com:443`. It has no credentials and no path.
pub(super) fn place(url: &Url) -> String {
    let mut place = url.host().map(|host| host.to_string()).unwrap_or_default();
    if let Some(port) = url.port_or_known_default() {
        // Writing to a string does not fail.
        write!(place, ":{port}").ok();
    }
    place
}

/// Whether the link allows that request, as far as it can be told before names are resolved.
///
/// # Errors
/// `not_allowed`, with the key of the link that does not include it.
pub(super) fn check(url: &Url, method: &Method, rules: &HttpRules) -> Result<(), HostCallError> {
    let place = place(url);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(not_allowed(format!("scheme `{}` is neither `http` nor `https`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(not_allowed(format!("the URL of `{place}` has a user or a password")));
    }
    let (host, address) = match url.host() {
        Some(Host::Domain(name)) => (name.to_owned(), None),
        Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
        None => return Err(not_allowed("the URL has no host".to_owned())),
    };
    let port = url.port_or_known_default().unwrap_or_default();
    if !rules.hosts.iter().any(|pattern| pattern.includes(&host, port)) {
        return Err(not_allowed(format!("host `{place}` is not among the `hosts` of the link")));
    }
    if let Some(methods) = &rules.methods
        && !methods.iter().any(|allowed| allowed == method.as_str())
    {
        return Err(not_allowed(format!("method `{method}` is not among the `methods` of the link")));
    }
    match address.and_then(|address| address::forbidden(address, &rules.addresses)) {
        Some(why) => Err(not_allowed(Forbidden { host, why }.to_string())),
        None => Ok(()),
    }
}

pub(super) fn not_allowed(why: String) -> HostCallError {
    HostCallError::new(HostErrorKind::NotAllowed, why)
}
