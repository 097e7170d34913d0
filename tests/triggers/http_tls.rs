//! Secured connections of `http` triggers: certificates that are exchanged while connections go on, and who speaks what.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    harness::{Daemon, Home, SOON, eventually, module, pause_for},
    http_server::ask_with_curl,
    web::{self, ECHO, ask, facts},
};

/// A listener at a free port, with the certificate in the daemon's directory.
pub(crate) const TLS: &str =
    "{ address = \"127.0.0.1:0\", tls = { cert = \"cert.pem\", key = { file = \"key.pem\" } } }";

/// What takes long, as the path `/slow`; keys of a trigger, which come before its routes.
const SLOW: &str = "[[triggers.web.routes]]\npath = \"/slow\"\nmodule = \"m\"\noperation = \"wait/300/echo\"\n";

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

pub(crate) fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// A daemon that listens with this certificate.
pub(crate) fn start(pair: &Pair, keys: &str) -> (Daemon, SocketAddr) {
    // Longer than what is looked at while a call takes its time, shorter than the end of a daemon may take.
    let module = module("m", "instances = \"per-worker\"\nlimits = { call_timeout = \"10s\" }");
    let home = Home::new(&format!("{module}{}", web::trigger("web", TLS, keys)));
    home.write("cert.pem", &pair.cert);
    home.write("key.pem", &pair.key);
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    (daemon, address)
}

/// A secured connection that was asked something, for a client that trusts that certificate alone.
pub(crate) fn secured(
    address: SocketAddr,
    trusted: &Pair,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = open(address, trusted, rustls::ALL_VERSIONS)?;
    assert_eq!(ask(&mut stream, ECHO)?.status, 200);
    Ok(stream)
}

/// A secured connection that will be, for such a client that speaks these versions.
fn open(
    address: SocketAddr,
    trusted: &Pair,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.cert.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    Ok(StreamOwned::new(client, web::connect(address)?))
}

#[test]
fn clients_agree_on_their_protocol_in_the_handshake() {
    let pair = pair();
    let (daemon, address) = start(&pair, "");
    let authority = daemon.home().path().join("cert.pem");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        assert_eq!(ask_with_curl(address, &authority, option), format!("hello 200 {version}"));
    }
    assert_eq!(facts(&daemon, "web").responses, [0, 2, 0, 0, 0]);
}

#[test]
fn a_certificate_is_exchanged_while_connections_go_on_and_only_for_one_that_fits() {
    let (one, other) = (pair(), pair());
    let (daemon, address) = start(&one, "");
    let mut before = secured(address, &one).unwrap();
    // Between the two writes the key does not fit.
    replace(&daemon, "cert.pem", &other.cert);
    replace(&daemon, "key.pem", &other.key);
    eventually("new connections get the other", || secured(address, &other).is_ok());
    assert_eq!(ask(&mut before, ECHO).unwrap().status, 200);
    assert!(secured(address, &one).is_err());
    daemon.log_line(&["cert.pem", "holds from now on"]);

    replace(&daemon, "key.pem", &one.key);
    daemon.log_line(&["cannot be used"]);
    assert_eq!(ask(&mut before, ECHO).unwrap().status, 200);
    secured(address, &other).unwrap();
    assert_eq!(daemon.log().matches("cannot be used").count(), 1);
}

/// As programs that renew certificates write them: beside, then in place.
pub(crate) fn replace(daemon: &Daemon, name: &str, text: &str) {
    let path = daemon.home().path().join(name);
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, &path).unwrap();
}

#[test]
fn a_reload_with_a_certificate_that_cannot_be_used_changes_nothing() {
    let pair = pair();
    let (daemon, address) = start(&pair, "");
    daemon.home().write("bad.pem", "nothing");
    let listen = TLS.replace("cert.pem", "bad.pem");
    daemon.home().configure(&format!("{}{}", module("m", ""), web::trigger("web", &listen, "")));
    let refused = daemon.wapcctl(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("bad.pem`: it has no certificate in PEM"), "{said}");
    secured(address, &pair).unwrap();
}

#[test]
fn a_handshake_that_does_not_come_ends_in_its_time() {
    let (daemon, address) = start(&pair(), "limits = { head_timeout = \"300ms\" }");
    let start = Instant::now();
    let mut silent = web::connect(address).unwrap();
    let mut plain = web::connect(address).unwrap();
    std::io::Write::write_all(&mut plain, ECHO).unwrap();
    web::rest(&mut plain);
    assert_eq!(web::rest(&mut silent), "");
    assert!((290..25_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    eventually("connections are gone", || facts(&daemon, "web").connections == 0);
}

#[test]
fn credentials_are_exchanged_when_their_file_changes() {
    let keys = "access_log = false";
    let home = Home::new(&with_token(keys));
    home.write("tokens", "first\n");
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    let status = |token: &str| {
        let request = format!("GET /echo HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
        ask(&mut web::connect(address).unwrap(), request.as_bytes()).unwrap().status
    };
    assert_eq!((status("first"), status("second")), (200, 401));
    replace(&daemon, "tokens", "second\n");
    eventually("the other holds", || status("second") == 200);
    assert_eq!(status("first"), 401);
    assert!(Path::new(&daemon.home().path().join("tokens")).exists());
    daemon.log_line(&["tokens", "holds from now on"]);
}

fn with_token(keys: &str) -> String {
    let trigger = web::trigger("web", "\"127.0.0.1:0\"", keys);
    format!("{}{trigger}authentication = {{ token = {{ file = \"tokens\" }} }}\n", module("m", ""))
}

#[test]
fn a_client_that_says_that_it_sends_nothing_more_after_its_request_gets_its_answers() {
    let pair = pair();
    let (_daemon, address) = start(&pair, SLOW);
    let body = "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    let empty = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for (requests, answers) in [(body.to_owned(), 1), (empty.repeat(3), 3)] {
            let mut stream = open(address, &pair, versions).unwrap();
            stream.write_all(requests.as_bytes()).unwrap();
            end(&mut stream);
            let mut said = String::new();
            stream.read_to_string(&mut said).expect("the connection ends after its answers, and says so");
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), answers, "{requests}: {said}");
        }
        // What breaks off is no request.
        let mut stream = open(address, &pair, versions).unwrap();
        stream.write_all(&body.as_bytes()[..body.len() - 1]).unwrap();
        end(&mut stream);
        let mut said = Vec::new();
        stream.read_to_end(&mut said).map(drop).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
    }
}

#[test]
fn a_client_that_ends_a_secured_connection_later_has_gone() {
    let pair = pair();
    let (daemon, address) = start(&pair, &SLOW.replace("wait/300", "wait/25000"));
    let ask = || {
        let mut stream = open(address, &pair, rustls::ALL_VERSIONS).unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        stream
    };
    let _first: Vec<_> = (0..2).map(|_| ask()).collect();
    eventually("both instances are at work", || daemon.module("m").in_flight == 2);
    let mut third = ask();
    eventually("the third waits", || daemon.module("m").queued == 1);
    pause_for(Duration::from_secs(1));
    end(&mut third);
    eventually("nobody waits", || daemon.module("m").queued == 0);
}

/// Says that nothing more is sent, and goes on reading.
fn end(stream: &mut StreamOwned<ClientConnection, TcpStream>) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

#[test]
fn one_client_that_hangs_in_its_handshake_holds_up_nobody() {
    let pair = pair();
    let (_daemon, address) = start(&pair, "limits = { head_timeout = \"1m\" }");
    let _silent: Vec<_> = (0..50).map(|_| web::connect(address).unwrap()).collect();
    let start = Instant::now();
    secured(address, &pair).unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}
