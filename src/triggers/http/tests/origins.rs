//! Pages of other origins.

use super::*;

const ADA: &str = "https://ada.example";

fn with(cors: &str) -> String {
    route("json", &format!("payload = \"http\"\nmethods = [\"GET\", \"PUT\"]\ncors = {{ {cors} }}"))
}

fn preflight(origin: &str, method: &str) -> Request<Full<Bytes>> {
    empty(request("OPTIONS", "/").header("origin", origin).header("access-control-request-method", method))
}

fn from(origin: &str) -> Request<Full<Bytes>> {
    empty(request("GET", "/").header("origin", origin))
}

#[actix::test]
async fn a_preflight_is_answered_without_the_guest() {
    let keys = format!("origins = [\"{ADA}\"], headers = [\"x-a\", \"x-b\"], credentials = true, max_age = \"1m\"");
    let bench = Bench::idle(&with(&keys));
    let answer = bench.send(preflight(ADA, "PUT")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (204, ADA));
    assert_eq!(answer.header("access-control-allow-methods"), "PUT");
    assert_eq!(answer.header("access-control-allow-headers"), "x-a, x-b");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-max-age"), "60");
    assert!(answer.header("vary").contains("origin"));
    for refused in [preflight("https://eve.example", "PUT"), preflight(ADA, "DELETE")] {
        let answer = bench.send(refused).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, String::new()));
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS, PUT");
    }
}

#[actix::test]
async fn answers_say_who_may_read_them_whatever_the_guest_says() {
    let bench = Bench::new(&with(&format!("origins = [\"{ADA}\"], expose = [\"etag\"]"))).await;
    let answer = bench.send(from(ADA)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (201, ADA));
    assert_eq!(
        (answer.header("vary"), answer.header("access-control-expose-headers")),
        ("origin".into(), "etag".into())
    );
    for other in [from("https://eve.example"), empty(request("GET", "/"))] {
        let answer = bench.send(other).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, String::new()));
        assert_eq!(answer.header("vary"), "origin");
    }
}

#[actix::test]
async fn every_origin_is_a_star_and_needs_no_vary() {
    let bench = Bench::new(&with("origins = [\"*\"]")).await;
    let answer = bench.send(from("https://anybody.example")).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), ("*".into(), String::new()));
}

#[actix::test]
async fn a_page_can_read_that_it_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "alpha").unwrap();
    let keys = format!("cors = {{ origins = [\"{ADA}\"] }}\nauthentication = {{ token = {{ file = {file:?} }} }}");
    let bench = Bench::idle(&route("echo", &format!("methods = [\"GET\"]\n{keys}")));
    assert_eq!(bench.send(preflight(ADA, "GET")).await.status, 204);
    let answer = bench.send(from(ADA)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (401, ADA));
}
