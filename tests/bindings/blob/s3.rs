//! What an S3-compatible store can do to a binding: be absent, be killed, be paused, and lose its bucket.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use wapcd::{
    bindings::BackendState,
    config::{BindingSettings, BlobBackend, SecretSource},
};

use super::{MAX_OBJECT, binding, get, put, s3};
use crate::{
    harness::{SOON, open, try_open},
    servers::{Certificates, Proxy, S3, free_port, server},
};

#[actix::test]
async fn a_binding_waits_for_a_store_that_comes_later() {
    let mut store = S3::start();
    store.kill();
    let opened = open(&s3(store.server()));
    opened.until(BackendState::Disconnected).await;
    let error = put(&opened, "m", "x", b"").await.unwrap_err();
    assert!(error.starts_with("unavailable: the server of binding `files` is down: "), "{error}");
    store.restart();
    opened.until(BackendState::Connected).await;
    put(&opened, "m", "x", b"there").await.unwrap();
    assert_eq!(get(&opened, "m", "x").await.unwrap(), b"there");
    opened.check().await.unwrap();
}

#[actix::test]
async fn a_store_that_is_killed_opens_the_circuit_and_closes_it_when_it_is_back() {
    let mut store = S3::start();
    let opened = open(&s3(store.server()));
    put(&opened, "m", "x", b"").await.unwrap();
    store.kill();
    for _ in 0..3 {
        let error = get(&opened, "m", "x").await.unwrap_err();
        assert!(error.starts_with("unavailable: the server of binding `files` "), "{error}");
    }
    opened.until(BackendState::Disconnected).await;
    let start = Instant::now();
    assert!(get(&opened, "m", "x").await.unwrap_err().starts_with("unavailable: "));
    assert!(start.elapsed() < SOON, "an open circuit answers at once");
    assert!(opened.check().await.is_err());
    store.restart();
    opened.until(BackendState::Connected).await;
    put(&opened, "m", "x", b"").await.unwrap();
    assert_eq!(opened.changes(), [BackendState::Connected, BackendState::Disconnected, BackendState::Connected]);
}

#[actix::test]
async fn calls_to_a_paused_store_count_as_failures_when_nobody_waits_any_longer() {
    let store = S3::start();
    let opened = open(&s3(store.server()));
    put(&opened, "m", "x", b"before").await.unwrap();
    store.pause();
    for _ in 0..3 {
        let waited = tokio::time::timeout(Duration::from_millis(200), get(&opened, "m", "x")).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    opened.until(BackendState::Disconnected).await;
    assert!(get(&opened, "m", "x").await.unwrap_err().starts_with("unavailable: "));
    store.resume();
    opened.until(BackendState::Connected).await;
    assert_eq!(get(&opened, "m", "x").await.unwrap(), b"before");
}

#[actix::test]
async fn an_object_that_is_cut_off_on_its_way_is_no_object() {
    let store = S3::start();
    let proxy = Proxy::to(store.port());
    let mut through = store.server();
    through.urls = vec![format!("http://{}", proxy.address())];
    let opened = open(&s3(through));
    let data = vec![7; usize::try_from(MAX_OBJECT).unwrap()];
    put(&opened, "m", "x", &data).await.unwrap();
    proxy.cut_after(20_000);
    proxy.cut();
    let error = get(&opened, "m", "x").await.unwrap_err();
    assert!(error.starts_with("unavailable: the server of binding `files` failed"), "{error}");
    proxy.pass();
    opened.until(BackendState::Connected).await;
    assert_eq!(get(&opened, "m", "x").await.unwrap(), data);
}

#[actix::test]
async fn a_bucket_that_is_not_there_is_the_servers_fault_and_no_missing_object() {
    let store = S3::start();
    let mut elsewhere = s3(store.server());
    if let BindingSettings::Blob(settings) = &mut elsewhere.settings
        && let BlobBackend::S3 { bucket, .. } = &mut settings.backend
    {
        "another".clone_into(bucket);
    }
    let opened = open(&elsewhere);
    let error = get(&opened, "m", "x").await.unwrap_err();
    assert!(error.starts_with("unavailable: ") && error.contains("404 NoSuchBucket"), "{error}");
    assert!(opened.check().await.unwrap_err().contains("404 NoSuchBucket"));
}

#[actix::test]
async fn what_a_binding_needs_is_asked_for_at_its_start_and_no_secret_is_told() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("password");
    let mut wrong = server("http://127.0.0.1:1".to_owned());
    wrong.user = Some("wapcd".to_owned());
    wrong.password = Some(SecretSource::File(file.clone()));
    let error = try_open(&s3(wrong.clone())).err().unwrap();
    assert!(error.starts_with("binding `files`: cannot read the secret in file `"), "{error}");
    fs::write(&file, b"\xff\xfe").unwrap();
    let error = try_open(&s3(wrong.clone())).err().unwrap();
    assert!(error.starts_with("binding `files`: cannot read the secret in file `"), "{error}");
    assert!(error.contains("utf-8"), "{error}");
    fs::write(&file, b"s3cr3t").unwrap();
    let opened = open(&s3(wrong.clone()));
    let error = put(&opened, "m", "x", b"").await.unwrap_err();
    assert!(error.starts_with("unavailable: ") && !error.contains("s3cr3t"), "{error}");
    // The same cause reads the same each time, and once.
    let cause = "error sending request: client error (Connect): tcp connect error: Connection refused";
    assert!(error.contains(cause) && error.matches("error sending").count() == 1 && error.len() < 250, "{error}");
    let backend = |prefix: &str| BlobBackend::S3 {
        server: wrong.clone(),
        bucket: "b".to_owned(),
        region: "r".to_owned(),
        prefix: prefix.to_owned(),
    };
    for prefix in ["/a", "a//", "../"] {
        let error = try_open(&binding(backend(prefix))).err().unwrap();
        assert!(error.starts_with(&format!("binding `files`: cannot use the prefix `{prefix}`: ")), "{error}");
    }
}

#[actix::test]
async fn a_name_that_is_no_key_with_what_stands_before_it_is_refused() {
    let store = S3::start();
    let opened = open(&s3(store.server()));
    let part = "x".repeat(254);
    let name = [&*part, &part, &part, &part, "123"].join("/");
    let error = put(&opened, "m", &name, b"").await.unwrap_err();
    assert!(error.starts_with("bad_request: the name has 1023 bytes, expected at most 1009"), "{error}");
    let name = &name[..1009];
    put(&opened, "m", name, b"").await.unwrap();
    assert_eq!(opened.call("m", "delete", json!({"name": name})).await, Ok(json!({"deleted": true})));
}

#[actix::test]
async fn a_store_is_trusted_by_its_certificate_alone() {
    let certificates = Certificates::new();
    let store = Tls::start(&certificates);
    let mut settings = server(format!("https://127.0.0.1:{}", store.port));
    settings.tls = certificates.trusted();
    let opened = open(&s3(settings.clone()));
    let start = Instant::now();
    loop {
        // It has no bucket: whoever reads that has been trusted.
        let why = opened.check().await.unwrap_err();
        if why.contains("404 NoSuchBucket") {
            break;
        }
        assert!(start.elapsed() < SOON, "{why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let others = Certificates::new();
    settings.tls = others.trusted();
    let why = open(&s3(settings)).check().await.unwrap_err();
    assert!(why.contains("invalid peer certificate"), "{why}");
}

/// A store that speaks TLS alone, and has no bucket.
struct Tls {
    process: Child,
    port: u16,
}

impl Tls {
    fn start(certificates: &Certificates) -> Self {
        let port = free_port();
        let mut command = Command::new(S3::program());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--ssl"]);
        command.arg("--ssl-cert").arg(certificates.path("server.pem"));
        command.arg("--ssl-key").arg(certificates.path("server.key"));
        Self { process: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), port }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
