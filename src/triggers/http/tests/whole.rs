//! Requests and answers as maps.

use serde_json::{Value, json};

use super::*;
use crate::triggers::http::response;

/// A map in MessagePack with its body apart, which has no form in JSON.
fn map(packed: &[u8]) -> (Value, Vec<u8>) {
    #[derive(serde::Deserialize)]
    struct Body {
        body: Bytes,
    }
    let body = rmp_serde::from_slice::<Body>(packed).unwrap().body;
    // The body is the last field.
    let mut without = packed[..packed.len() - body.len() - b"\xa4body\xc4\x00".len()].to_vec();
    without[0] -= 1;
    (rmp_serde::from_slice(&without).unwrap(), body.into())
}

#[actix::test]
async fn a_guest_gets_all_of_a_request() {
    let path = "path = \"/users/{id}/{*rest}\"\nmodule = \"web\"\noperation = \"wrap\"\npayload = \"http\"";
    let bench = Bench::new(&format!("[[triggers.api.routes]]\n{path}\n")).await;
    let sent = request("PUT", "/users/a%2Fb/c/d?x=1&y=%20+z&x=2&flag")
        .header("accept", "a/b")
        .header("accept", "c/d")
        .body(Full::from("body"))
        .unwrap();
    let answer = bench.send(sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!({
        "method": "PUT",
        "path": "/users/a%2Fb/c/d",
        "query": "x=1&y=%20+z&x=2&flag",
        "query_params": { "x": ["1", "2"], "y": ["  z"], "flag": [""] },
        "headers": { "host": ["example.com"], "accept": ["a/b", "c/d"] },
        "params": { "id": "a/b", "rest": "c/d" },
        "remote": "192.0.2.1:4711",
        "scheme": "http",
        "host": "example.com",
    });
    assert_eq!(map(&answer.body), (expected, b"body".to_vec()));
}

#[actix::test]
async fn in_json_the_body_is_base64_and_a_header_that_is_no_text_says_so() {
    let bench = Bench::new(&route("wrap", "payload = \"http\"\nformat = \"json\"")).await;
    let value = hyper::header::HeaderValue::from_bytes(b"\xff").unwrap();
    let answer = bench.send(request("POST", "/").header("odd", value).body(Full::from("body")).unwrap()).await;
    let map: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(map["body"], "Ym9keQ==");
    assert_eq!(map["headers"]["odd"], json!([{ "base64": "/w==" }]));
    assert_eq!((&map["query_params"], &map["params"]), (&json!({}), &json!({})));
}

#[actix::test]
async fn answers_may_be_in_either_format() {
    let packed = Bench::new(&route("map", "payload = \"http\"\nformat = \"json\"")).await.get("/").await;
    assert_eq!((packed.status, packed.header("x-kind").as_str()), (202, "messagepack"));
    assert_eq!(&packed.body[..], b"\x00\x01\xff");
    let text = Bench::new(&route("json", "payload = \"http\"")).await.get("/").await;
    assert_eq!((text.status, text.text().as_str()), (201, "jaü"));
    assert_eq!((text.header("content-type"), text.header("set-cookie")), ("text/plain".into(), "a=1, b=2".into()));
    assert_eq!((text.header("connection"), text.header("access-control-allow-origin")), ("".into(), "*".into()));
}

fn response(answer: &'static [u8]) -> Result<(u16, Vec<u8>), String> {
    let response = response::of_map(&Bytes::from_static(answer), |_| false)?;
    let status = response.status().as_u16();
    Ok((
        status,
        futures_util::FutureExt::now_or_never(response.into_body().collect()).unwrap().unwrap().to_bytes().into(),
    ))
}

#[test]
fn every_field_of_an_answer_may_be_left_out() {
    assert_eq!(response(b""), Ok((200, Vec::new())));
    assert_eq!(response(b"{}"), Ok((200, Vec::new())));
    assert_eq!(response(b"\x80"), Ok((200, Vec::new())));
    assert_eq!(response(b"{\"status\":null,\"body\":null}"), Ok((200, Vec::new())));
    assert_eq!(response(b"{\"body\":{\"base64\":\"/w==\"}}"), Ok((200, vec![0xff])));
    assert_eq!(response(b"{\"body\":\"\\u0061\"}"), Ok((200, b"a".to_vec())));
    assert_eq!(response(b"\x81\xa4body\xa1a"), Ok((200, b"a".to_vec())));
    assert_eq!(response(b"{\"status\":204,\"body\":\"x\"}"), Ok((204, Vec::new())));
}

#[test]
fn an_answer_that_is_no_response_is_refused_with_its_reason() {
    for (answer, reason) in [
        (&b"hello"[..], "expected a map"),
        (b"{\"status\":99}", "`status`: 99"),
        (b"{\"status\":101}", "`status`: 101"),
        (b"{\"status\":600}", "`status`: 600"),
        (b"{\"status\":\"200\"}", "field `status`"),
        (b"{\"code\":200}", "unknown field `code`"),
        (b"{\"body\":1}", "field `body`"),
        (b"{\"body\":{\"base64\":\"?\"}}", "not base64"),
        (b"{\"body\":{\"hex\":\"00\"}}", "the one key `base64`"),
        (b"{\"headers\":[]}", "field `headers`"),
        (b"{\"headers\":{\"a b\":\"c\"}}", "\"a b\""),
        (b"{\"headers\":{\"a\":\"b\\nc: d\"}}", "\"a\""),
        (b"{\"headers\":{\"a\":1}}", "a text or a list of texts"),
    ] {
        let error = response(answer).unwrap_err();
        assert!(error.contains(reason), "{error} for {}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn headers_of_an_answer_have_a_limit_together() {
    let headers = |count: usize| format!("{{\"headers\":{{\"a\":[{}]}}}}", vec!["\"b\""; count].join(","));
    let answered =
        |count| response::of_map(&Bytes::from(headers(count)), |_| false).map(|answer| answer.headers().len());
    // Name, value and 32 bytes each.
    assert_eq!(answered(1927), Ok(1927));
    assert_eq!(answered(1928), Err("field `headers`: 65552 bytes are over the limit of 65536".to_owned()));
}

#[test]
fn the_body_of_an_answer_is_not_copied() {
    let answer = Bytes::from_static(b"\x81\xa4body\xc4\x03abc");
    let body = response::of_map(&answer, |_| false).unwrap().into_body();
    let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
    assert_eq!(body.as_ptr(), answer[8..].as_ptr());
}
