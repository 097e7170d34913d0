//! The control API as a caller meets it: one connection a request, every failure a value.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// The answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The instance that took the call.
    pub(crate) fn instance(&self) -> Option<u64> {
        self.header("wapcd-instance").map(|value| value.parse().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as problem details.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{} {}", self.head, self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The last part of the problem's type; `ok` for a response.
    pub(crate) fn kind(&self) -> String {
        if self.status == 200 {
            return "ok".to_owned();
        }
        self.problem()["type"].as_str().unwrap().strip_prefix("urn:wapcd:error:").unwrap().to_owned()
    }

    /// The problem's text.
    pub(crate) fn detail(&self) -> String {
        self.problem()["detail"].as_str().unwrap().to_owned()
    }

    /// Status and text: what most tests look at.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status, if self.status == 200 { self.text() } else { self.detail() })
    }
}

/// Where requests go. Cheap to clone, so that threads can have one each.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) socket: PathBuf,
}

impl Client {
    /// Calls a guest; fails only where the connection does.
    pub(crate) fn try_call(&self, module: &str, operation: &str, payload: &[u8]) -> io::Result<Response> {
        self.request("POST", &format!("/v1/modules/{module}/call/{}", encode(operation.as_bytes())), "", payload)
    }

    pub(crate) fn call(&self, module: &str, operation: &str, payload: &[u8]) -> Response {
        self.try_call(module, operation, payload)
            .unwrap_or_else(|error| panic!("call to {module} {operation}: {error} on {}", self.socket.display()))
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Response> {
        let mut stream = connect(&self.socket)?;
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: wapcd\r\nConnection: close\r\nContent-Length: {length}\r\n");
        // A server that has answered already may refuse the rest.
        stream.write_all(&[head.as_bytes(), headers.as_bytes(), b"\r\n", body].concat()).unwrap_or_default();
        read(stream)
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read(mut stream: UnixStream) -> io::Result<Response> {
    let mut answer = Vec::new();
    // A server that did not want all of the request resets the connection after its answer.
    if let Err(error) = stream.read_to_end(&mut answer)
        && error.kind() != io::ErrorKind::ConnectionReset
    {
        return Err(error);
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let body = answer[end + 4..].to_vec();
    // A response that was cut off is none.
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    if length.is_some_and(|length| length.trim().parse() != Ok(body.len())) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Response { status, head, body })
}

/// Percent-encodes whatever is not plain.
pub(crate) fn encode(operation: &[u8]) -> String {
    let mut text = String::with_capacity(operation.len());
    for byte in operation {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
