//! Who the server is, how it is reached, and the pool of connections to it.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::{
    bindings::{BindingContext, BindingError, circuit::Probe, secret_file, tls},
    config::Server,
    host::BoxError,
};

/// What is said of a connection to the server, in its own lists.
const APPLICATION: &str = "wapcd";

/// How the server is reached.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    /// How the connection is secured, also that of a request to cancel.
    pub(super) tls: MakeRustlsConnect,
    /// How long anything may take that the server does at once.
    pub(super) patience: Duration,
}

impl Target {
    /// What the settings say, with the secrets that they name.
    pub(super) fn new(binding: &Arc<str>, server: &Server, context: &BindingContext) -> Result<Self, BindingError> {
        let wrong = |source: BoxError| BindingError::Backend {
            binding: Arc::clone(binding),
            what: "read the URL of its server".to_owned(),
            source,
        };
        let mut config = config(server).map_err(wrong)?;
        config.application_name(APPLICATION).connect_timeout(server.connect_timeout);
        if let Some(user) = &server.user {
            config.user(user);
        }
        if let Some(source) = &server.password {
            let secret = secret_file::read(binding, source, context.credentials.as_deref())?;
            config.password(secret.bytes());
        }
        let tls = MakeRustlsConnect::new(tls::client(binding, &server.tls)?);
        Ok(Self { config, tls, patience: server.connect_timeout })
    }

    /// A pool that makes connections when they are needed.
    pub(super) fn pool(&self, binding: &Arc<str>, connections: usize) -> Result<Pool, BindingError> {
        // What a guest left behind is cleared away when its call is over, not when the next begins.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), recycling);
        Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(self.patience))
            .recycle_timeout(Some(self.patience))
            .build()
            .map_err(|error| BindingError::Backend {
                binding: Arc::clone(binding),
                what: "make its pool of connections".to_owned(),
                source: error.into(),
            })
    }

    /// Asks the server over a connection of its own, so that a pool in which all are busy is no failure.
    pub(super) fn probe(&self) -> Probe {
        let target = self.clone();
        Arc::new(move || {
            let target = target.clone();
            Box::pin(async move {
                let asked = tokio::time::timeout(target.patience, target.ask()).await;
                asked.map_err(|_elapsed| format!("no answer within {} ms", target.patience.as_millis()))?
            })
        })
    }

    async fn ask(&self) -> Result<(), BoxError> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let asked = async {
            client.simple_query("SELECT 1").await?;
            // The connection ends when its client is gone.
            drop(client);
            Ok(())
        };
        let (asked, ended) = tokio::join!(asked, connection);
        asked.and(ended.map_err(Into::into))
    }
}

/// The URL as the client has it. Without `sslmode` the connection is secured where files of TLS are given, and only then.
/// The server's certificate is always verified, so `verify-ca` and `verify-full` are `require`.
fn config(server: &Server) -> Result<Config, BoxError> {
    let mut url = Url::parse(server.urls.first().ok_or("there is none")?)?;
    let (mut mode, mut others) = (None, Vec::new());
    for (key, value) in url.query_pairs() {
        match &*key {
            "sslmode" => mode = Some(value.into_owned()),
            _ => others.push((key.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    let files = server.tls.ca.is_some() || server.tls.cert.is_some();
    let mode = match mode.as_deref() {
        None if files => SslMode::Require,
        None | Some("disable") => SslMode::Disable,
        Some("prefer") => SslMode::Prefer,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        Some(other) => {
            return Err(format!("`sslmode` is {other:?}, expected disable, prefer, require or verify-full").into());
        }
    };
    let mut config: Config = url.as_str().parse()?;
    config.ssl_mode(mode);
    Ok(config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{Circuit, TlsFiles};

    fn mode(url: &str, tls: TlsFiles) -> Result<SslMode, String> {
        let server = Server {
            urls: vec![url.to_owned()],
            user: None,
            password: None,
            tls,
            connect_timeout: Duration::from_secs(1),
            connections: 1,
            circuit: Circuit::default(),
        };
        config(&server).map(|config| config.get_ssl_mode()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_url_says_whether_the_connection_is_secured_and_files_of_tls_say_it_too() {
        let none = TlsFiles::default();
        let files = TlsFiles { ca: Some("/ca.pem".into()), ..none.clone() };
        assert_eq!(mode("postgres://h/db", none.clone()), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://h/db", files.clone()), Ok(SslMode::Require));
        assert_eq!(mode("postgres://h/db?sslmode=disable", files), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://h/db?sslmode=verify-full&application_name=x", none.clone()), Ok(SslMode::Require));
        assert_eq!(mode("postgres://h/db?sslmode=prefer", none.clone()), Ok(SslMode::Prefer));
        assert!(mode("postgres://h/db?sslmode=maybe", none).unwrap_err().contains("\"maybe\""));
    }
}
