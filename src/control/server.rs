//! The control server: HTTP/1.1 on the control socket, on threads of its own, so that it answers when every worker hangs.
//!
//! It owns the socket's file and its lock. It runs no guest and waits for nothing without a bound.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use actix_web::{App, HttpServer, dev, web};
use futures_util::future::{OptionFuture, join};
use thiserror::Error;
use tokio::{
    net::UnixStream,
    sync::{oneshot, watch},
};

use super::{
    daemon::Daemon, metrics::Listener, paths, peer::Peer, pulse::Pulse, routes::Api, settings::Settings,
    socket::ControlSocket,
};

/// Connections at one time; further clients wait in the kernel's backlog, and a question behind them waits with them.
/// Calls and followers, some 220 in all, may hold theirs for long; what remains is for questions and for clients that connect and
/// say nothing. Half of the 1,024 descriptors that a process usually may have: twice as many could leave none to databases.
const MAX_CONNECTIONS: usize = 512;
/// How long an idle connection is kept. Tools open one connection a request, and a script that reuses one is quick. Where
/// idle ones take all of [`MAX_CONNECTIONS`], a question waits this long for one to end.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head. On a socket of this machine it comes with the connection; clients
/// that connect and say nothing delay others as idle ones do, but no longer than this.
const HEAD_WAIT: Duration = Duration::from_secs(3);
/// How long a connection is kept to let a client read the end of a response.
const DISCONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why the control server could not be started.
#[derive(Debug, Error)]
pub enum ControlServerError {
    /// The thread could not be made.
    #[error("cannot start the control server's thread")]
    Thread(#[source] io::Error),
    /// The server refused the socket.
    #[error("the control server cannot listen on {}", socket.display())]
    Listen {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The address of the metrics cannot be had.
    #[error("cannot serve metrics on {address}, where `metrics.listen` wants them")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The thread ended before it said anything.
    #[error("the control server's thread ended while it started")]
    Ended,
}

/// The control server.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Starts to answer on a socket that was made before. Connections that already wait there are served.
    ///
    /// # Errors
    /// [`ControlServerError`]; the socket's file is gone then.
    pub fn start(
        socket: ControlSocket,
        settings: Settings,
        daemon: Arc<dyn Daemon>,
    ) -> Result<ServerHandle, ControlServerError> {
        let (started, start) = mpsc::sync_channel(1);
        let (end, end_asked) = oneshot::channel();
        let (ended, end_reached) = oneshot::channel();
        let (stopping, stop_asked) = watch::channel(false);
        let listen = |source| ControlServerError::Listen { socket: socket.path().to_owned(), source };
        let metrics = settings.metrics_listen.map(Listener::bind).transpose()?;
        let metrics_address = metrics.as_ref().map(Listener::address);
        let listener = socket.listener().map_err(listen)?;
        let api = web::Data::new(Api::new(daemon, settings, stop_asked));
        let pulse = Pulse::default();
        let listeners = Listeners { control: listener, metrics, pulse: pulse.clone() };
        let run = move || {
            actix_web::rt::System::new().block_on(serve(listeners, api, started, end_asked));
            // Nobody waits for it where the handle was dropped without a stop.
            ended.send(()).unwrap_or_default();
        };
        std::thread::Builder::new().name("control".into()).spawn(run).map_err(ControlServerError::Thread)?;
        let servers = start.recv().map_err(|mpsc::RecvError| ControlServerError::Ended)?.map_err(listen)?;
        tracing::info!(socket = %socket.path().display(), "control socket is open");
        if let Some(address) = metrics_address {
            tracing::info!(%address, "metrics are served");
        }
        Ok(ServerHandle { servers, stopping, pulse, _end: end, ended: end_reached, socket, metrics_address })
    }
}

/// A running control server. Dropping it ends the server without waiting for requests that run.
#[derive(Debug)]
pub struct ServerHandle {
    servers: Servers,
    /// Ends the streams.
    stopping: watch::Sender<bool>,
    /// Its thread, and those of the server on the socket.
    pulse: Pulse,
    /// Ends the server's thread when it is dropped, whatever the server does.
    _end: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    socket: ControlSocket,
    metrics_address: Option<SocketAddr>,
}

impl ServerHandle {
    /// Where metrics are served over TCP, with the port that was chosen.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The way to ask whether its threads turn over.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Takes no more connections, ends the streams of events after the last event, lets running requests finish for at
    /// most `grace`, and removes the socket's file.
    pub async fn stop(self, grace: Duration) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(grace, self.servers.stop()).await.is_err() {
            tracing::warn!(
                grace_ms = grace.as_millis() as u64,
                "control requests were cut off at the end of the grace time"
            );
        }
        drop(self._end);
        drop(self.socket);
        // Bounded because a thread that hangs must not keep the daemon; it dies with the process.
        if tokio::time::timeout(DISCONNECT_WAIT, self.ended).await.is_err() {
            tracing::warn!("the control server's thread did not end");
        }
    }
}

/// What the thread listens on.
struct Listeners {
    control: std::os::unix::net::UnixListener,
    metrics: Option<Listener>,
    /// What the thread answers for, and those of the control socket.
    pulse: Pulse,
}

/// Both servers of the thread, each with threads and connections of its own.
#[derive(Debug)]
struct Servers {
    control: dev::ServerHandle,
    metrics: Option<dev::ServerHandle>,
}

impl Servers {
    async fn stop(&self) {
        // A scrape is worth no wait: the next one would find nobody.
        let metrics = self.metrics.as_ref().map(|metrics| metrics.stop(false));
        join(self.control.stop(true), OptionFuture::from(metrics)).await;
    }
}

/// The life of the server's thread.
async fn serve(
    listeners: Listeners,
    api: web::Data<Api>,
    started: mpsc::SyncSender<io::Result<Servers>>,
    end: oneshot::Receiver<()>,
) {
    let Listeners { control, metrics, pulse } = listeners;
    let control = self::control(control, api.clone(), pulse.clone());
    let (control, metrics) = match (control, metrics.map(|metrics| metrics.serve(api))) {
        (Ok(control), None) => (control, None),
        (Ok(control), Some(Ok(metrics))) => (control, Some(metrics)),
        (Err(error), _) | (_, Some(Err(error))) => return started.send(Err(error)).unwrap_or_default(),
    };
    let servers = Servers { control: control.handle(), metrics: metrics.as_ref().map(dev::Server::handle) };
    started.send(Ok(servers)).unwrap_or_default();
    // It ends with the thread.
    actix_web::rt::spawn(pulse.answer());
    let report = |ended: io::Result<()>, what| {
        if let Err(error) = ended {
            tracing::error!(%error, what, "a server of the control thread failed");
        }
    };
    let metrics = async {
        if let Some(metrics) = metrics {
            report(metrics.await, "metrics");
        }
    };
    let both = join(async { report(control.await, "control") }, metrics);
    tokio::select! {
        _ = both => {}
        // An error means that the handle is gone, which is the signal.
        _ = end => {}
    }
}

/// The server on the control socket.
fn control(listener: std::os::unix::net::UnixListener, api: web::Data<Api>, pulse: Pulse) -> io::Result<dev::Server> {
    let app = move || {
        // Once on each of its threads, and there.
        actix_web::rt::spawn(pulse.clone().answer());
        App::new().app_data(api.clone()).configure(paths::configure)
    };
    let server = HttpServer::new(app)
        .workers(1)
        .worker_max_blocking_threads(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WAIT)
        .client_disconnect_timeout(DISCONNECT_WAIT)
        // Once for each connection: who it is does not change.
        .on_connect(|stream, data| {
            if let Some(stream) = stream.downcast_ref::<UnixStream>() {
                data.insert(Peer::of(stream).map_err(|error| error.to_string()));
            }
        })
        // A client that has gone is noticed, so that its call is not started for nobody.
        .h1_allow_half_closed(false)
        .disable_signals()
        // The bound is the one of `ServerHandle::stop`, which is only known then.
        .shutdown_timeout(u64::from(u32::MAX))
        .listen_uds(listener)?;
    Ok(server.run())
}
