//! Makes a connection to the servers, and the bucket where it is missing.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Auth, AuthError, Client, ConnectOptions, Event,
    jetstream::{self, ErrorCode, context::GetStreamErrorKind, kv},
};

use crate::{
    bindings::{BindingError, secret_file, tls},
    config::Server,
    host::BoxError,
};

/// Knows how to reach the servers.
pub(super) struct Connector {
    urls: Vec<String>,
    auth: Auth,
    tls: rustls::ClientConfig,
    timeout: Duration,
    bucket: String,
}

impl Connector {
    /// Reads what the connections need: password, certificates.
    ///
    /// # Errors
    /// Something of that is missing or wrong.
    pub(super) fn new(
        name: &Arc<str>,
        server: &Server,
        bucket: &str,
        credentials: Option<&Path>,
    ) -> Result<Self, BindingError> {
        let mut auth = Auth::new();
        auth.username.clone_from(&server.user);
        if let Some(source) = &server.password {
            let password = secret_file::text(name, source, credentials)?;
            // Without a user it is a token, which servers take in its place.
            let place = if server.user.is_some() { &mut auth.password } else { &mut auth.token };
            *place = Some(password);
        }
        let (urls, timeout, bucket) = (server.urls.clone(), server.connect_timeout, bucket.to_owned());
        Ok(Self { urls, auth, tls: tls::client(name, &server.tls)?, timeout, bucket })
    }

    /// Connects, and calls `ended` when the connection is lost.
    ///
    /// A lost connection is never mended in place, as the client could: requests without a reply would wait for ever, and those
    /// that were not sent yet would be done after their callers were told that they were not. It ends, and with it
    /// all that waits; a new one is made.
    pub(super) async fn connect(&self, ended: impl Fn() + Send + Sync + 'static) -> Result<Client, BoxError> {
        let connected = Arc::new(AtomicBool::new(false));
        let (auth, was_connected) = (self.auth.clone(), Arc::clone(&connected));
        let ended = Arc::new(ended);
        let client = ConnectOptions::with_auth_callback(move |_nonce| {
            let once = if was_connected.load(Relaxed) {
                Err(AuthError::new("a lost connection is replaced, not mended"))
            } else {
                Ok(auth.clone())
            };
            std::future::ready(once)
        })
        .name("wapcd")
        .connection_timeout(self.timeout)
        // Deadlines are the callers'.
        .request_timeout(None)
        .max_reconnects(self.urls.len().max(1))
        .reconnect_delay_callback(|_| Duration::ZERO)
        .ignore_discovered_servers()
        .tls_client_config(self.tls.clone())
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                ended();
            }
            std::future::ready(())
        })
        .connect(&self.urls)
        .await?;
        connected.store(true, Relaxed);
        Ok(client)
    }

    /// Makes sure that the bucket is there and can be read.
    pub(super) async fn prepare(&self, client: &Client) -> Result<(), BoxError> {
        let jetstream = jetstream::new(client.clone());
        let stream = match jetstream.get_stream(format!("KV_{}", self.bucket)).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                let config = kv::Config { bucket: self.bucket.clone(), history: 1, ..kv::Config::default() };
                jetstream.create_key_value(config).await?.stream
            }
            Err(error) => return Err(error.into()),
        };
        if !stream.cached_info().config.allow_direct {
            let bucket = &self.bucket;
            return Err(format!(
                "bucket `{bucket}` lets nobody read directly: `nats stream edit KV_{bucket} --allow-direct`"
            )
            .into());
        }
        Ok(())
    }

    /// That no connection is there.
    pub(super) fn unconnected(&self) -> BoxError {
        std::io::Error::new(std::io::ErrorKind::NotConnected, format!("no connection to {}", self.urls.join(", ")))
            .into()
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
