//! The life of one connection on its worker: which protocol it speaks, and what each request of it becomes.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{
    answer::{Never, Peer, Site},
    body::{Answer, Asked, Busy},
    connections::{Connections, Entry, Order},
    guard::Guard,
    half_close::HalfClosing,
    handover::{Accepted, Handed},
    life::Life,
    stream::Watched,
};
use crate::{
    config::HttpLimits,
    triggers::{Caller, sockets::Stream},
};

/// Requests of one connection at once, as the common servers have it: whoever wants more opens another, which another worker
/// takes. Each may hold a body.
const STREAMS: u32 = 100;

/// What a connection reads at once at most, besides heads: half of it is what the kernel keeps of a fast client.
const READ_BUFFER: usize = 64 * 1024;

/// What all connections of a trigger share.
#[derive(Debug)]
pub(super) struct Serving {
    /// What holds now.
    pub(super) current: ArcSwap<Current>,
    pub(super) caller: Caller,
    pub(super) connections: Arc<Connections>,
    /// How many workers share the room for bodies.
    pub(super) workers: u64,
}

/// Settings that requests find.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) site: Site,
    pub(super) limits: HttpLimits,
}

/// What the requests of one connection share.
struct Line {
    serving: Arc<Serving>,
    /// Not asked for with each request: workers that count one thing's users together wait for each other.
    current: RefCell<Rc<Latest>>,
    peer: Peer,
    life: Rc<RefCell<Life>>,
    entry: Arc<Entry>,
    multiplexed: bool,
}

/// What held at the latest request of a connection.
struct Latest(Arc<Current>);

/// Serves a connection to its end. Until the first bytes have come, another worker may, where this one ends.
pub(super) async fn serve(handed: Handed<Stream>) {
    let handed = match handed.settle() {
        Ok(handed) => handed,
        Err(error) => return tracing::debug!(%error, "a connection cannot be served"),
    };
    let Accepted { tls, entry, serving } = handed.accepted.clone();
    let current = serving.current.load_full();
    let life = Rc::new(RefCell::new(Life::new(&current.limits)));
    let mut guard = Guard::new(Rc::clone(&life), Arc::clone(&entry));
    let begun = guard.run(handed.begins(), |_| {}).await;
    let Some(socket) = handed.arrive().filter(|_| matches!(begun, Some(Ok(())))) else { return };
    let peer = Peer { address: socket.peer(), secure: tls.is_some() };
    let mut socket = Watched::new(socket, Rc::clone(&life));
    let line = |multiplexed| Line {
        serving: Arc::clone(&serving),
        current: RefCell::new(Rc::new(Latest(Arc::clone(&current)))),
        peer: peer.clone(),
        life: Rc::clone(&life),
        entry: Arc::clone(&entry),
        multiplexed,
    };
    match tls {
        Some(config) => {
            let secured = guard.run(TlsAcceptor::from(config).accept(socket), |_| {}).await;
            let Some(Ok(secured)) = secured else { return };
            let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(&mut guard, secured, line(is_http2), &current.limits).await;
        }
        None => {
            let is_http2 = guard.run(socket.begins_http2(), |_| {}).await;
            let Some(Ok(is_http2)) = is_http2 else { return };
            speak(&mut guard, socket, line(is_http2), &current.limits).await;
        }
    }
}

/// Speaks the protocol that was agreed on.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    guard: &mut Guard,
    stream: S,
    line: Line,
    limits: &HttpLimits,
) {
    let head = usize::try_from(limits.head).unwrap_or(usize::MAX);
    let line = Rc::new(line);
    let service = service_fn(|request| {
        let (line, busy) = (Rc::clone(&line), Busy::begin(&line.life, line.entry.hold()));
        async move { Ok::<_, Never>(line.answer(request, busy).await) }
    });
    let ended = if line.multiplexed {
        let mut builder = http2::Builder::new(Local);
        builder.max_concurrent_streams(STREAMS).max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
        line.life.borrow_mut().multiplex();
        guard.run(builder.serve_connection(TokioIo::new(stream), service), http2::Connection::graceful_shutdown).await
    } else {
        let mut builder = http1::Builder::new();
        // Time limits are the guard's. A client that has gone is noticed, so that its call is not started for nobody; one that
        // has only closed its side is kept from being taken for that by `HalfClosing`.
        let io = TokioIo::new(HalfClosing::new(stream, Rc::clone(&line.life)));
        builder.header_read_timeout(None::<Duration>).half_close(false);
        builder.max_header_size(head).max_buf_size(head.max(READ_BUFFER));
        guard.run(builder.serve_connection(io, service), http1::Connection::graceful_shutdown).await
    };
    if let Some(Err(error)) = ended {
        // What is no request was answered before anybody here saw it.
        if error.is_parse() {
            line.entry.count(400);
        }
        tracing::trace!(%error, "a connection failed");
    }
}

impl Line {
    async fn answer(&self, request: Request<Incoming>, busy: Busy) -> Response<Answer> {
        let current = self.current();
        let room = current.0.limits.room(self.serving.workers);
        let life = (!self.multiplexed).then_some(&self.life);
        let request = request.map(|body| Asked::new(body, life, busy.held(), room));
        let fits = |bytes| busy.held().replace(bytes, room);
        let mut response = current.0.site.answer(request, &self.peer, &self.serving.caller, fits).await;
        self.entry.count(response.status().as_u16());
        if !self.multiplexed && self.entry.order() != Order::Serve {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Answer::new(body, busy.answered(Instant::now)))
    }

    fn current(&self) -> Rc<Latest> {
        let newest = self.serving.current.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(&newest, &current.0) {
            self.life.borrow_mut().limit(&newest.limits);
            *current = Rc::new(Latest(Arc::clone(&newest)));
        }
        Rc::clone(&current)
    }
}

/// Requests that share a connection live beside it on its worker.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, request: F) {
        actix::spawn(async move {
            request.await;
        });
    }
}
