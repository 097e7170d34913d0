//! The metrics over TCP: a server of its own, so that nothing that a scraper does can hurt the control socket.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{App, HttpServer, dev, rt::net::TcpStream, web};
use rustix::net::sockopt::set_tcp_user_timeout;

use crate::control::{paths, routes::Api, server::ControlServerError};

/// Connections at one time; further scrapers wait in the kernel's backlog. Prometheus keeps one; each page may be megabytes.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection is kept between scrapes. Longer than the usual 15 s between two, at the cost of a descriptor.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a scraper may take to send its request, or to close. On a network this is a long time for a few lines.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a scraper may leave what was sent to it unread, in milliseconds; Prometheus itself gives up after 10 s.
const UNREAD_MS: u32 = 30_000;

/// The address of the metrics, open, and not served yet.
#[derive(Debug)]
pub(in crate::control) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens the address.
    pub(in crate::control) fn bind(address: SocketAddr) -> Result<Self, ControlServerError> {
        let failed = |source| ControlServerError::Metrics { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub(in crate::control) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer.
    pub(in crate::control) fn serve(self, api: web::Data<Api>) -> io::Result<dev::Server> {
        let server = HttpServer::new(move || App::new().app_data(api.clone()).configure(paths::configure_metrics))
            .workers(1)
            .worker_max_blocking_threads(1)
            .max_connections(MAX_CONNECTIONS)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(PATIENCE)
            .client_disconnect_timeout(PATIENCE)
            .h1_allow_half_closed(false)
            .on_connect(|stream, _data| {
                // Without it, a scraper that stops to read keeps its connection for ever; where the kernel refuses, all
                // else works.
                if let Some(stream) = stream.downcast_ref::<TcpStream>()
                    && let Err(error) = set_tcp_user_timeout(stream, UNREAD_MS)
                {
                    tracing::debug!(%error, "a connection for metrics has no time limit");
                }
            })
            .disable_signals()
            .shutdown_timeout(0)
            .listen(self.listener)?;
        Ok(server.run())
    }
}
