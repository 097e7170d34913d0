//! How calls end, and what callers are told of it.

use super::*;
use crate::actors::Refusal;

/// Everything that the public may know of a problem.
const PUBLIC: [&str; 3] = ["status", "title", "type"];

async fn both(operation: &str, keys: &str) -> (Answer, Answer) {
    let hidden = Bench::new(&route(operation, keys)).await;
    let open = Bench::new(&format!("verbose_errors = true\n{}", route(operation, keys))).await;
    (hidden.post("/", "secret").await, open.post("/", "secret").await)
}

#[actix::test]
async fn the_public_learns_the_kind_of_an_end_and_nothing_of_the_inside() {
    for (operation, keys, expected, kind, told) in [
        ("fail", "", (502, "guest-error"), "guest-error", "secret"),
        ("fail", "error_status = 422", (422, "guest-error"), "guest-error", "secret"),
        ("trap", "", (500, "internal"), "trapped", "unreachable"),
        ("spin", "timeout = \"500ms\"", (504, "deadline-exceeded"), "deadline-exceeded", "web"),
        ("bad", "payload = \"http\"", (502, "bad-reply"), "bad-reply", "99"),
        ("echo", "payload = \"http\"", (502, "bad-reply"), "bad-reply", "method"),
    ] {
        let (hidden, open) = both(operation, keys).await;
        assert_eq!(hidden.problem(), (expected.0, expected.1.to_owned()), "{operation}");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&hidden.body).unwrap();
        assert_eq!(object.keys().map(String::as_str).collect::<Vec<_>>(), PUBLIC, "{operation}");
        assert_eq!(open.problem(), (expected.0, kind.to_owned()), "{operation}");
        assert!(open.text().contains(told) && open.text().contains("\"web\""), "{}", open.text());
        assert_eq!((open.header("wapcd-module"), open.header("wapcd-generation")), ("web".into(), "3".into()));
        assert_eq!(hidden.header("wapcd-module"), "");
    }
}

#[actix::test]
async fn who_finds_the_queue_full_is_told_when_to_come_again() {
    let bench = Bench::idle(&route("echo", ""));
    let waiting = bench.post("/", "first");
    let second = async {
        while bench.queue.numbers().calls == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.post("/", "second").await
    };
    tokio::pin!(waiting);
    let busy = tokio::select! { answer = second => answer, answer = &mut waiting => panic!("{answer:?}") };
    assert_eq!(busy.problem(), (503, "busy".to_owned()));
    assert!(busy.header("retry-after").parse::<u64>().unwrap() >= 1);
    bench.queue.set_gate(Gate::Refusing(Refusal::Stopped));
    assert_eq!(waiting.await.problem(), (503, "unavailable".to_owned()));
    assert_eq!(bench.post("/", "third").await.problem(), (503, "unavailable".to_owned()));
}

#[actix::test]
async fn a_call_that_was_never_started_ends_at_the_routes_timeout() {
    let bench = Bench::idle(&route("echo", "timeout = \"20ms\""));
    assert_eq!(bench.post("/", "x").await.problem(), (504, "expired".to_owned()));
}

#[actix::test]
async fn a_caller_who_goes_away_takes_its_call_along() {
    let bench = Bench::idle(&route("echo", ""));
    {
        let waiting = bench.post("/", "x");
        tokio::pin!(waiting);
        let patience = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut());
        assert!(patience.await.is_err());
        assert_eq!((bench.queue.numbers().calls, bench.facts().calls_running), (1, 1));
    }
    assert_eq!((bench.queue.numbers().calls, bench.facts().calls_running), (0, 0));
    let counts = bench.queue.counters().read().by_outcome;
    assert!(counts.iter().any(|(name, count)| *name == "abandoned" && *count == 1), "{counts:?}");
}

#[actix::test]
async fn an_answer_that_is_no_response_counts_as_a_failed_call() {
    let bench = Bench::new(&route("bad", "payload = \"http\"")).await;
    assert_eq!(bench.get("/").await.status, 502);
    let facts = bench.facts();
    assert_eq!((facts.calls_ok, facts.calls_failed), (0, 1));
    assert!(
        facts.last_error.as_deref().is_some_and(|error| error.contains("99") && error.contains("`web`")),
        "{facts:?}"
    );
}
