//! Swaps, rollbacks and reloads over the socket: what they answer, and what they bear.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wapcd::supervisor::status::{ChangeStatus, ReloadReport, SwapReport};

use crate::{
    fake::{Reload, Running, Swapped},
    http::{Response, exchange, get, post},
};

fn swap(running: &Running, path: &str, code: &[u8]) -> Response {
    post(&running.socket(), &format!("/v1/modules/{path}"), code)
}

fn reload(running: &Running, query: &str) -> Response {
    post(&running.socket(), &format!("/v1/reload{query}"), b"")
}

/// Begins a request that is answered later.
fn begin(running: &Running, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: w\r\nContent-Length: 0\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_swap_sends_the_bytes_as_they_are_and_answers_with_the_module() {
    let running = Running::start();
    let code: Vec<u8> = (0..=255).cycle().take(1_500_000).collect();
    let answer = swap(&running, "echo/swap", &code);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let report: SwapReport = serde_json::from_slice(&answer.body).unwrap();
    assert!(report.changed && report.module.name == "echo" && report.module.generations.len() == 3);
    let same: Value = serde_json::from_slice(&swap(&running, "same/swap?force=false", b"").body).unwrap();
    assert_eq!((&same["changed"], &same["module"]["name"]), (&false.into(), &"same".into()));
    assert_eq!(swap(&running, "a%2Fb%20%C3%A4/swap?force=true", b"\0asm").status, 200);
    let seen = |module: &str, code: &[u8], force| {
        let (module, code) = (module.to_owned(), bytes::Bytes::copy_from_slice(code));
        Swapped { module, code, force }
    };
    let expected = [seen("echo", &code, false), seen("same", b"", false), seen("a/b ä", b"\0asm", true)];
    assert!(*running.fake.swaps.lock() == expected, "{} swaps", running.fake.swaps.lock().len());
}

#[test]
fn a_swap_that_does_not_happen_says_why_with_every_cause() {
    let running = Running::start();
    let failed = swap(&running, "broken/swap", b"x");
    assert_eq!((failed.status, failed.kind().as_str()), (422, "swap-failed"));
    assert_eq!(failed.problem()["module"], "broken");
    assert_eq!(failed.problem()["causes"], json!(["it does not compile", "a \u{1b}[2J cause\nof two lines"]));
    let refused = swap(&running, "barred/swap", b"x");
    assert_eq!((refused.status, refused.kind().as_str()), (409, "swap-refused"));
    assert!(refused.problem()["causes"][0].as_str().unwrap().starts_with("this code was rolled back"));
    assert_eq!(swap(&running, "barred/swap?force=true", b"x").status, 200);
    for change in ["swap", "rollback"] {
        for (module, status, kind) in [
            ("nobody", 404, "no-such-module"),
            ("stopping", 503, "shutting-down"),
            ("hangs", 504, "no-answer"),
            ("panics", 500, "internal"),
        ] {
            let answer = swap(&running, &format!("{module}/{change}"), b"");
            assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{change} {module}");
            assert_eq!(answer.problem()["module"], module);
        }
    }
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
}

#[test]
fn a_rollback_answers_with_the_module() {
    let running = Running::start();
    let answer = swap(&running, "echo/rollback", b"");
    assert!(answer.status == 200 && serde_json::from_slice::<SwapReport>(&answer.body).unwrap().changed);
    let broken = swap(&running, "broken/rollback", b"");
    assert_eq!((broken.status, broken.problem()["causes"].as_array().unwrap().len()), (422, 2));
}

#[test]
fn parameters_that_are_wrong_or_unknown_are_refused_before_anything_is_read() {
    let running = Running::start();
    for (path, named) in [
        ("/v1/modules/echo/swap?force", "`force` cannot be ``"),
        ("/v1/modules/echo/swap?force=yes", "`force` cannot be `yes`"),
        ("/v1/modules/echo/swap?force=true&force=true", "there twice"),
        ("/v1/modules/echo/swap?dry_run=true", "no parameter `dry_run`: there is only `force`"),
        ("/v1/modules/echo/rollback?force=true", "no parameter `force`: this path takes none"),
        ("/v1/reload?dryrun=true", "no parameter `dryrun`: there is only `dry_run`"),
        ("/v1/reload?dry_run=TRUE", "`dry_run` cannot be `TRUE`"),
        ("/v1/modules/%FF/swap", "not percent-encoded UTF-8"),
        ("/v1/modules/%zz/rollback", "not percent-encoded UTF-8"),
    ] {
        let answer = post(&running.socket(), path, b"code");
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad-request"), "{path}");
        assert!(answer.problem()["detail"].as_str().unwrap().contains(named), "{path}: {}", answer.problem());
    }
    assert!(running.fake.swaps.lock().is_empty());
}

#[test]
fn code_over_the_limit_of_every_module_is_refused_before_and_while_it_is_read() {
    let running = Running::start();
    let announced = swap(&running, "echo/swap", &vec![7; (2 << 20) + 1]);
    assert_eq!((announced.status, announced.kind().as_str()), (413, "payload-too-large"));
    let detail = "the request's body is over 2031616 bytes, the largest `limits.module_size` of all modules";
    assert_eq!(announced.problem()["detail"], detail);
    let head =
        "POST /v1/modules/echo/swap HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
    let chunked = exchange(&running.socket(), &[head.as_bytes(), &chunk.repeat(33), b"0\r\n\r\n"].concat());
    assert_eq!((chunked.status, chunked.problem()["detail"].as_str()), (413, Some(detail)));
    assert!(running.fake.swaps.lock().is_empty());
    let fits = exchange(&running.socket(), &[head.as_bytes(), &chunk.repeat(32), b"0\r\n\r\n"].concat());
    assert_eq!((fits.status, running.fake.swaps.lock()[0].code.len()), (200, 2 << 20));
}

#[test]
fn a_limit_that_a_reload_changed_holds_for_the_next_request() {
    let running = Running::start();
    let code = vec![7; 3 << 20];
    assert_eq!(swap(&running, "echo/swap", &code).status, 413);
    assert_eq!(post(&running.socket(), "/v1/modules/echo/call/x", &code).status, 413);
    (running.fake.bounds.lock().module_size, running.fake.bounds.lock().payload) = (3 << 20, 3 << 20);
    assert_eq!(swap(&running, "echo/swap", &code).status, 200);
    assert_eq!(post(&running.socket(), "/v1/modules/echo/call/x", &code).status, 200);
    let hangs = || post(&running.socket(), "/v1/modules/hangs/call/x", b"").problem()["detail"].to_string();
    running.fake.bounds.lock().call = Duration::from_millis(50);
    assert!(hangs().contains("within 50 ms"));
    running.fake.bounds.lock().call = Duration::from_millis(70);
    assert!(hangs().contains("within 70 ms"));
}

#[test]
fn a_body_that_stalls_or_trickles_ends_in_its_time_and_gives_its_place_back() {
    let running = Running::with(|settings| {
        settings.max_swaps = 1;
        settings.waits.silence = Duration::from_millis(1_500);
        settings.waits.body = Duration::from_secs(4);
    });
    let begin = |length: usize| {
        let mut stream = UnixStream::connect(running.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("POST /v1/modules/echo/swap HTTP/1.1\r\nHost: w\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    // Up to the end of the problem: the connection need not end with it.
    let answer = |stream: &mut UnixStream| {
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            let mut piece = [0; 2048];
            let count = stream.read(&mut piece).unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&text));
            });
            assert!(count > 0, "only {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut silent = begin(1000);
    let told = answer(&mut silent);
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("nothing more of the request's body arrived"), "{told}");
    let mut slow = begin(1000);
    let mut drip = slow.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let started = Instant::now();
        while drip.write_all(b"x").is_ok() && started.elapsed() < Duration::from_secs(20) {
            std::thread::park_timeout(Duration::from_millis(30));
        }
    });
    let told = answer(&mut slow);
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("did not arrive within 4 s"), "{told}");
    drop(slow);
    assert_eq!(swap(&running, "echo/swap", b"x").status, 200);
    dripping.join().unwrap();
}

#[test]
fn swaps_take_few_places_and_keep_nobody_from_calls_rollbacks_and_questions() {
    let running = Running::with(|settings| {
        settings.max_swaps = 4;
        settings.waits.change = Duration::from_secs(600);
    });
    let mut hanging: Vec<_> =
        ["hangs", "hangs"].map(|name| begin(&running, &format!("/v1/modules/{name}/swap"))).into();
    running.fake.wait_for_calls(2);
    let refused = swap(&running, "hangs/swap", b"x");
    assert_eq!((refused.status, refused.kind().as_str(), refused.header("retry-after")), (503, "busy", Some("1")));
    assert!(
        refused.problem()["detail"].as_str().unwrap().contains("2 swaps of the control API wait for module `hangs`")
    );
    hanging.extend(["hangs-too", "hangs-too"].map(|name| begin(&running, &format!("/v1/modules/{name}/swap"))));
    running.fake.wait_for_calls(4);
    let refused = swap(&running, "echo/swap", &vec![0; 1 << 20]);
    assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"));
    assert!(refused.problem()["detail"].as_str().unwrap().contains("4 swaps of the control API are waiting"));
    assert_eq!(swap(&running, "echo/rollback", b"").status, 200);
    assert_eq!(reload(&running, "").status, 200);
    assert_eq!(swap(&running, "echo/call/x", b"").status, 200);
    assert_eq!(get(&running.socket(), "/v1/status").status, 200);
    drop(hanging);
    let refused = swap(&running, "echo/swap", b"x");
    assert_eq!(refused.status, 503, "the daemon still works on what nobody waits for");
}

#[test]
fn a_swap_whose_client_has_gone_is_carried_out_and_gives_its_place_back() {
    let running = Running::with(|settings| {
        settings.max_swaps = 1;
        settings.waits.change = Duration::from_secs(600);
    });
    let gone = begin(&running, "/v1/modules/slow/swap");
    running.fake.wait_for_calls(1);
    drop(gone);
    let deadline = Instant::now() + Duration::from_secs(20);
    while swap(&running, "echo/swap", b"x").status != 200 {
        assert!(Instant::now() < deadline, "its place was not given back");
    }
    assert_eq!(running.fake.swaps.lock()[0].module, "slow");
}

#[test]
fn concurrent_swaps_are_all_answered() {
    let running = Running::with(|settings| settings.max_swaps = 16);
    let codes: Vec<u8> = (0..8).collect();
    std::thread::scope(|scope| {
        for code in &codes {
            let running = &running;
            scope.spawn(move || assert_eq!(swap(running, "echo/swap", &vec![*code; 1 << 20]).status, 200));
        }
    });
    let mut seen: Vec<u8> = running.fake.swaps.lock().iter().map(|swap| swap.code[0]).collect();
    assert!(running.fake.swaps.lock().iter().all(|swap| swap.code.iter().all(|byte| *byte == swap.code[0])));
    seen.sort_unstable();
    assert_eq!(seen, codes);
}

#[test]
fn a_reload_answers_with_its_changes_or_with_every_problem() {
    let running = Running::start();
    let set = |reload| *running.fake.reload.lock() = reload;
    let document = |answer: &Response| serde_json::from_slice::<Value>(&answer.body).unwrap();
    assert_eq!(document(&reload(&running, "")), json!({ "dry_run": false, "changes": [] }));
    let change = ChangeStatus {
        subject: "modules.orders".into(),
        action: "swap".into(),
        keys: vec!["path".into()],
        error: None,
    };
    set(Reload::Done(ReloadReport { dry_run: false, changes: vec![change] }));
    let planned =
        json!({ "dry_run": true, "changes": [{ "subject": "modules.orders", "action": "swap", "keys": ["path"] }] });
    assert_eq!(document(&reload(&running, "?dry_run=true")), planned);
    set(Reload::Refused(vec!["wapcd.toml:3: `x` is unknown".into(), "wapcd.toml:9: `y` is unknown".into()]));
    let refused = reload(&running, "?dry_run=false");
    assert_eq!((refused.status, refused.kind().as_str()), (422, "reload-refused"));
    assert_eq!(refused.problem()["problems"][1], "wapcd.toml:9: `y` is unknown");
    for (how, status, kind) in
        [(Reload::Stopping, 503, "shutting-down"), (Reload::Hangs, 504, "no-answer"), (Reload::Panics, 500, "internal")]
    {
        set(how);
        let answer = reload(&running, "");
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind));
    }
}

#[test]
fn reloads_that_wait_are_bounded() {
    let running = Running::with(|settings| settings.waits.change = Duration::from_secs(600));
    *running.fake.reload.lock() = Reload::Hangs;
    let hanging: Vec<_> = (0..4).map(|_| begin(&running, "/v1/reload")).collect();
    running.fake.wait_for_calls(4);
    let refused = reload(&running, "?dry_run=true");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"));
    assert_eq!(swap(&running, "echo/swap", b"x").status, 200);
    drop(hanging);
}
