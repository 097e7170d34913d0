//! The connections to an S3-compatible store: TLS as all bindings have it, no proxy of the environment, and the store's
//! refusals as errors that can be told apart.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::failure::Refusal;
use crate::{
    bindings::{BindingError, tls},
    config::Server,
    host::BoxError,
};

/// How long a connection is kept that nobody uses: less than stores and what stands before them do, so that a request does
/// not meet a connection that is being closed.
const IDLE: Duration = Duration::from_secs(4);

/// Bytes of a refusal that are read at most; the code and message of S3 are in the first few hundred.
const MAX_REFUSAL: usize = 16 * 1024;

/// Gives the client of one store to `object_store`.
#[derive(Debug, Clone)]
pub(super) struct Connector(reqwest::Client);

impl Connector {
    /// Blocks while the files of TLS are read.
    pub(super) fn new(name: &Arc<str>, server: &Server, endpoint: &str) -> Result<Self, BindingError> {
        let is_https = endpoint.starts_with("https:");
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(server.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(usize::try_from(server.connections).unwrap_or(usize::MAX))
            .https_only(is_https)
            .user_agent(concat!("wapcd/", env!("CARGO_PKG_VERSION")));
        builder = builder.tls_backend_preconfigured(tls::client(name, &server.tls)?);
        let client = builder.build().map_err(|error| BindingError::Backend {
            binding: Arc::clone(name),
            what: "prepare connections to its server".to_owned(),
            source: error.into(),
        })?;
        Ok(Self(client))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

struct Service(reqwest::Client);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl HttpService for Service {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let response = HttpService::call(&self.0, request).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let refusal = Refusal::read(status.as_u16(), &start(response).await);
            Err(HttpError::new_boxed(HttpErrorKind::Unknown, BoxError::from(refusal)))
        })
    }
}

/// The start of a response's body, as far as it comes.
async fn start(response: HttpResponse) -> Vec<u8> {
    use futures_util::StreamExt;
    let mut stream = response.into_body().bytes_stream();
    let mut read = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        let room = MAX_REFUSAL - read.len();
        read.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        if read.len() == MAX_REFUSAL {
            break;
        }
    }
    read
}
