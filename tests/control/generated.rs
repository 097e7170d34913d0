//! Requests that nobody would think of: the server answers every one of them, and the next.

use std::{io::Read as _, io::Write as _, os::unix::net::UnixStream, path::Path, time::Duration};

use proptest::{
    prelude::{any, prop},
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};

use crate::{
    fake::Running,
    http::{get, post, send},
};

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(&Path, S::Value)) {
    let running = Running::start();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let socket = running.socket();
    let test = |value| {
        test(&socket, value);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, test).unwrap();
    assert_eq!(get(&socket, "/v1/status").status, 200);
}

#[test]
fn every_path_has_an_answer() {
    let segment = prop::string::string_regex("[!-~&&[^#?]]{0,12}").unwrap();
    let path = prop::collection::vec(segment, 0..6).prop_map(|segments| segments.join("/"));
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"]);
    let prefix = prop::sample::select(vec![
        "/",
        "/v1/",
        "/v1/modules/",
        "/v1/modules/echo/",
        "/v1/modules/echo/call/",
        "/v1/modules/echo/swap?",
        "/v1/reload?",
        "/v1/triggers/",
        "/v1/triggers/web/",
    ]);
    run(400, (method, prefix, path), |socket, (method, prefix, path)| {
        let answer = send(socket, method, &format!("{prefix}{path}"), "", b"");
        match answer.status {
            200 => {}
            _ if method == "HEAD" => assert!(matches!(answer.status, 400 | 404 | 405)),
            // Not even a path: refused before the API sees it.
            400 if answer.body.is_empty() => {}
            status => assert!(matches!(status, 400 | 404 | 405), "{status}: {}", answer.kind()),
        }
    });
}

#[test]
fn every_operation_arrives_as_it_was_sent() {
    run(300, any::<String>(), |socket, operation| {
        let path = wapcd::control::encoding::encode(&operation);
        let answer = post(socket, &format!("/v1/modules/operation/call/{path}"), b"");
        assert_eq!((answer.status, answer.body.as_slice()), (200, operation.as_bytes()));
    });
}

#[test]
fn garbage_never_takes_the_server_down() {
    let garbage = (prop::collection::vec(any::<u8>(), 0..600), prop::bool::ANY);
    run(300, garbage, |socket, (bytes, like_http)| {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let start: &[u8] = if like_http { b"POST /v1/modules/echo/call/x HTTP/1.1\r\n" } else { b"" };
        stream.write_all(&[start, &bytes, b"\r\n\r\n"].concat()).unwrap_or_default();
        stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
        let mut answer = Vec::new();
        // A reset is an answer too; only silence is not.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer to {bytes:?}");
        }
    });
}
