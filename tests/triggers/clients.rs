//! curl against `http` triggers: what it does by itself, and what it can be asked for.

use std::{net::SocketAddr, process::Command};

use crate::{
    harness::{Daemon, Home, module},
    http_tls, web,
};

/// Over the size from which curl asks before it sends; within the limit of bodies.
const LARGE: usize = 1_500_000;

/// A daemon with a plain listener, one with TLS and a Unix socket; `/private` asks for a password.
fn start() -> (Daemon, [SocketAddr; 2]) {
    let listen = format!("[\"127.0.0.1:0\", {}, \"unix:web.sock\"]", http_tls::TLS);
    let home = Home::new(&format!(
        "{}{}[[triggers.web.routes]]\npath = \"/private/{{op}}\"\nmodule = \"m\"\noperation = \"{{op}}\"\n\
         authentication = {{ basic = {{ file = \"users\" }} }}\n",
        module("m", "instances = \"per-worker\""),
        web::trigger("web", &listen, "limits = { body = \"2 MiB\" }")
    ));
    let pair = http_tls::pair();
    home.write("cert.pem", &pair.cert);
    home.write("key.pem", &pair.key);
    home.write("users", "ada:correct horse\n");
    home.write("large", "0123456789".repeat(LARGE / 10));
    home.write("too-large", vec![b'x'; 3 * 1024 * 1024]);
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let addresses = [0, 1].map(|listener| web::address(&daemon, "web", listener));
    (daemon, addresses)
}

/// What curl gets and what it says, in the daemon's directory.
fn curl(daemon: &Daemon, arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        // By itself it sends after a second, asked for or not.
        .args(["--silent", "--show-error", "--max-time", "60", "--expect100-timeout", "20"])
        .args(arguments)
        .current_dir(daemon.home().path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {} {err}", &out[..out.len().min(500)]);
    (out, err)
}

const STATUS: &str = " %{http_code}";

#[test]
fn curl_calls_over_a_unix_socket() {
    let (daemon, _) = start();
    let socket = daemon.home().path().join("run/web.sock");
    let socket = socket.to_str().unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let said =
            curl(&daemon, &["--unix-socket", socket, version, "-d", "hello", "-w", STATUS, "http://localhost/echo"]);
        assert_eq!(said.0, "hello 200");
    }
}

#[test]
fn curl_gives_its_password_when_it_is_asked() {
    let (daemon, [plain, _]) = start();
    let url = format!("http://{plain}/private/echo");
    let status = |options: &[&str]| curl(&daemon, &[options, &["-d", "hi", "-w", STATUS, "-o", "-", &url]].concat()).0;
    assert!(status(&[]).ends_with(" 401"));
    assert!(status(&["--user", "ada:wrong"]).ends_with(" 401"));
    assert_eq!(status(&["--user", "ada:correct horse"]), "hi 200");
    // It looks first which way it is asked.
    assert_eq!(status(&["--anyauth", "--user", "ada:correct horse"]), "hi 200");
}

#[test]
fn curl_sees_a_head_as_it_would_be_with_a_body() {
    let (daemon, [plain, _]) = start();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (head, _) = curl(&daemon, &["--head", version, &format!("http://{plain}/number")]);
        let head = head.to_ascii_lowercase();
        assert!(head.contains(" 200") && head.contains("content-length: 1\r\n"), "{head}");
        assert!(head.contains("wapcd-call-id: "), "{head}");
    }
}

#[test]
fn curl_asks_before_it_sends_much_and_sends_nothing_that_is_refused() {
    let (daemon, [plain, secure]) = start();
    let large = std::fs::read_to_string(daemon.home().path().join("large")).unwrap();
    let plain = format!("http://{plain}/echo");
    let secure = format!("https://localhost:{}/echo", secure.port());
    let trusted = ["--cacert", "cert.pem"];
    for (url, options) in [
        (&plain, &["--http1.1", "--verbose"][..]),
        (&plain, &["--http1.1", "--header", "transfer-encoding: chunked"]),
        (&plain, &["--http2-prior-knowledge"]),
        (&secure, &["--http1.1", "--verbose"]),
        (&secure, &["--http2"]),
    ] {
        let (answer, said) = curl(&daemon, &[&trusted, options, &["--data-binary", "@large", url]].concat());
        assert!(answer == large, "{options:?}: {} bytes came back of {}", answer.len(), large.len());
        assert!(!options.contains(&"--verbose") || said.contains("HTTP/1.1 100 Continue"), "{said}");
    }
    let refused = ["--http1.1", "-w", " %{http_code} %{size_upload}", "-o", "/dev/null"];
    let expects = ["--header", "expect: 100-continue", "--data-binary", "@too-large"];
    assert_eq!(curl(&daemon, &[&refused[..], &expects, &[&plain]].concat()).0, " 413 0");
    // Without asking it finds out while it sends.
    let blunt = ["--http1.1", "-w", STATUS, "-o", "/dev/null", "--header", "expect:", "--data-binary", "@too-large"];
    assert_eq!(curl(&daemon, &[&blunt[..], &[&plain]].concat()).0, " 413");
}

#[test]
fn curl_keeps_its_connection_and_asks_for_much_at_once() {
    let (daemon, [plain, secure]) = start();
    let url = format!("http://{plain}/echo");
    let (said, _) = curl(&daemon, &["-d", "a", "-w", " %{num_connects}\n", &url, &url, &url]);
    assert_eq!(said, "a 1\na 0\na 0\n");
    // One that offers to change to HTTP/2 on the way is answered as it asked.
    let (said, _) = curl(&daemon, &["--http2", "-d", "a", "-w", " %{http_version}", &url]);
    assert_eq!(said, "a 1.1");
    let many = format!("https://localhost:{}/echo?[1-200]", secure.port());
    let options = ["--parallel", "--parallel-max", "50", "--http2", "--cacert", "cert.pem"];
    let (said, _) =
        curl(&daemon, &[&options[..], &["-d", "a", "-w", "%{http_code} %{http_version}\n", &many]].concat());
    assert_eq!(said.matches("200 2\n").count(), 200, "{said}");
}
