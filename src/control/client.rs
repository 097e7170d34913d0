//! The client of the control API: one connection and one request at a time, typed errors.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1, header::HOST, http};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::{Action, OPERATION_HEADER, Problem, encoding, lines::Lines};

/// Where a daemon that runs as a system service has its socket.
const SYSTEM_SOCKET: &str = "/run/wapcd/wapcd.sock";

/// Longest operation, encoded, that goes into the path; a longer one goes into a header. URIs end at 65,534 bytes.
const MAX_IN_PATH: usize = 60_000;

/// Longest operation, encoded, that can be sent: the server reads a head of 131,072 bytes.
const MAX_OPERATION: usize = 130_000;

/// Why a request has no good answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens on the socket, or it may not be used.
    #[error("cannot reach wapcd on {}{}", socket.display(), missing(also))]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Where else one was looked for in vain.
        also: Vec<PathBuf>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection was taken, and broke.
    #[error("the connection to wapcd on {} broke", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// The daemon did not answer in time.
    #[error("wapcd on {} did not answer within {} s", socket.display(), waited.as_secs_f64())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// The daemon answered with a problem.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// The request cannot be sent at all.
    #[error(
        "the operation is too long: it has {length} bytes when it is encoded for the control API, and may have {MAX_OPERATION}"
    )]
    OperationTooLong {
        /// Its length when encoded.
        length: usize,
    },
    /// The request could not be put together.
    #[error("cannot make the request for {path}")]
    Request {
        /// Path of the request.
        path: String,
        /// Why not.
        #[source]
        source: http::Error,
    },
    /// Whoever listens on the socket answers with something else than wapcd would.
    #[error("the answer on {} is not one of wapcd: {what}", socket.display())]
    Foreign {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl ClientError {
    /// Whether the daemon could not be talked to, rather than having said no.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. } | Self::NoAnswer { .. } | Self::Foreign { .. })
    }
}

fn missing(also: &[PathBuf]) -> String {
    also.iter().map(|path| format!(", and there is no {}", path.display())).collect()
}

/// The client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    /// Where a socket was looked for in vain before this one was chosen.
    also: Vec<PathBuf>,
    wait: Option<Duration>,
}

impl Client {
    /// Makes a client; nothing is connected yet. `wait` bounds each request, connecting included.
    #[must_use]
    pub fn new(socket: PathBuf, wait: Option<Duration>) -> Self {
        Self { socket, also: Vec::new(), wait }
    }

    /// Makes a client of the socket that a command without `--socket` and `$WAPCD_SOCKET` means: the first that exists
    /// of the one in the user's runtime directory and the system's. Where neither exists, it is the one that a daemon
    /// of this user would make.
    #[must_use]
    pub fn by_default(wait: Option<Duration>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        // Without a directory of their own users fall back to `/tmp`, where anybody may have been first.
        let own = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.uid() == uid);
        let (socket, also) = choose_socket(env::var_os("XDG_RUNTIME_DIR").as_deref(), uid, own, Path::exists);
        Self { socket, also, wait }
    }

    /// Gets a document under `/v1/`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        self.request(Method::GET, path, None, Bytes::new()).await
    }

    /// Gets the document of a module.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn module(&self, name: &str) -> Result<Bytes, ClientError> {
        self.get(&format!("modules/{}", encoding::encode(name))).await
    }

    /// Starts, stops or restarts a module and returns its document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn act(&self, name: &str, action: Action) -> Result<Bytes, ClientError> {
        let path = format!("modules/{}/{action}", encoding::encode(name));
        self.request(Method::POST, &path, None, Bytes::new()).await
    }

    /// Gets the document of a trigger.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trigger(&self, name: &str) -> Result<Bytes, ClientError> {
        self.get(&format!("triggers/{}", encoding::encode(name))).await
    }

    /// Starts, stops or restarts a trigger and returns its document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn act_on_trigger(&self, name: &str, action: Action) -> Result<Bytes, ClientError> {
        let path = format!("triggers/{}/{action}", encoding::encode(name));
        self.request(Method::POST, &path, None, Bytes::new()).await
    }

    /// Lets a schedule begin a call at once, and returns the trigger's document.
    ///
    /// # Errors
    /// [`ClientError`]; a trigger that begins no call is a [`Problem`] of the type `trigger-refused`.
    pub async fn run_trigger(&self, name: &str) -> Result<Bytes, ClientError> {
        self.request(Method::POST, &format!("triggers/{}/run", encoding::encode(name)), None, Bytes::new()).await
    }

    /// Gives a module other code, and returns the report. `force` takes code that was rolled back before.
    ///
    /// # Errors
    /// [`ClientError`]; code that did not take over is a [`Problem`] with its causes.
    pub async fn swap(&self, name: &str, code: Bytes, force: bool) -> Result<Bytes, ClientError> {
        let path = format!("modules/{}/swap{}", encoding::encode(name), if force { "?force=true" } else { "" });
        self.request(Method::POST, &path, None, code).await
    }

    /// Gives a module the code back that ran before, and returns the report.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roll_back(&self, name: &str) -> Result<Bytes, ClientError> {
        let path = format!("modules/{}/rollback", encoding::encode(name));
        self.request(Method::POST, &path, None, Bytes::new()).await
    }

    /// Lets the daemon read its configuration again and returns the report; with `dry_run` nothing is applied.
    ///
    /// # Errors
    /// [`ClientError`]; a configuration that is refused is a [`Problem`] with all that is wrong with it.
    pub async fn reload(&self, dry_run: bool) -> Result<Bytes, ClientError> {
        let path = if dry_run { "reload?dry_run=true" } else { "reload" };
        self.request(Method::POST, path, None, Bytes::new()).await
    }

    /// Listens to a topic or pattern of a binding: a [`MessageLine`](super::MessageLine) a line, at most so many of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn listen(&self, binding: &str, topic: &str, limit: Option<u64>) -> Result<Lines, ClientError> {
        let mut path = format!("{}?topic={}", messages_of(binding), in_query(topic));
        if let Some(limit) = limit {
            path += &format!("&limit={limit}");
        }
        self.lines(&path).await
    }

    /// Publishes a message to a binding's topic, with these headers; returns what is known of it, or with `request` its
    /// answer, waited for so long.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn publish(
        &self,
        (binding, topic): (&str, &str),
        headers: &[(String, String)],
        payload: Bytes,
        request: Option<Duration>,
    ) -> Result<Bytes, ClientError> {
        let mut path = format!("{}?topic={}", messages_of(binding), in_query(topic));
        for (name, value) in headers {
            path += &format!("&header={}", in_query(&format!("{name}:{value}")));
        }
        if let Some(patience) = request {
            path += &format!("&request=true&timeout={}ms", patience.as_millis());
        }
        self.request(Method::POST, &path, None, payload).await
    }

    /// Calls a guest and returns its response.
    ///
    /// # Errors
    /// [`ClientError`]; a guest's own error is a [`Problem`] of the type `guest-error`.
    pub async fn call(&self, module: &str, operation: &str, payload: Bytes) -> Result<Bytes, ClientError> {
        let (module, operation) = (encoding::encode(module), encoding::encode(operation));
        if operation.len() > MAX_OPERATION {
            return Err(ClientError::OperationTooLong { length: operation.len() });
        }
        if operation.len() > MAX_IN_PATH {
            return self.request(Method::POST, &format!("modules/{module}/call"), Some(operation), payload).await;
        }
        self.request(Method::POST, &format!("modules/{module}/call/{operation}"), None, payload).await
    }

    /// Gets a stream of lines under `/v1/`. The wait bounds the time to its first byte, and not what follows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let request = Request::builder().uri(format!("/v1/{path}")).header(HOST, "wapcd").body(Full::default());
        let request = request.map_err(|source| ClientError::Request { path: path.to_owned(), source })?;
        let opening = async { Lines::open(self.connect().await?, request, self.socket.clone()).await };
        let (status, lines) = self.within(opening).await?;
        if status == StatusCode::OK { Ok(lines) } else { Err(self.refusal(status, &lines.whole().await?)) }
    }

    /// Reads a document that the daemon sent.
    ///
    /// # Errors
    /// [`ClientError::Foreign`] where it is another document.
    pub fn read<T: DeserializeOwned>(&self, document: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(document).map_err(|error| self.foreign(error.to_string()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        operation: Option<String>,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let mut request = Request::builder().method(method).uri(format!("/v1/{path}")).header(HOST, "wapcd");
        if let Some(operation) = operation {
            request = request.header(OPERATION_HEADER, operation);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|source| ClientError::Request { path: path.chars().take(200).collect(), source })?;
        let (status, body) = self.within(self.exchange(request)).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(self.refusal(status, &body)) }
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let Some(wait) = self.wait else { return answer.await };
        let answer = tokio::time::timeout(wait, answer).await;
        answer.map_err(|_elapsed| ClientError::NoAnswer { socket: self.socket.clone(), waited: wait })?
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.socket).await.map_err(|source| ClientError::Unreachable {
            socket: self.socket.clone(),
            also: self.also.clone(),
            source,
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let broken = |source| ClientError::Broken { socket: self.socket.clone(), source };
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection does the work and ends when the answer is there; its own error is the answer's as well.
        let (mut connection, mut answer) = (std::pin::pin!(connection), std::pin::pin!(answer));
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(broken),
            _ = &mut connection => answer.await.map_err(broken),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => self.foreign(format!("HTTP status {status} without problem details")),
        }
    }

    fn foreign(&self, what: String) -> ClientError {
        ClientError::Foreign { socket: self.socket.clone(), what }
    }
}

fn messages_of(binding: &str) -> String {
    format!("bindings/{}/messages", encoding::encode(binding))
}

/// A value in a query, where `&`, `+` and `=` mean something.
fn in_query(value: &str) -> String {
    encoding::encode(value).replace('&', "%26").replace('+', "%2B").replace('=', "%3D")
}

fn choose_socket(
    runtime_dir: Option<&OsStr>,
    uid: u32,
    own: impl Fn(&Path) -> bool,
    exists: impl Fn(&Path) -> bool,
) -> (PathBuf, Vec<PathBuf>) {
    let system = PathBuf::from(SYSTEM_SOCKET);
    let user = match runtime_dir.map(Path::new).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("wapcd/wapcd.sock"),
        None if uid == 0 => return (system, Vec::new()),
        None => PathBuf::from(format!("/tmp/wapcd-{uid}/wapcd.sock")),
    };
    match (own(&user), exists(&system)) {
        (true, _) => (user, Vec::new()),
        (false, false) if uid != 0 => (user, vec![system]),
        (false, _) => (system, vec![user]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_users_own_then_the_systems() {
        let (user, tmp, system) = ("/run/user/7/wapcd/wapcd.sock", "/tmp/wapcd-7/wapcd.sock", SYSTEM_SOCKET);
        type Row<'a> = (Option<&'a str>, u32, &'a [&'a str], &'a str, &'a [&'a str]);
        let table: [Row<'_>; 10] = [
            (None, 7, &[], tmp, &[system]),
            (Some("relative"), 7, &[], tmp, &[system]),
            (None, 7, &[system], system, &[tmp]),
            (None, 7, &[tmp, system], tmp, &[]),
            (Some("/run/user/7"), 7, &[], user, &[system]),
            (Some("/run/user/7"), 7, &[user, system], user, &[]),
            (Some("/run/user/7"), 7, &[system], system, &[user]),
            (Some("/run/user/7"), 0, &[user], user, &[]),
            (Some("/run/user/7"), 0, &[], system, &[user]),
            (None, 0, &[], system, &[]),
        ];
        for (dir, uid, existing, expected, looked) in table {
            let exists = |path: &Path| existing.iter().any(|have| Path::new(have) == path);
            let (chosen, also) = choose_socket(dir.map(OsStr::new), uid, exists, exists);
            assert_eq!(chosen, Path::new(expected), "{dir:?} {uid} {existing:?}");
            assert_eq!(also, looked.iter().map(PathBuf::from).collect::<Vec<_>>(), "{dir:?} {uid} {existing:?}");
        }
    }
}
