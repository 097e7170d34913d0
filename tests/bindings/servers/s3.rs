//! An S3-compatible store, which keeps its objects in memory: they are gone after [`Running::restart`], the bucket is not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
};

use wapcd::config::Server;

use super::{Running, USER, password_file, programs::MOTO, running::Recipe};

/// A store with one bucket.
pub(crate) struct S3 {
    running: Running,
}

struct Moto;

impl Recipe for Moto {
    fn command(&self, _directory: &Path, port: u16) -> Command {
        let mut command = Command::new(MOTO.find());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]).env("PYTHONUNBUFFERED", "1");
        command
    }

    fn ready(&self) -> &'static str {
        "Running on http"
    }

    fn started(&self, port: u16) {
        let answer = request(port, "PUT", &format!("/{}", S3::BUCKET));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl S3 {
    /// The bucket.
    pub(crate) const BUCKET: &'static str = "objects";

    /// The region.
    pub(crate) const REGION: &'static str = "us-east-1";

    /// Starts one with an empty bucket.
    pub(crate) fn start() -> Self {
        Self { running: Running::start(Moto, |_| ()) }
    }

    /// The program of the store.
    pub(crate) fn program() -> PathBuf {
        MOTO.find()
    }

    /// `http://` and the address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// How a binding reaches it.
    pub(crate) fn server(&self) -> Server {
        let mut server = super::server(self.url());
        server.user = Some(USER.to_owned());
        server.password = Some(password_file(self.running.directory()));
        server
    }
}

/// Sends a request without a body and reads the whole answer.
fn request(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

impl Deref for S3 {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for S3 {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
