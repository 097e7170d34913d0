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
    files::{
        read::{ReadError, ReadFile},
        secret::{read_secret, read_whole},
        watch::{Target, TargetKind},
    },
    host::{BoxError, chain},
    triggers::TriggerError,
};

/// What clients may ask for, in our order.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate of a listener with its key.
pub(super) struct Identity {
    files: Files,
    held: ArcSwap<Held>,
}

/// Where a certificate and its key are.
#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What was read last that could be used.
struct Held {
    cert: ReadFile,
    key: ReadFile,
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
        if held.cert.bytes == found.cert.bytes && held.key.bytes == found.key.bytes {
            return Ok(false);
        }
        self.held.store(Arc::new(found));
        Ok(true)
    }

    /// Where it is.
    pub(super) fn files(&self) -> [&Path; 2] {
        [&self.files.cert, &self.files.key]
    }

    /// Its files, to be watched for what comes after that which was read.
    pub(super) fn targets(&self) -> [Target; 2] {
        let held = self.held.load();
        let target = |path: &Path, read: &ReadFile| Target {
            path: path.to_owned(),
            kind: TargetKind::File { seen: Some(read.fingerprint) },
        };
        [target(&self.files.cert, &held.cert), target(&self.files.key, &held.key)]
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
        let named = |path: &Path, read: Result<_, ReadError>| read.map_err(|error| unusable(path.display(), &error));
        let cert = named(&files.cert, read_whole(&files.cert))?;
        let key = named(&files.key, read_secret(&files.key))?;
        let chain = certificates(&cert.bytes).map_err(|error| unusable(files.cert.display(), &*error))?;
        let private = PrivateKeyDer::from_pem_slice(&key.bytes);
        let private = private.map_err(|error| unusable(files.key.display(), &error))?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    struct Pair {
        cert: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn tls(directory: &Path) -> ServerTls {
        ServerTls { cert: directory.join("cert.pem"), key: SecretSource::Credential("key.pem".to_owned()) }
    }

    fn write(directory: &Path, cert: &str, key: &str) {
        fs::write(directory.join("cert.pem"), cert).unwrap();
        fs::write(directory.join("key.pem"), key).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let (one, other) = (pair(), pair());
        let error = || Identity::read(&tls(at), Some(at)).unwrap_err().to_string();
        let cert = at.join("cert.pem").display().to_string();
        let key = at.join("key.pem").display().to_string();
        assert!(error().starts_with(&format!("cannot use `{cert}`: cannot read")), "{}", error());
        write(at, "nothing", &one.key);
        assert_eq!(error(), format!("cannot use `{cert}`: it has no certificate in PEM"));
        write(at, &one.cert, "s3cret");
        assert!(error().starts_with(&format!("cannot use `{key}`: ")) && !error().contains("s3cret"), "{}", error());
        write(at, &one.cert, &other.key);
        assert!(error().starts_with(&format!("cannot use `{cert}`: with the key in `{key}`: ")), "{}", error());
        let error = Identity::read(&tls(at), None).unwrap_err().to_string();
        assert_eq!(error, "cannot use `key.pem`: the service was given no credentials");
    }

    #[test]
    fn a_pair_is_exchanged_only_for_another_that_fits() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let (one, other) = (pair(), pair());
        write(at, &one.cert, &one.key);
        let identity = Identity::read(&tls(at), Some(at)).unwrap();
        let before = identity.config();
        assert!(!identity.read_again().unwrap());
        write(at, &other.cert, &one.key);
        identity.read_again().unwrap_err();
        assert!(Arc::ptr_eq(&before, &identity.config()));
        write(at, &other.cert, &other.key);
        assert!(identity.read_again().unwrap());
        assert!(!Arc::ptr_eq(&before, &identity.config()));
    }
}
