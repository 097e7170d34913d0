//! Servers that stall, flood, lie and break off.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::server::{answer, answering, body, client, closed, get, get_within, request, saying, serve};

#[actix::test]
async fn what_is_no_answer_is_unavailable() {
    let client = client();
    for (said, why) in [
        (&b""[..], "nothing"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "another protocol"),
        (b"\x00\xff\xfe garbage \r\n\r\n", "garbage"),
        (b"HTTP/1.1 99999 Huge\r\n\r\n", "a status that is none"),
        (b"HTTP/1.1 200", "half a status line"),
        (b"HTTP/1.1 200 OK\r\nx-half: ", "half a head"),
        (b"HTTP/1.1 200 OK\r\nbad name: v\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "less than was announced"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", "two lengths"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "a length that is none"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n", "a length beyond numbers"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "a chunk without a size"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "chunks without an end"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "a chunk beyond numbers"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "another protocol from here",
        ),
    ] {
        let server = saying(said).await;
        let outcome = get_within(&client, &server.url("/"), "20s").await;
        if said.starts_with(b"HTTP/1.1 101") {
            // An answer that nobody asked for, without a body: what follows on the connection is never read as one.
            assert!(outcome.is_err() || outcome.as_ref().unwrap()["status"] == 101, "{outcome:?}");
            continue;
        }
        let error = outcome.expect_err(why);
        assert!(error.starts_with(&format!("unavailable: host `{}` ", server.address)), "{why}: {error}");
    }
}

#[actix::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let client = client();
    let chunks = |head: &'static str| async move {
        serve(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
            let mut sent = 0;
            while stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
                assert!(sent < 64 << 20, "the client reads on and on");
            }
        })
        .await
    };
    for head in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n",
        "HTTP/1.0 500 Oh\r\n\r\n",
    ] {
        let server = chunks(head).await;
        let error = get(&client, &server.url("/")).await.unwrap_err();
        let expected =
            format!("too_large: the body of the answer of host `{}` is over the limit of 65536 bytes", server.address);
        assert!(error.starts_with(&expected), "{error}");
        server.until_ended(1).await;
    }
    let full = answering(|_, _| answer("200 OK", "", &"x".repeat(65536))).await;
    assert_eq!(body(&get(&client, &full.url("/")).await.unwrap()).len(), 65536);
    let over = answering(|_, _| answer("200 OK", "", &"x".repeat(65537))).await;
    assert!(get(&client, &over.url("/")).await.unwrap_err().starts_with("too_large: "));
}

#[actix::test]
async fn a_head_that_is_too_large_is_refused() {
    let client = client();
    let many = "x: y\r\n".repeat(101);
    let wide = format!("x: {}\r\n", "y".repeat(65 * 1024));
    let huge = format!("x: {}\r\n", "y".repeat(8 << 20));
    let full = "x: y\r\n".repeat(99);
    for headers in [many, wide, huge] {
        let server = saying(answer("200 OK", &headers, "")).await;
        let error = get(&client, &server.url("/")).await.unwrap_err();
        assert!(error.starts_with(&format!("too_large: the answer of host `{}` has ", server.address)), "{error}");
        server.until_ended(1).await;
    }
    let server = saying(answer("200 OK", &full, "")).await;
    let answer = get(&client, &server.url("/")).await.unwrap();
    assert_eq!(answer["headers"]["x"].as_array().unwrap().len(), 99);
}

#[actix::test]
async fn a_server_that_stalls_costs_the_time_of_the_request_and_no_more() {
    let client = client();
    for said in ["", "HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal"] {
        let server = serve(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            closed(&mut stream).await;
        })
        .await;
        let start = Instant::now();
        let error = get_within(&client, &server.url("/"), "200ms").await.unwrap_err();
        let expected = "did not answer in full within the `timeout` of the request";
        assert_eq!(error, format!("timed_out: host `{}` {expected}", server.address));
        assert!((200..20_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        server.until_ended(1).await;
    }
}

#[actix::test]
async fn a_drop_at_a_time_does_not_prolong_a_request() {
    for (head, drop) in [
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "x"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let server = serve(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(drop.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let error = get_within(&client(), &server.url("/"), "300ms").await.unwrap_err();
        assert!(error.starts_with("timed_out: "), "{error}");
        server.until_ended(1).await;
    }
}

#[actix::test]
async fn a_reset_in_the_middle_is_unavailable_and_the_next_request_has_a_connection_of_its_own() {
    let server = serve(|mut stream| async move {
        let Some((head, _)) = request(&mut stream).await else { return };
        if head.starts_with("get /well") {
            stream.write_all(&answer("200 OK", "", "well")).await.unwrap();
            return closed(&mut stream).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal").await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let client = client();
    let error = get(&client, &server.url("/reset")).await.unwrap_err();
    assert!(error.starts_with(&format!("unavailable: host `{}` did not answer in full", server.address)), "{error}");
    assert_eq!(body(&get(&client, &server.url("/well")).await.unwrap()), "well");
}

#[actix::test]
async fn bytes_behind_an_answer_are_never_taken_for_the_next_one() {
    let server = serve(|mut stream| async move {
        while let Some((head, _)) = request(&mut stream).await {
            let mut said = answer("200 OK", "", "mine");
            if head.starts_with("get /first") {
                said.extend(answer("200 OK", "", "smuggled"));
            }
            if stream.write_all(&said).await.is_err() {
                return;
            }
        }
    })
    .await;
    let client = client();
    for path in ["/first", "/second", "/third"] {
        let answer = client.call("m", "request", json!({"url": server.url(path)})).await.unwrap();
        assert_eq!(body(&answer), "mine", "{path}");
    }
}

#[actix::test]
async fn a_connection_that_the_server_closed_meanwhile_costs_no_error() {
    let server = saying(answer("200 OK", "", "hello")).await;
    let client = client();
    for number in 1..=20 {
        assert_eq!(body(&get(&client, &server.url("/")).await.unwrap()), "hello");
        server.until_ended(number).await;
        // The client hears of it at once, in a task of its own.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
