//! Where answers send a request, and where it does not go.

use serde_json::json;
use wapcd::config::HttpClientSettings;

use super::server::{Server, answer, answering, body, client, client_with, get, rules};

/// A server that redirects to what stands behind `/to/`, or else answers with the head and body that it was sent.
async fn redirecting(status: &'static str) -> Server {
    answering(move |head, body| {
        let path = head.split(' ').nth(1).unwrap();
        match path.strip_prefix("/to/") {
            Some(location) => answer(status, &format!("location: {location}\r\n"), "elsewhere"),
            None => answer("200 OK", "", &format!("{head}{}", String::from_utf8_lossy(body))),
        }
    })
    .await
}

#[actix::test]
async fn a_redirect_is_followed_and_the_answer_says_where_it_came_from() {
    let (server, other) = (redirecting("307 Elsewhere").await, redirecting("302 Found").await);
    let client = client();
    let request = json!({
        "url": server.url(&format!("/to/{}", other.url("/there"))), "method": "POST", "body": "aGk=",
        "headers": {"authorization": "a", "cookie": "b", "proxy-authorization": "c", "x-own": "d"},
    });
    let answer = client.call("m", "request", request).await.unwrap();
    assert_eq!((&answer["status"], &answer["url"]), (&json!(200), &json!(other.url("/there"))));
    let sent = body(&answer);
    assert!(sent.starts_with("post /there") && sent.ends_with("hi") && sent.contains("x-own: d"), "{sent}");
    assert!(!sent.contains("authorization") && !sent.contains("cookie"), "{sent}");

    let request = json!({
        "url": other.url("/to//there?x=1"), "method": "POST", "body": "aGk=",
        "headers": {"authorization": "a", "content-type": "text/plain"},
    });
    let answer = client.call("m", "request", request).await.unwrap();
    assert_eq!(answer["url"], json!(other.url("/there?x=1")));
    let sent = body(&answer);
    assert!(sent.starts_with("get /there?x=1 ") && sent.ends_with("\r\n\r\n"), "{sent}");
    assert!(sent.contains("authorization: a") && !sent.contains("content-"), "{sent}");
}

#[actix::test]
async fn redirects_are_answers_where_the_guest_or_the_operator_says_so() {
    let server = redirecting("302 Found").await;
    let url = server.url("/to/http://127.0.0.1:1/");
    let request = json!({"url": url, "redirects": false});
    let answer = client().call("m", "request", request).await.unwrap();
    assert_eq!((&answer["status"], &answer["headers"]["location"]), (&json!(302), &json!(["http://127.0.0.1:1/"])));
    assert_eq!(body(&answer), "elsewhere");
    let none = client_with(HttpClientSettings { max_redirects: 0, ..HttpClientSettings::default() });
    assert_eq!(get(&none, &url).await.unwrap()["status"], json!(302));
}

#[actix::test]
async fn a_loop_ends_after_so_many_redirects() {
    let server = answering(|_, _| answer("302 Found", "location: /again\r\n", "")).await;
    let error = get(&client(), &server.url("/")).await.unwrap_err();
    assert!(error.starts_with("unavailable: more than 5 redirects (`max_redirects`) to host `"), "{error}");
    let hops = std::cell::Cell::new(0);
    let five = answering(move |_, _| {
        hops.set(hops.get() + 1);
        if hops.get() <= 5 { answer("302 Found", "location: /again\r\n", "") } else { answer("200 OK", "", "there") }
    })
    .await;
    assert_eq!(body(&get(&client(), &five.url("/")).await.unwrap()), "there");
}

#[actix::test]
async fn a_redirect_goes_nowhere_that_a_request_may_not_go() {
    let server = redirecting("301 Moved").await;
    let target = answering(|_, _| answer("200 OK", "", "secret")).await;
    let (port, inner) = (server.address.port(), target.address.port());
    let hosts = [format!("127.0.0.1:{port}"), "*.test".to_owned(), "169.254.169.254".to_owned(), "[::1]".to_owned()];
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let client = client().with_rules(rules(&hosts, None, &["127.0.0.1"]));
    for (location, expected) in [
        (target.url("/"), format!("host `{}` is not among the `hosts` of the link", target.address)),
        (format!("//localhost:{inner}/"), format!("host `localhost:{inner}` is not among the `hosts` of the link")),
        (
            "http://169.254.169.254/latest/meta-data/".into(),
            "the address of host `169.254.169.254` is link-local".into(),
        ),
        ("http://0xa9fea9fe/".into(), "the address of host `169.254.169.254` is link-local".into()),
        ("http://2852039166/".into(), "the address of host `169.254.169.254` is link-local".into()),
        (format!("http://[::1]:{inner}/"), "the address of host `::1` is loopback".into()),
        (format!("http://2130706433:{inner}/"), format!("host `127.0.0.1:{inner}` is not among the `hosts`")),
        ("file:///etc/passwd".into(), "scheme `file` is neither `http` nor `https`".into()),
        ("gopher://a.test:6379/_flushall".into(), "scheme `gopher` is neither `http` nor `https`".into()),
        ("data:text/plain,hello".into(), "scheme `data` is neither `http` nor `https`".into()),
        ("ftp://a.test/".into(), "scheme `ftp` is neither `http` nor `https`".into()),
    ] {
        let error = get(&client, &server.url(&format!("/to/{location}"))).await.unwrap_err();
        let expected = format!("not_allowed: host `{}` redirects: {expected}", server.address);
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = get(&client, &server.url("/to/http://u:pass@a.test/")).await.unwrap_err();
    assert!(error.starts_with("not_allowed: ") && error.contains("a user or a password"), "{error}");
    assert_eq!(target.accepted(), 0);
}

#[actix::test]
async fn a_method_that_a_redirect_makes_must_be_allowed_too() {
    let server = redirecting("303 See Other").await;
    let client = client().with_rules(rules(&["*"], Some(&["POST"]), &["127.0.0.1"]));
    let request = json!({"url": server.url("/to//there"), "method": "POST"});
    let error = client.call("m", "request", request).await.unwrap_err();
    assert!(error.contains("redirects: method `GET` is not among the `methods` of the link"), "{error}");
}
