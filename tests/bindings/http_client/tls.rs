//! Whom the client trusts, how it makes itself known, and HTTP/2.

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use wapcd::config::{Binding, BindingSettings, HttpClientSettings, TlsFiles};

use super::server::{Server, answer, body, client_with, failing, get, request, serve};
use crate::harness::{Opened, try_open};

/// An authority of its own, with its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// A server with a certificate for that name, which asks for one of this authority where it shall.
    async fn server(&self, name: &str, asks: bool, http2: bool) -> Server {
        let Identity { certificate, key, .. } = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.unwrap().with_client_cert_verifier(verifier)
        } else {
            builder.unwrap().with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        if http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        serve(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // A client that does not trust this goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if http2 {
                    return answer_http2(h2::server::handshake(stream).await.unwrap()).await;
                }
                while let Some((head, _)) = request(&mut stream).await {
                    let down = format!("location: http://{}/\r\n", "127.0.0.1:1");
                    let said = if head.starts_with("get /down") {
                        answer("302 Found", &down, "")
                    } else {
                        answer("200 OK", "", "secure")
                    };
                    stream.write_all(&said).await.unwrap();
                }
            }
        })
        .await
    }
}

async fn answer_http2<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut connection: h2::server::Connection<S, Bytes>,
) {
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = http::Response::builder().status(200).header("x", "1").header("x", "2").body(()).unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from_static(b"two"), true).unwrap();
    }
}

fn client(tls: TlsFiles) -> Opened {
    client_with(HttpClientSettings { tls, ..HttpClientSettings::default() })
}

fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.address.port())
}

#[actix::test]
async fn only_the_authorities_that_are_named_are_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("localhost", false, false).await;
    let trusting = client(TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() });
    assert_eq!(body(&get(&trusting, &url(&server, "/")).await.unwrap()), "secure");
    for tls in [TlsFiles { ca: Some(other.ca()), ..TlsFiles::default() }, TlsFiles::default()] {
        let error = failing(&client(tls), json!({"url": url(&server, "/secret")})).await;
        let expected = format!("unavailable: host `localhost:{}` cannot be reached: ", server.address.port());
        assert!(error.starts_with(&expected) && error.contains("invalid peer certificate: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let misnamed = authority.server("elsewhere.test", false, false).await;
    let error = failing(&trusting, json!({"url": url(&misnamed, "/")})).await;
    assert!(error.starts_with("unavailable: ") && error.contains("not valid for name"), "{error}");
}

#[actix::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let authority = Authority::new();
    let server = authority.server("localhost", false, false).await;
    let trusting = client(TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() });
    let error = get(&trusting, &url(&server, "/down")).await.unwrap_err();
    assert!(error.starts_with("not_allowed: ") && error.contains("from `https` to `http`"), "{error}");
}

#[actix::test]
async fn a_server_that_asks_for_a_certificate_is_shown_the_one_of_the_binding() {
    let authority = Authority::new();
    let server = authority.server("localhost", true, false).await;
    let own = authority.issue("wapcd", ExtendedKeyUsagePurpose::ClientAuth);
    let (cert, key) = (authority.directory.path().join("own.pem"), authority.directory.path().join("own.key"));
    fs::write(&cert, &own.pem).unwrap();
    fs::write(&key, own.key.serialize_pem()).unwrap();
    let known = client(TlsFiles { ca: Some(authority.ca()), cert: Some(cert), key: Some(key) });
    assert_eq!(body(&get(&known, &url(&server, "/")).await.unwrap()), "secure");
    let unknown = client(TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() });
    let error = get(&unknown, &url(&server, "/")).await.unwrap_err();
    assert!(error.starts_with(&format!("unavailable: host `localhost:{}` ", server.address.port())), "{error}");
}

#[actix::test]
async fn requests_share_one_connection_of_http2() {
    let authority = Authority::new();
    let server = authority.server("localhost", false, true).await;
    let client = client(TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() });
    let first = get(&client, &url(&server, "/")).await.unwrap();
    assert_eq!((&*body(&first), &first["headers"]["x"]), ("two", &json!(["1", "2"])));
    let url = url(&server, "/");
    let all = futures_util::future::join_all((0..30).map(|_| get(&client, &url))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(server.accepted(), 1);
}

#[actix::test]
async fn files_that_are_not_what_they_should_be_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let tls = TlsFiles { ca: Some(path.clone()), ..TlsFiles::default() };
        let settings = HttpClientSettings { tls, ..HttpClientSettings::default() };
        let error = try_open(&Binding::with_defaults("web", BindingSettings::HttpClient(settings))).err().unwrap();
        assert!(error.starts_with(&format!("binding `web`: cannot use `{}` for TLS: ", path.display())), "{error}");
    }
}
