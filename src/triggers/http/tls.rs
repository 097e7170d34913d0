//! Certificates of listeners: read, checked, and exchanged for the connections that come later.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    config::{SecretSource, ServerTls},
    files::read::read_settled,
    host::{BoxError, chain},
    triggers::TriggerError,
};

/// Bytes of a certificate with its chain, or of a key, at most; a mistaken path to a large file is not read.
const MAX_FILE: u64 = 1024 * 1024;

/// What clients may ask for, in our order.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate of a listener with its key.
pub(super) struct Identity {
    files: Files,
    held: ArcSwap<Held>,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// What was read last that could be used.
struct Held {
    cert: Vec<u8>,
    key: Vec<u8>,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// Reads it. Blocks while files are read.
    ///
    /// # Errors
    /// A file cannot be read or has not what it should have, or the key is that of another certificate.
    pub(super) fn read(tls: &ServerTls, credentials: Option<&Path>) -> Result<Self, TriggerError> {
        let files = Files::of(tls, credentials)?;
        let held = ArcSwap::from_pointee(Held::read(&files)?);
        Ok(Self { files, held })
    }

    /// Reads it again; whether it is another one now. New connections get it.
    ///
    /// # Errors
    /// As above; the one before goes on.
    pub(super) fn read_again(&self) -> Result<bool, TriggerError> {
        let found = Held::read(&self.files)?;
        let held = self.held.load();
        if held.cert == found.cert && held.key == found.key {
            return Ok(false);
        }
        self.held.store(Arc::new(found));
        Ok(true)
    }

    /// Where it is.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// What a new connection gets.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.held.load().config)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Files {
    fn of(tls: &ServerTls, credentials: Option<&Path>) -> Result<Self, TriggerError> {
        let key = match &tls.key {
            SecretSource::File(path) => path.clone(),
            SecretSource::Credential(name) => {
                let missing = || io::Error::new(io::ErrorKind::NotFound, "the service was given no credentials");
                credentials.ok_or_else(missing).map_err(|error| unusable(name, &error))?.join(name)
            }
        };
        Ok(Self { cert: tls.cert.clone(), key })
    }
}

impl Held {
    fn read(files: &Files) -> Result<Self, TriggerError> {
        let read = |path: &Path| {
            let read = read_settled(path, MAX_FILE).map_err(|error| unusable(path.display(), &error))?;
            Ok::<_, TriggerError>(read.bytes)
        };
        let (cert, key) = (read(&files.cert)?, read(&files.key)?);
        let chain = certificates(&cert).map_err(|error| unusable(files.cert.display(), &*error))?;
        let private = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(files.key.display(), &error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|error| {
            let why = format!("with the key in `{}`: {}", files.key.display(), self::chain(&error));
            TriggerError::Secret { file: files.cert.display().to_string(), why }
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { cert, key, config: Arc::new(config) })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err("it has no certificate in PEM".into()) } else { Ok(certificates) }
}

fn unusable(file: impl std::fmt::Display, error: &(dyn std::error::Error + 'static)) -> TriggerError {
    TriggerError::Secret { file: file.to_string(), why: chain(error) }
}
