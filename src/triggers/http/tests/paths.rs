//! Which route a request belongs to, and what is said where there is none.

use super::*;

#[actix::test]
async fn a_raw_post_reaches_the_guest_and_its_answer_the_caller() {
    let bench = Bench::new(&route("echo", "")).await;
    let answer = bench.post("/?q=1", "hello").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!((answer.header("wapcd-module"), answer.header("wapcd-instance")), (String::new(), String::new()));
    assert_eq!(bench.facts().calls_ok, 1);
}

#[actix::test]
async fn a_path_that_is_not_there_and_a_method_that_is_not_taken_differ() {
    let bench = Bench::new(&route("echo", "methods = [\"GET\", \"POST\"]")).await;
    assert_eq!(bench.get("/other").await.problem(), (404, "not-found".to_owned()));
    let refused = bench.send(empty(request("DELETE", "/"))).await;
    assert_eq!(refused.problem(), (405, "method-not-allowed".to_owned()));
    assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS, POST");
    let options = bench.send(empty(request("OPTIONS", "/"))).await;
    assert_eq!((options.status, options.header("allow").as_str()), (204, "GET, HEAD, OPTIONS, POST"));
    assert_eq!(bench.send(empty(request("OPTIONS", "*"))).await.status, 204);
    for method in ["TRACE", "CONNECT"] {
        assert_eq!(bench.send(empty(request(method, "/"))).await.status, 501, "{method}");
    }
}

#[actix::test]
async fn head_is_answered_as_get_without_the_body() {
    let bench = Bench::new(&route("json", "methods = [\"GET\"]\npayload = \"http\"")).await;
    let (get, head) = (bench.get("/").await, bench.send(empty(request("HEAD", "/"))).await);
    assert_eq!((get.status, get.text().as_str()), (201, "jaü"));
    assert_eq!((head.status, head.text().as_str(), head.header("content-length").as_str()), (201, "", "4"));
}

#[actix::test]
async fn a_route_for_every_method_gets_options_too_and_one_by_name_goes_before_it() {
    let bench = Bench::new(&format!(
        "{}{}",
        route("wrap", "payload = \"http\""),
        route("json", "payload = \"http\"\nmethods = [\"PUT\"]")
    ))
    .await;
    assert_eq!(bench.send(empty(request("OPTIONS", "/"))).await.status, 200);
    assert_eq!(bench.send(empty(request("PROPFIND", "/"))).await.status, 200);
    assert_eq!(bench.send(empty(request("PUT", "/"))).await.status, 201);
}

#[actix::test]
async fn the_very_host_goes_before_a_star_and_that_before_routes_for_every_host() {
    let on = |operation: &str, hosts: &str| route(operation, &format!("payload = \"http\"\n{hosts}"));
    let bench = Bench::new(&format!(
        "{}{}{}",
        on("json", "hosts = [\"shop.Example.com\"]"),
        on("map", "hosts = [\"*.example.com\"]"),
        on("wrap", "")
    ))
    .await;
    for (host, status) in [
        ("shop.example.com", 201),
        ("SHOP.example.com:8080", 201),
        ("a.example.com", 202),
        ("a.shop.example.com.", 202),
        ("example.com", 200),
        ("[::1]:80", 200),
    ] {
        let request = Request::builder().uri("/").header("host", host);
        assert_eq!(bench.send(empty(request)).await.status, status, "{host}");
    }
    assert_eq!(bench.send(empty(Request::builder().uri("/"))).await.status, 400);
    assert_eq!(bench.send(empty(request("GET", "/").header("host", "b.example.com"))).await.status, 400);
    let absolute = Request::builder().uri("http://shop.example.com/").header("host", "other");
    assert_eq!(bench.send(empty(absolute)).await.status, 201);
}

#[actix::test]
async fn module_and_operation_may_come_from_the_path_within_their_lists() {
    let bench = Bench::new(
        "[[triggers.api.routes]]\npath = \"/{module}/{op}\"\nmodule = \"{module}\"\noperation = \"{op}\"\n\
         operations = [\"echo\", \"e/cho\"]\n\
         [[triggers.api.routes]]\npath = \"/any/{module}/{*op}\"\nmodule = \"{module}\"\noperation = \"{op}\"\n",
    )
    .await;
    for (path, status) in [
        ("/web/echo", 200),
        ("/web/%65cho", 200),
        ("/web/e%2Fcho", 200),
        ("/w%65b/echo", 200),
        ("/web/trap", 404),
        ("/other/echo", 404),
        ("/any/web/e/../../x", 200),
        ("/any/web/%65", 200),
        ("/any/web/%6", 400),
        ("/any/web/e%ff", 400),
    ] {
        assert_eq!(bench.post(path, "x").await.status, status, "{path}");
    }
}

#[test]
fn routes_that_the_check_would_refuse_make_no_site() {
    let mut settings = settings(&route("echo", ""));
    let again = Arc::clone(&settings.routes[0]);
    settings.routes.push(again);
    let error = Site::new(&Arc::from("api"), &settings, None).unwrap_err().to_string();
    assert!(error.contains("the 2. route") && error.contains("the 1. route"), "{error}");
}

#[actix::test]
async fn a_head_over_its_limit_is_refused() {
    let bench = Bench::new(&format!("limits.head = \"1KiB\"\n{}", route("echo", ""))).await;
    let long = "x".repeat(1024);
    assert_eq!(bench.send(empty(request("GET", "/").header("a", &long))).await.status, 431);
    assert_eq!(bench.get(&format!("/?{long}")).await.status, 431);
    assert_eq!(bench.send(empty(request("GET", "/").header("a", &long[..900]))).await.status, 200);
}
