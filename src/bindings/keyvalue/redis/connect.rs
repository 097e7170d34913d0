//! Makes one connection to the server: TCP, TLS, password, database.

use std::{fmt, io, path::Path, sync::Arc};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    bindings::{BindingError, secret_file, tls},
    config::Server,
    host::BoxError,
};

/// Requests that may wait to be written to one connection; beyond them a caller waits before it has sent anything. The
/// bindings' own limits come first, so this one only saves the moments in which a connection is busy writing.
const WAITING: usize = 1024;

/// Knows how to reach the server.
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<Tls>,
    settings: RedisConnectionInfo,
}

struct Tls {
    connector: TlsConnector,
    server: ServerName<'static>,
}

/// What moves the bytes of a connection; it ends when the connection does.
pub(super) type Driver = futures_util::future::BoxFuture<'static, ()>;

impl Connector {
    /// Reads what the connections need: password, certificates.
    ///
    /// # Errors
    /// Something of that is missing or wrong.
    pub(super) fn new(name: &Arc<str>, server: &Server, credentials: Option<&Path>) -> Result<Self, BindingError> {
        let wrong = |what: &str, source: BoxError| BindingError::Backend {
            binding: Arc::clone(name),
            what: what.to_owned(),
            source,
        };
        let url = server.urls.first().map_or("", String::as_str);
        let info: ConnectionInfo =
            url.into_connection_info().map_err(|error| wrong("use its `url`", Box::new(error)))?;
        let (host, port, is_tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, false),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => (host.clone(), *port, true),
            _ => return Err(wrong("use its `url`", "it is neither `redis://` nor a verified `rediss://`".into())),
        };
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &server.user {
            settings = settings.set_username(user);
        }
        if let Some(source) = &server.password {
            settings = settings.set_password(secret_file::text(name, source, credentials)?);
        }
        let tls = if is_tls {
            let connector = TlsConnector::from(Arc::new(tls::client(name, &server.tls)?));
            let server = ServerName::try_from(host.clone());
            Some(Tls { connector, server: server.map_err(|error| wrong("verify its host", Box::new(error)))? })
        } else {
            None
        };
        Ok(Self { host, port, tls, settings })
    }

    /// Makes a connection. Whoever called gives the driver a task.
    pub(super) async fn connect(&self) -> Result<(MultiplexedConnection, Driver), BoxError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        // Each request is written whole: holding back its end would only delay it.
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => self.greet(tls.connector.connect(tls.server.clone(), stream).await?).await,
            None => self.greet(stream).await,
        }
    }

    async fn greet(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(MultiplexedConnection, Driver), BoxError> {
        // Deadlines are the callers', and the time for connecting is the circuit's.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let made: RedisResult<_> = MultiplexedConnection::new_with_config(&self.settings, stream, config).await;
        let (connection, driver) = made?;
        Ok((connection, Box::pin(driver)))
    }

    /// That no connection is there.
    pub(super) fn unconnected(&self) -> BoxError {
        io::Error::new(io::ErrorKind::NotConnected, format!("no connection to {self}")).into()
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
