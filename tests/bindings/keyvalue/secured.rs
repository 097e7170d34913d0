//! Servers that ask for passwords and speak TLS.

use serde_json::json;
use wapcd::{
    bindings::BackendState,
    config::{Server, TlsFiles},
};

use super::{nats, redis, set};
use crate::{
    harness::{open, try_open},
    servers::{Nats, PASSWORD, Redis},
};

#[actix::test]
async fn passwords_open_servers() {
    let (with, without) = (Redis::with_password(), Nats::with_password());
    for binding in [redis(with.server()), nats(without.server())] {
        let opened = open(&binding);
        set(&opened, "k").await.unwrap();
        assert_eq!(opened.call("m", "get", json!({"key": "k"})).await, Ok(json!({"value": "MQ=="})));
    }
}

#[actix::test]
async fn a_missing_password_is_unavailable_and_says_so() {
    let (with, without) = (Redis::with_password(), Nats::with_password());
    let bare = |server: Server| Server { user: None, password: None, ..server };
    for binding in [redis(bare(with.server())), nats(bare(without.server()))] {
        let opened = open(&binding);
        let error = set(&opened, "k").await.unwrap_err();
        assert!(error.starts_with("unavailable: the server of binding `cache` is down: "), "{error}");
        assert!(error.to_lowercase().contains("auth"), "{error}");
        assert!(!error.contains(PASSWORD));
        assert_eq!(opened.status().state, BackendState::Disconnected);
    }
}

#[actix::test]
async fn tls_is_spoken_with_those_whom_the_file_names() {
    let (one, other) = (Redis::with_tls(), Nats::with_tls());
    for binding in [redis(one.server()), nats(other.server())] {
        let opened = open(&binding);
        set(&opened, "k").await.unwrap();
    }
    // The system's authorities know nothing of these servers.
    let strange = |server: Server| Server { tls: TlsFiles::default(), ..server };
    for binding in [redis(strange(one.server())), nats(strange(other.server()))] {
        let error = set(&open(&binding), "k").await.unwrap_err();
        assert!(error.starts_with("unavailable: ") && error.contains("certificate"), "{error}");
    }
}

#[test]
fn a_file_that_is_missing_is_named_at_the_start() {
    let server = Redis::with_tls().server();
    for binding in [redis(server.clone()), nats(server)] {
        let error = try_open(&binding).map(|_| ()).unwrap_err();
        assert!(error.starts_with("binding `cache`: cannot read the secret in file `"), "{error}");
    }
}
