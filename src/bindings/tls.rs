//! TLS towards servers: one way to trust them, and to be known by them, for all bindings.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::BindingError;
use crate::{
    config::TlsFiles,
    files::secret::{read_secret, read_whole},
    host::BoxError,
};

/// The settings of a TLS client: the system's authorities, or those of `ca`; with a certificate of its own where there is one.
///
/// Blocks while files are read.
///
/// # Errors
/// A file that cannot be read, or has not what it should have.
pub(super) fn client(binding: &Arc<str>, files: &TlsFiles) -> Result<ClientConfig, BindingError> {
    let wrong = |path: &Path, source: BoxError| BindingError::Tls {
        binding: Arc::clone(binding),
        path: path.to_owned(),
        source,
    };
    let roots = match &files.ca {
        Some(path) => authorities(path).map_err(|error| wrong(path, error))?,
        None => system_authorities(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(Path::new(""), error.into()))?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert).map_err(|error| wrong(cert, error))?;
    let private = read_secret(key).map_err(BoxError::from);
    let private = private.and_then(|read| Ok(PrivateKeyDer::from_pem_slice(&read.bytes)?));
    let private = private.map_err(|error| wrong(key, error))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| wrong(cert, error.into()))
}

fn authorities(path: &Path) -> Result<RootCertStore, BoxError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let certificates = CertificateDer::pem_slice_iter(&read_whole(path)?.bytes).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err("it has no certificate in PEM".into());
    }
    Ok(certificates)
}

/// What the system trusts. Certificates that nobody can read are left out, as other programs do.
fn system_authorities() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate authority of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
