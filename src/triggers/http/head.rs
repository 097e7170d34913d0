//! What is looked at in every request's head before its route is known.

use std::borrow::Cow;

use hyper::{Method, Version, header::HOST, http::request::Parts};

use super::problem::Refusal;
use crate::web::Kind;

/// Bytes that a header takes besides its name and value: `: ` and the end of the line.
const PER_HEADER: usize = 4;

/// Refuses what no route answers.
///
/// # Errors
/// The method is none of a route's, the head is over its limit, or it does not say for which host it is.
pub(super) fn check(head: &Parts, limit: u64) -> Result<(), Refusal> {
    if head.method == Method::TRACE || head.method == Method::CONNECT {
        return Err(Refusal::new(Kind::NotImplemented, format!("{} is not served", head.method)));
    }
    // However it was sent: compressed over HTTP/2 it is as large.
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_HEADER).sum();
    let target = head.uri.path().len() + head.uri.query().unwrap_or_default().len();
    if (size + target) as u64 > limit {
        return Err(Refusal::new(Kind::HeadTooLarge, format!("the request's head is over the limit of {limit} bytes")));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let missing = hosts.next().is_none() && head.version == Version::HTTP_11;
    if missing || hosts.next().is_some() {
        return Err(Refusal::new(Kind::BadRequest, "the request has no Host, or several"));
    }
    Ok(())
}

/// The host and port that the request is for, as it was sent.
pub(super) fn authority(head: &Parts) -> Option<&str> {
    let in_target = head.uri.authority().map(|authority| authority.as_str());
    in_target.or_else(|| head.headers.get(HOST)?.to_str().ok())
}

/// The host alone, as routes have it: in lower case, without a port and without the dot at the end.
pub(super) fn host(authority: &str) -> Cow<'_, str> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        // An address of IPv6 has colons of its own.
        Some(_) => host.split_inclusive(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_without_port_case_and_last_dot() {
        for (sent, expected) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com.:80", "example.com"),
            ("user:pass@example.com:80", "example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(host(sent), expected, "{sent}");
        }
    }
}
