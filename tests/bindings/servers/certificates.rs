//! A certificate authority of a test's own, a certificate for servers on the loopback interface and one for a client.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use wapcd::config::TlsFiles;

/// Files of TLS in a directory of their own.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes an authority, and certificates for `localhost` and 127.0.0.1 and for a client named `wapcd`.
    pub(crate) fn new() -> Self {
        let certificates = Self { directory: tempfile::tempdir().unwrap() };
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(certificates.path("ca.pem"), authority.pem()).unwrap();
        for (file, names, purpose) in [
            ("server", ["localhost", "127.0.0.1"].as_slice(), ExtendedKeyUsagePurpose::ServerAuth),
            ("client", [super::USER].as_slice(), ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![purpose];
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(certificates.path(&format!("{file}.pem")), certificate.pem()).unwrap();
            fs::write(certificates.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
        }
        certificates
    }

    /// One of `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a binding needs to trust the server.
    pub(crate) fn trusted(&self) -> TlsFiles {
        TlsFiles { ca: Some(self.path("ca.pem")), cert: None, key: None }
    }
}
