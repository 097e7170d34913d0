//! What is kept of a request that is sent elsewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use reqwest::header::HeaderValue;

use super::*;

fn hop(method: &str, url: &str) -> Hop {
    let mut headers = HeaderMap::new();
    for name in ["authorization", "cookie", "proxy-authorization", "content-type", "x-own"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
    }
    Hop { method: method.parse().unwrap(), url: url.parse().unwrap(), headers, body: Bytes::from_static(b"body") }
}

fn redirected(hop: &Hop, status: u16, location: &str) -> Result<Hop, String> {
    let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap())]);
    let status = StatusCode::from_u16(status).unwrap();
    assert!(leads_on(status, &headers));
    let mut hop = hop.clone();
    follow(&mut hop, status, &headers).map(|()| hop).map_err(|error| error.to_string())
}

#[test]
fn the_method_changes_as_browsers_change_it() {
    for (status, method, expected) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (303, "GET", "GET"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (301, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ] {
        let next = redirected(&hop(method, "http://a.com/x/y?q"), status, "z").unwrap();
        assert_eq!((next.method.as_str(), next.url.as_str()), (expected, "http://a.com/x/z"), "{status} {method}");
        let keeps_body = expected == method && (status, method) != (303, "GET");
        assert_eq!(next.body.is_empty(), !keeps_body, "{status} {method}");
        assert_eq!(next.headers.contains_key("content-type"), keeps_body, "{status} {method}");
        assert!(next.headers.contains_key("authorization") && next.headers.contains_key("x-own"));
    }
}

#[test]
fn what_is_for_one_origin_stays_there() {
    let from = hop("GET", "https://a.com/x");
    for (to, same) in [
        ("/y", true),
        ("https://a.com:443/y", true),
        ("//A.com/y", true),
        ("https://a.com:8443/y", false),
        ("https://b.a.com/", false),
        ("https://a.com.evil.com/", false),
        ("https://a.com./", false),
    ] {
        let next = redirected(&from, 302, to).unwrap();
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(next.headers.contains_key(name), same, "{to}: {name}");
        }
        assert!(next.headers.contains_key("x-own"), "{to}");
    }
    let up = redirected(&hop("GET", "http://a.com/"), 301, "https://a.com/").unwrap();
    assert!(!up.headers.contains_key("authorization"));
}

#[test]
fn a_redirect_is_refused_by_name() {
    for (to, expected) in [
        ("http://a.com/", "not_allowed: host `a.com:443` redirects from `https` to `http` at host `a.com:80`"),
        ("https://u:secret@b.com/", "not_allowed: host `a.com:443` redirects to a URL with a user or a password"),
        ("https://[", "unavailable: host `a.com:443` redirects to a location that is no URL: invalid IPv6 address"),
        ("\u{80}https://x y", "unavailable: host `a.com:443` redirects to a location that"),
    ] {
        match redirected(&hop("GET", "https://a.com/"), 302, to) {
            Err(error) => assert!(error.starts_with(expected) && !error.contains("secret"), "{to}: {error}"),
            // Taken as a path.
            Ok(next) => assert!(next.url.as_str().starts_with("https://a.com/"), "{to}"),
        }
    }
    let long = format!("/{}", "a".repeat(MAX_URL));
    assert!(redirected(&hop("GET", "https://a.com/"), 302, &long).unwrap_err().contains("over the limit"));
}

#[test]
fn only_answers_with_a_location_lead_on() {
    let location = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static("/"))]);
    for status in [200, 201, 300, 304, 305, 306, 399, 404] {
        assert!(!leads_on(StatusCode::from_u16(status).unwrap(), &location), "{status}");
    }
    assert!(!leads_on(StatusCode::FOUND, &HeaderMap::new()));
}
