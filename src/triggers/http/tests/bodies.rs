//! Bodies on their way in, and types on their way out.

use std::{
    pin::Pin,
    task::{Context as Polling, Poll},
};

use hyper::body::Frame;

use super::*;

/// A body that comes in pieces, and perhaps never ends.
struct Pieces {
    left: Vec<&'static str>,
    stalls: bool,
    read: Arc<std::sync::atomic::AtomicUsize>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.read.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match self.left.pop() {
            Some("broken") => Poll::Ready(Some(Err(std::io::Error::other("reset")))),
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn pieces(list: &[&'static str], stalls: bool) -> Pieces {
    Pieces { left: list.iter().rev().copied().collect(), stalls, read: Arc::default() }
}

#[actix::test]
async fn pieces_are_put_together_and_refused_as_soon_as_they_are_too_many() {
    let bench = Bench::new(&route("echo", "max_body = \"10B\"")).await;
    let send = |body| bench.send(request("POST", "/").body(body).unwrap());
    assert_eq!(send(pieces(&["0123", "45", "", "6789"], false)).await.text(), "0123456789");
    assert_eq!(send(pieces(&[], false)).await.text(), "");
    let body = pieces(&["0123456789", "x", "never", "read"], true);
    let read = Arc::clone(&body.read);
    assert_eq!(send(body).await.problem(), (413, "payload-too-large".to_owned()));
    assert_eq!(read.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(send(pieces(&["0123", "broken"], false)).await.problem(), (400, "bad-request".to_owned()));
}

#[actix::test]
async fn an_announced_length_that_is_too_large_is_not_begun() {
    let bench = Bench::new(&route("echo", "max_body = \"10B\"")).await;
    assert_eq!(bench.post("/", "0123456789").await.status, 200);
    assert_eq!(bench.post("/", "0123456789x").await.problem(), (413, "payload-too-large".to_owned()));
    let lesser = Bench::new(&format!("limits.body = \"5B\"\n{}", route("echo", "max_body = \"10B\""))).await;
    assert_eq!(lesser.post("/", "012345").await.status, 413);
}

#[actix::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let bench = Bench::new(&format!("limits.body_timeout = \"20ms\"\n{}", route("echo", ""))).await;
    let answer = bench.send(request("POST", "/").body(pieces(&["begun"], true)).unwrap()).await;
    assert_eq!(answer.problem(), (408, "body-timeout".to_owned()));
}

#[actix::test]
async fn what_the_module_does_not_take_is_too_large_as_well() {
    let bench = Bench::new(&route("echo", "")).await;
    let body = Full::from(vec![b'x'; (1 << 16) + 1]);
    assert_eq!(bench.send(request("POST", "/").body(body).unwrap()).await.status, 413);
}

#[actix::test]
async fn the_type_is_the_routes_or_the_one_that_the_caller_accepts() {
    let fixed = Bench::new(&route("echo", "content_type = \"text/css; charset=utf-8\"")).await;
    let asked = empty(request("POST", "/").header("accept", "image/png"));
    assert_eq!(fixed.send(asked).await.header("content-type"), "text/css; charset=utf-8");
    let free = Bench::new(&route("echo", "")).await;
    for (accept, expected) in [
        ("image/png", "image/png"),
        ("application/problem+json", "application/problem+json"),
        ("image/png;q=0.5", "image/png"),
        ("image/*", "application/octet-stream"),
        ("*/*", "application/octet-stream"),
        ("image/png, image/gif", "application/octet-stream"),
        ("image", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
        ("", "application/octet-stream"),
    ] {
        let answer = free.send(empty(request("POST", "/").header("accept", accept))).await;
        assert_eq!(answer.header("content-type"), expected, "{accept}");
    }
    let twice = request("POST", "/").header("accept", "image/png").header("accept", "image/gif");
    assert_eq!(free.send(empty(twice)).await.header("content-type"), "application/octet-stream");
}
