//! Servers of a few lines on loopback, each connection in the hands of its test, and the binding that asks them.

use std::{
    error::Error,
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wapcd::{
    bindings::{Answer, BindingCall, Caller, Chain},
    config::{Binding, BindingSettings, HttpClientSettings, HttpRules, Link, Operations, Rules},
    host::LineLimit,
};

use crate::harness::{Opened, SOON, open};

/// A server that runs until its test ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

/// Starts a server that hands every connection to `handle`.
pub(super) async fn serve<F: Future<Output = ()> + 'static>(handle: impl Fn(TcpStream) -> F + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = Server { address, accepted: Arc::clone(&accepted), ended: Arc::clone(&ended) };
    actix::spawn(async move {
        let handle = Rc::new(handle);
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, SeqCst);
            let (handle, ended) = (Rc::clone(&handle), Arc::clone(&ended));
            actix::spawn(async move {
                handle(stream).await;
                ended.fetch_add(1, SeqCst);
            });
        }
    });
    server
}

/// Starts a server that answers every request, of which it is given the head and the body, until the connection ends.
pub(super) async fn answering(answer: impl Fn(&str, &[u8]) -> Vec<u8> + 'static) -> Server {
    let answer = Rc::new(answer);
    serve(move |mut stream| {
        let answer = Rc::clone(&answer);
        async move {
            while let Some((head, body)) = request(&mut stream).await {
                if stream.write_all(&answer(&head, &body)).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// Starts a server that answers the first request of every connection with these bytes and closes it.
pub(super) async fn saying(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = Rc::new(bytes.into());
    serve(move |mut stream| {
        let bytes = Rc::clone(&bytes);
        async move {
            request(&mut stream).await;
            // A client that has heard enough goes first.
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
    })
    .await
}

/// Reads a request: its head in lower case, and its body.
pub(super) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// Waits until the other side has closed its end.
pub(super) async fn closed(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    stream.read_to_end(&mut rest).await.ok();
}

/// An answer with that status line, those headers and that body.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

impl Server {
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were made.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Waits until so many connections have ended.
    pub(super) async fn until_ended(&self, connections: usize) {
        let start = Instant::now();
        while self.ended.load(SeqCst) < connections {
            assert!(start.elapsed() < SOON, "{} of {connections} connections ended", self.ended.load(SeqCst));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The binding, with small limits, and a link that lists loopback addresses.
pub(super) fn client() -> Opened {
    client_with(HttpClientSettings { max_body: 64 * 1024, ..HttpClientSettings::default() })
}

/// The binding with these settings.
pub(super) fn client_with(settings: HttpClientSettings) -> Opened {
    open(&Binding::with_defaults("web", BindingSettings::HttpClient(settings)))
}

/// Rules of a link.
pub(super) fn rules(hosts: &[&str], methods: Option<&[&str]>, addresses: &[&str]) -> Rules {
    Rules::Http(HttpRules {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        methods: methods.map(|methods| methods.iter().map(|&method| method.to_owned()).collect()),
        addresses: addresses.iter().map(|range| range.parse().unwrap()).collect(),
    })
}

/// Asks for a URL.
pub(super) async fn get(client: &Opened, url: &str) -> Result<Value, String> {
    client.call("m", "request", json!({ "url": url })).await
}

/// Asks for a URL within a time.
pub(super) async fn get_within(client: &Opened, url: &str, timeout: &str) -> Result<Value, String> {
    client.call("m", "request", json!({ "url": url, "timeout": timeout })).await
}

/// The error of a request over a link that lists loopback addresses, with all its causes, as the guest reads it.
pub(super) async fn failing(client: &Opened, request: Value) -> String {
    let caller = Caller {
        module: "m".into(),
        instance: 1,
        generation: 1,
        call: 1,
        deadline: Instant::now() + SOON,
        chain: Chain::default(),
        lines: LineLimit::default(),
    };
    let link = Link {
        binding: "web".into(),
        namespace: None,
        to: "web".into(),
        operations: Operations::All,
        required: false,
        rules: rules(&["*"], None, &["127.0.0.0/8", "::1"]),
    };
    let (payload, operation) = (serde_json::to_vec(&request).unwrap().into(), "request".to_owned());
    let call = BindingCall { caller, namespace: String::new(), operation, payload, link: Arc::new(link) };
    let reply = match client.factory().make(0).call(call) {
        Answer::Now(reply) => reply,
        Answer::Later(reply) => reply.await,
    };
    let error = reply.unwrap_err();
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The body of an answer as text.
pub(super) fn body(answer: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    String::from_utf8(STANDARD.decode(answer["body"].as_str().unwrap()).unwrap()).unwrap()
}
