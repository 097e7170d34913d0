//! Requests as guests write them, and as they should not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;

fn read(json: &str) -> Result<Request, String> {
    parse(&Bytes::copy_from_slice(json.as_bytes())).map(|(request, _)| request).map_err(|error| error.to_string())
}

#[test]
fn a_request_is_read_with_its_defaults() {
    let request = read(r#"{"url": "HTTP://Example.COM:80/a b?q=1#f"}"#).unwrap();
    assert_eq!(request.hop.url.as_str(), "http://example.com/a%20b?q=1#f");
    assert_eq!((request.hop.method, request.timeout, request.redirects), (Method::GET, None, true));
    assert!(request.hop.headers.is_empty() && request.hop.body.is_empty());

    let request = read(
        r#"{"url": "https://a.com", "method": "post", "body": "aGk=", "timeout": "1s", "redirects": false,
            "headers": {"X-One": "1", "x-one": ["2", "3"], "x-none": [], "x-text": "h\u00e4"}}"#,
    )
    .unwrap();
    assert_eq!((request.hop.method, &*request.hop.body), (Method::POST, &b"hi"[..]));
    assert_eq!((request.timeout, request.redirects), (Some(Duration::from_secs(1)), false));
    let values: Vec<_> = request.hop.headers.get_all("x-one").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(values, ["1", "2", "3"]);
    assert_eq!(request.hop.headers["x-text"].as_bytes(), "hä".as_bytes());
    assert_eq!(request.hop.headers.len(), 4);
}

#[test]
fn what_is_wrong_is_named() {
    let many = format!(r#"{{"url": "http://a", "headers": {{"x": [{}]}}}}"#, vec![r#""v""#; 101].join(","));
    let large = format!(r#"{{"url": "http://a", "headers": {{"x": "{}"}}}}"#, "v".repeat(64 * 1024));
    let long = format!(r#"{{"url": "http://a/{}"}}"#, "v".repeat(8 * 1024));
    for (json, expected) in [
        ("{}", "missing field `url`"),
        (r#"{"url": "a.com"}"#, "field `url`: relative URL without a base"),
        (r#"{"url": "file:///etc/passwd"}"#, "field `url`: scheme `file`, expected `http` or `https`"),
        (r#"{"url": "gopher://a.com:6379/_x"}"#, "field `url`: scheme `gopher`"),
        (r#"{"url": "http://u:secret@a.com"}"#, "field `url`: it has a user or a password"),
        (r#"{"url": "http://secret@a.com"}"#, "field `url`: it has a user or a password"),
        (r#"{"url": "http://a.com:99999"}"#, "field `url`: invalid port"),
        (r#"{"url": "http://"}"#, "field `url`: empty host"),
        (r#"{"url": "http://a", "method": ""}"#, "field `method`: found ``, expected a method such as `GET`"),
        (r#"{"url": "http://a", "method": "GET / HTTP/1.1\r\nHost: b"}"#, "field `method`: found `GET / HTTP"),
        (r#"{"url": "http://a", "method": "connect"}"#, "field `method`: found `connect`, which asks for a tunnel"),
        (r#"{"url": "http://a", "headers": {"Host": "b"}}"#, "field `headers.Host`: it belongs to the connection"),
        (r#"{"url": "http://a", "headers": {"content-length": "5"}}"#, "field `headers.content-length`: it belongs"),
        (r#"{"url": "http://a", "headers": {"transfer-encoding": "chunked"}}"#, "field `headers.transfer-encoding`"),
        (r#"{"url": "http://a", "headers": {"Connection": "close"}}"#, "field `headers.Connection`: it belongs"),
        (r#"{"url": "http://a", "headers": {"x": "a\r\nhost: b"}}"#, "field `headers.x`: its value has a line end"),
        (r#"{"url": "http://a", "headers": {"x\r\ny": "a"}}"#, "invalid HTTP header name"),
        (r#"{"url": "http://a", "headers": {"": "a"}}"#, "invalid HTTP header name"),
        (r#"{"url": "http://a", "headers": {":path": "a"}}"#, "invalid HTTP header name"),
        (r#"{"url": "http://a", "headers": {"x": 1}}"#, "field `headers.x`: invalid type: integer `1`"),
        (r#"{"url": "http://a", "headers": ["x"]}"#, "field `headers`: invalid type: sequence"),
        (r#"{"url": "http://a", "timeout": "0s"}"#, "field `timeout`: zero"),
        (r#"{"url": "http://a", "timeout": "1"}"#, "field `timeout`: found `1`"),
        (r#"{"url": "http://a", "query": {}}"#, "unknown field `query`"),
        (&many, "more than 100"),
        (&large, "field `headers`: 65537 bytes, expected at most 65536"),
        (&long, "field `url`: 8201 bytes, expected at most 8192"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error}");
        assert!(!error.contains("secret") && error.len() < 500, "{error}");
    }
}
