//! What is sent, what comes back, and on which connection.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wapcd::config::HttpClientSettings;

use super::server::{
    answer, answering, body, client, client_with, closed, failing, get, get_within, request, rules, serve,
};
use crate::{
    harness::{Bin, Format, SOON},
    servers::free_port,
};

#[derive(Serialize)]
struct Post {
    method: &'static str,
    url: String,
    headers: Value,
    body: Bin,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    headers: Value,
    body: Bin,
    url: String,
}

#[actix::test]
async fn a_request_arrives_as_it_was_meant_and_its_answer_too() {
    let server = answering(|head, body| {
        let mut answer = format!(
            "HTTP/1.1 404 Gone fishing\r\nX-One: 1\r\nx-two: a\r\nX-TWO: b, c\r\nx-latin: h\u{e4}\r\ncontent-length: {}\r\n\r\n",
            head.len() + body.len()
        )
        .into_bytes();
        answer.extend(head.bytes());
        answer.extend(body);
        answer
    })
    .await;
    let client = client();
    for format in Format::ALL {
        let post = Post {
            method: "post",
            url: server.url("/a?b=c"),
            headers: json!({"X-Own": "v", "x-more": ["1", "2"]}),
            body: Bin(vec![0, 255, 10]),
        };
        let Answer { status, headers, body, url } = client.ask(format, "m", "request", &post).await.unwrap();
        assert_eq!((status, url), (404, server.url("/a?b=c")));
        assert_eq!(headers["x-two"], json!(["a", "b, c"]));
        assert_eq!((&headers["x-one"], &headers["x-latin"]), (&json!(["1"]), &json!(["hä"])));
        assert!(body.0.ends_with(&[0, 255, 10]));
        let head = String::from_utf8(body.0[..body.0.len() - 3].to_vec()).unwrap();
        assert!(head.starts_with("post /a?b=c http/1.1\r\n"), "{head}");
        for line in ["x-own: v", "x-more: 1", "x-more: 2", "user-agent: wapcd", "content-length: 3"] {
            assert!(head.lines().any(|sent| sent == line), "{line}: {head}");
        }
        assert!(head.contains(&format!("host: {}\r\n", server.address)), "{head}");
        for unwanted in ["cookie", "referer", "accept-encoding"] {
            assert!(!head.contains(unwanted), "{head}");
        }
    }
    assert_eq!(server.accepted(), 1);
}

#[actix::test]
async fn answers_without_a_body_are_answers() {
    let server = answering(|head, _| match head.split(' ').next().unwrap() {
        "head" => b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec(),
        "delete" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "put" => b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
        _ => answer("500 Oh", "", ""),
    })
    .await;
    let client = client();
    for (method, status) in [("HEAD", 200), ("DELETE", 204), ("PUT", 304), ("PATCH", 500), ("PROPFIND", 500)] {
        let request = json!({"url": server.url("/"), "method": method, "headers": {"user-agent": "me"}});
        let answer = client.call("m", "request", request).await.unwrap();
        assert_eq!((&answer["status"], &answer["body"]), (&json!(status), &json!("")), "{method}");
    }
    assert_eq!(server.accepted(), 1);
}

#[actix::test]
async fn a_body_is_passed_on_as_it_came() {
    let server = answering(|_, _| {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\n".to_vec();
        answer.extend(b"\x1f\x8b\x08zz");
        answer
    })
    .await;
    let answer = get(&client(), &server.url("/")).await.unwrap();
    assert_eq!((&answer["body"], &answer["headers"]["content-encoding"]), (&json!("H4sIeno="), &json!(["gzip"])));
}

#[actix::test]
async fn a_connection_serves_only_links_that_list_the_same_addresses() {
    let server = answering(|_, _| answer("200 OK", "", "hello")).await;
    let client = client();
    let url = server.url("/");
    for _ in 0..5 {
        get(&client, &url).await.unwrap();
    }
    assert_eq!(server.accepted(), 1);
    let named = format!("http://localhost:{}/", server.address.port());
    let other = client.with_rules(rules(&["*"], None, &["127.0.0.1"]));
    get(&other, &named).await.unwrap();
    get(&other, &named).await.unwrap();
    assert_eq!(server.accepted(), 2);
    // The connections of others are there, and of no use to a link that lists nothing.
    let public = client.with_rules(rules(&["*"], None, &[]));
    for url in [&url, &named] {
        let error = get(&public, url).await.unwrap_err();
        assert!(error.starts_with("not_allowed: the address of host `"), "{error}");
        assert!(error.contains("is loopback, and not among the `addresses` of the link"), "{error}");
    }
    assert_eq!(server.accepted(), 2);
}

#[actix::test]
async fn a_link_decides_hosts_ports_and_methods() {
    let server = answering(|_, _| answer("200 OK", "", "")).await;
    let port = server.address.port();
    let only = client().with_rules(rules(&[&format!("localhost:{port}"), "a.test"], Some(&["GET"]), &["127.0.0.1"]));
    get(&only, &format!("http://LOCALHOST:{port}/")).await.unwrap();
    for (method, url, expected) in [
        ("GET", server.url("/"), format!("host `{}` is not among the `hosts` of the link", server.address)),
        ("GET", "http://localhost:1/".into(), "host `localhost:1` is not among the `hosts` of the link".into()),
        ("GET", "https://b.a.test/?secret".into(), "host `b.a.test:443` is not among the `hosts` of the link".into()),
        ("POST", format!("http://localhost:{port}/"), "method `POST` is not among the `methods` of the link".into()),
    ] {
        let error = only.call("m", "request", json!({"url": url, "method": method})).await.unwrap_err();
        assert_eq!(error, format!("not_allowed: {expected}"));
    }
}

#[actix::test]
async fn what_cannot_be_reached_is_unavailable_and_named_without_secrets() {
    let client = client();
    let gone = serve(|stream| async move { drop(stream) }).await.address;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    for (url, expected) in [
        (format!("http://{nobody}/secret?secret=secret"), format!("host `{nobody}` cannot be reached: ")),
        ("http://nowhere.invalid/secret".to_owned(), "host `nowhere.invalid:80` cannot be reached: ".to_owned()),
        (format!("https://{gone}/secret"), format!("host `{gone}` ")),
    ] {
        let request = json!({"url": url, "headers": {"authorization": "secret"}, "timeout": "20s"});
        let error = failing(&client, request).await;
        assert!(error.starts_with(&format!("unavailable: {expected}")) && !error.contains("secret"), "{error}");
    }
}

#[actix::test]
async fn a_call_that_nobody_waits_for_closes_its_connection() {
    let asked = Rc::new(Cell::new(false));
    let seen = Rc::clone(&asked);
    let server = serve(move |mut stream| {
        let asked = Rc::clone(&seen);
        async move {
            request(&mut stream).await;
            asked.set(true);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal").await.unwrap();
            closed(&mut stream).await;
        }
    })
    .await;
    let (client, url) = (client(), server.url("/"));
    let call = actix::spawn(async move { get(&client, &url).await });
    let start = Instant::now();
    while !asked.get() {
        assert!(start.elapsed() < SOON, "nobody asks");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    server.until_ended(1).await;
}

#[actix::test]
async fn a_thousand_requests_at_once_are_answered_on_few_connections() {
    let server = answering(|head, _| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        answer("200 OK", "", &path)
    })
    .await;
    let client = client_with(HttpClientSettings { connections_per_host: 500, ..HttpClientSettings::default() });
    let all = (0..1000).map(|number| {
        let (client, url) = (client.clone(), server.url(&format!("/{number}")));
        async move { body(&get(&client, &url).await.unwrap()) == format!("/{number}") }
    });
    assert!(join_all(all).await.into_iter().all(|answered| answered));
    // A connection is idle a moment after its answer was read.
    assert!(server.accepted() < 1000, "{}", server.accepted());
}

#[actix::test]
async fn a_host_that_hangs_is_asked_so_often_at_once_and_others_are_not_slowed() {
    let hanging = serve(|mut stream| async move { closed(&mut stream).await }).await;
    let well = answering(|_, _| answer("200 OK", "", "")).await;
    let client = client_with(HttpClientSettings { connections_per_host: 4, ..HttpClientSettings::default() });
    let url = hanging.url("/");
    let calls = (0..12).map(|_| get_within(&client, &url, "5s"));
    let well = well.url("/");
    let others = async {
        let others = join_all((0..8).map(|_| get(&client, &well))).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        (others, hanging.accepted())
    };
    let (outcomes, (others, accepted)) = tokio::join!(join_all(calls), others);
    assert_eq!(accepted, 4);
    assert!(others.iter().all(Result::is_ok), "{others:?}");
    let of = |kind: &str| outcomes.iter().filter(|outcome| outcome.as_ref().unwrap_err().starts_with(kind)).count();
    assert_eq!((of("timed_out: "), of("unavailable: ")), (8, 4), "{outcomes:?}");
    hanging.until_ended(hanging.accepted()).await;
}

#[actix::test]
async fn a_stopped_binding_is_unavailable_and_there_is_one_operation() {
    let client = client();
    let error = client.call("m", "fetch", json!({"url": "http://a.test"})).await.unwrap_err();
    assert_eq!(error, "no_such_operation: binding `web` has no operation `fetch`: request");
    client.factory().stop();
    let error = get(&client, "http://a.test").await.unwrap_err();
    assert_eq!(error, "unavailable: binding `web` was stopped");
    client.factory().stop();
}
