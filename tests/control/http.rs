//! HTTP as bytes on a Unix socket, so that nothing is tidied up on the way.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(found).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    /// The body as a problem; checks that it is one.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem
    }

    /// The last part of the problem's type.
    pub(crate) fn kind(&self) -> String {
        self.problem()["type"].as_str().unwrap().strip_prefix("urn:wapcd:error:").unwrap().to_owned()
    }
}

/// Sends a request with a body and reads the response to the end of the connection.
pub(crate) fn send(socket: &Path, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: wapcd\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    exchange(socket, &[head.as_bytes(), body].concat())
}

pub(crate) fn get(socket: &Path, path: &str) -> Response {
    send(socket, "GET", path, "", b"")
}

pub(crate) fn post(socket: &Path, path: &str, body: &[u8]) -> Response {
    send(socket, "POST", path, "", body)
}

/// Sends bytes and reads one response to the end of the connection.
pub(crate) fn exchange(socket: &Path, request: &[u8]) -> Response {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has answered already may refuse the rest.
    stream.write_all(request).unwrap_or_default();
    let mut answer = Vec::new();
    // A server that did not want all of the request resets the connection after its answer.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no response: {:?}", String::from_utf8_lossy(&answer));
    });
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head, body: answer[end + 4..].to_vec() }
}
