//! What every backend of `messaging` does, and that each does it the same way.
//!
//! Topics below `stored` are those that a stream stores where there are streams; nobody asks on them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wapcd::{
    bindings::messaging::{Broker, Message, Outgoing, Published, Subscription},
    config::{Binding, BindingSettings, MessagingBackend, MessagingSettings, Rules, Server},
};

use crate::{
    harness::{Bin, Format, Opened, SOON, open},
    servers::Nats,
};

/// Messages that wait for one subscriber, in these tests.
const QUEUE: u32 = 64;

/// Bytes of one message, in these tests.
const MAX_MESSAGE: u64 = 4096;

/// A `messaging` binding of that backend.
pub(crate) fn binding(backend: MessagingBackend) -> Binding {
    let settings = MessagingSettings { backend, queue: QUEUE, queue_bytes: 1 << 20, max_message: MAX_MESSAGE };
    Binding::with_defaults("bus", BindingSettings::Messaging(settings))
}

/// A `messaging` binding of a NATS server.
pub(crate) fn nats(server: Server, jetstream: bool) -> Binding {
    binding(MessagingBackend::Nats { server, jetstream })
}

/// Makes the stream of these tests.
pub(crate) async fn make_stream(server: &Nats) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let config = async_nats::jetstream::stream::Config {
        name: "STORED".to_owned(),
        subjects: vec!["stored.>".to_owned()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(config).await.unwrap();
}

#[actix::test]
async fn the_broker_inside_the_daemon_conforms() {
    conforms(open(&binding(MessagingBackend::Local))).await;
}

#[actix::test]
async fn a_nats_server_conforms() {
    let server = Nats::start();
    conforms(open(&nats(server.server(), false))).await;
}

#[actix::test]
async fn a_nats_server_with_streams_conforms() {
    let server = Nats::start();
    make_stream(&server).await;
    conforms(open(&nats(server.server(), true))).await;
}

/// A request to publish, as a guest writes it.
#[derive(Debug, Clone, Serialize)]
struct Publish {
    topic: String,
    payload: Bin,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
}

/// A request for an answer, as a guest writes it.
#[derive(Debug, Serialize)]
struct Request {
    topic: String,
    payload: Bin,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    payload: Bin,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn message(topic: &str, payload: impl AsRef<[u8]>) -> Publish {
    let payload = Bin(payload.as_ref().to_owned());
    Publish { topic: topic.to_owned(), payload, headers: BTreeMap::new(), reply_to: None }
}

/// The broker of an opened binding.
pub(crate) fn broker(opened: &Opened) -> Arc<dyn Broker> {
    opened.factory().broker().unwrap()
}

/// Listens, and says what went wrong.
pub(crate) async fn listen(opened: &Opened, pattern: &str, group: Option<&str>) -> Subscription {
    let begun = broker(opened).subscribe(&pattern.parse().unwrap(), group);
    tokio::time::timeout(SOON, begun).await.expect("it does not begin").unwrap()
}

/// The next message, which must come soon.
pub(crate) async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(SOON, subscription.next()).await.expect("no message comes").expect("the end")
}

/// The next message if it comes within a moment.
async fn next_at_once(subscription: &mut Subscription) -> Option<Message> {
    tokio::time::timeout(Duration::from_millis(100), subscription.next()).await.ok().flatten()
}

pub(crate) async fn publish(opened: &Opened, topic: &str, payload: impl AsRef<[u8]>) -> Result<Published, String> {
    opened.ask(Format::MessagePack, "tester", "publish", &message(topic, payload)).await
}

/// Answers every message of a topic: with its payload twice, and a header.
fn respond(opened: &Opened, mut asked: Subscription) -> tokio::task::JoinHandle<()> {
    let broker = broker(opened);
    actix::spawn(async move {
        while let Some(request) = asked.next().await {
            let reply_to = request.reply_to.as_deref().unwrap();
            let headers = [("Answered-By".to_owned(), request.topic.to_string())].into();
            let headers = wapcd::bindings::messaging::Headers::new(headers).unwrap();
            let payload = [&*request.payload, &*request.payload].concat().into();
            broker.publish(Outgoing::new(reply_to, payload).unwrap().with_headers(headers)).done().await.unwrap();
        }
    })
}

/// All that every backend does.
async fn conforms(opened: Opened) {
    what_is_published_arrives_as_it_was_sent(&opened).await;
    who_listens_hears_the_topics_of_the_pattern_and_no_others(&opened).await;
    messages_arrive_in_their_order(&opened).await;
    of_a_group_each_message_goes_to_one(&opened).await;
    who_has_gone_hears_nothing_and_is_not_asked(&opened).await;
    requests_are_answered(&opened).await;
    requests_that_nobody_hears_or_answers_end(&opened).await;
    a_slow_subscriber_loses_alone_and_knows_how_many(&opened).await;
    wrong_requests_are_named(&opened).await;
    links_restrict_topics(&opened).await;
}

async fn what_is_published_arrives_as_it_was_sent(opened: &Opened) {
    let mut heard = listen(opened, "stored.new", None).await;
    let headers =
        BTreeMap::from([("Content-Type".to_owned(), "text/plain".to_owned()), ("x".to_owned(), "größe".to_owned())]);
    let all: Vec<u8> = (0..=255).collect();
    for format in Format::ALL {
        for (payload, headers, reply_to) in [
            (&b""[..], BTreeMap::new(), None),
            (&all, headers.clone(), None),
            (b"x", headers.clone(), Some("answers.7")),
        ] {
            let reply_to = reply_to.map(str::to_owned);
            let sent = Publish { headers, reply_to, ..message("stored.new", payload) };
            let _: Published = opened.ask(format, "tester", "publish", &sent).await.unwrap();
            let got = next(&mut heard).await;
            let got_headers: BTreeMap<String, String> =
                got.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!((&*got.topic, &*got.payload, got_headers, got.missed), ("stored.new", payload, sent.headers, 0));
            assert_eq!(got.reply_to.as_deref(), sent.reply_to.as_deref());
        }
    }
    publish(opened, "stored.nobody.listens", "x").await.unwrap();
}

async fn who_listens_hears_the_topics_of_the_pattern_and_no_others(opened: &Opened) {
    let patterns = ["stored.a.b", "stored.a.*", "stored.*.b", "stored.>", "stored.a.>", "stored.a", "stored.*.*"];
    let mut heard = Vec::new();
    for pattern in patterns {
        heard.push(listen(opened, pattern, None).await);
    }
    for topic in ["stored.a.b", "stored.a", "stored.a.b.c", "stored.b.b", "stored.größe.c"] {
        publish(opened, topic, topic).await.unwrap();
    }
    publish(opened, "stored.a.end", "").await.unwrap();
    publish(opened, "stored.end.b", "").await.unwrap();
    let is = |topic: &str, pattern: &str| pattern.parse::<wapcd::config::Topic>().unwrap().includes(topic);
    for (pattern, mut subscription) in patterns.into_iter().zip(heard) {
        let topics =
            ["stored.a.b", "stored.a", "stored.a.b.c", "stored.b.b", "stored.größe.c", "stored.a.end", "stored.end.b"];
        for topic in topics.into_iter().filter(|topic| is(topic, pattern)) {
            assert_eq!(&*next(&mut subscription).await.topic, topic, "{pattern}");
        }
        assert_eq!(next_at_once(&mut subscription).await, None, "{pattern}");
    }
}

async fn messages_arrive_in_their_order(opened: &Opened) {
    let mut heard = listen(opened, "stored.order.*", None).await;
    for round in 0..20 {
        for number in 0..QUEUE / 2 {
            publish(opened, &format!("stored.order.{}", number % 3), (round * QUEUE + number).to_string())
                .await
                .unwrap();
        }
        for number in 0..QUEUE / 2 {
            assert_eq!(next(&mut heard).await.payload, (round * QUEUE + number).to_string());
        }
    }
}

async fn of_a_group_each_message_goes_to_one(opened: &Opened) {
    let mut alone = listen(opened, "stored.jobs.*", None).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(listen(opened, "stored.jobs.*", Some("workers")).await);
    }
    let mut others = listen(opened, "stored.jobs.*", Some("others")).await;
    let jobs = QUEUE / 2;
    for job in 0..jobs {
        publish(opened, &format!("stored.jobs.{job}"), job.to_string()).await.unwrap();
    }
    for job in 0..jobs {
        assert_eq!(next(&mut alone).await.payload, job.to_string());
        assert_eq!(next(&mut others).await.payload, job.to_string());
    }
    let mut done = [const { Vec::new() }; 3];
    let start = Instant::now();
    while done.iter().map(Vec::len).sum::<usize>() < jobs as usize {
        assert!(start.elapsed() < SOON, "only these are done: {done:?}");
        for (member, done) in members.iter_mut().zip(&mut done) {
            while let Some(message) = next_at_once(member).await {
                done.push(String::from_utf8(message.payload.to_vec()).unwrap().parse::<u32>().unwrap());
            }
        }
    }
    for member in &mut members {
        assert_eq!(next_at_once(member).await, None, "more than there were");
    }
    assert!(done.iter().all(|done| !done.is_empty()), "a member of the group gets nothing: {done:?}");
    let mut done = done.concat();
    done.sort_unstable();
    assert_eq!(done, (0..jobs).collect::<Vec<_>>());
}

async fn who_has_gone_hears_nothing_and_is_not_asked(opened: &Opened) {
    drop(listen(opened, "ask.gone", None).await);
    nobody_hears(opened, "ask.gone").await;
}

/// Waits until requests on this topic are refused: a server may take a moment to hear that somebody has gone.
async fn nobody_hears(opened: &Opened, topic: &str) {
    let start = Instant::now();
    loop {
        let request = json!({"topic": topic, "payload": "", "timeout": "100ms"});
        let error = opened.call("tester", "request", request).await.unwrap_err();
        if error == format!("not_found: nobody listens to topic `{topic}`") {
            return;
        }
        assert!(error.starts_with("timed_out: ") && start.elapsed() < SOON, "{error}");
    }
}

async fn requests_are_answered(opened: &Opened) {
    let responder = respond(opened, listen(opened, "ask.*", Some("responders")).await);
    for format in Format::ALL {
        for timeout in [None, Some("10s".to_owned())] {
            let request = Request { topic: "ask.me".to_owned(), payload: Bin(b"\x00hi".to_vec()), timeout };
            let answer: Answered = opened.ask(format, "tester", "request", &request).await.unwrap();
            let headers = [("Answered-By".to_owned(), "ask.me".to_owned())].into();
            assert_eq!(answer, Answered { payload: Bin(b"\x00hi\x00hi".to_vec()), headers });
        }
    }
    let many = (0..200).map(|number| async move {
        let request = Request { topic: "ask.me".to_owned(), payload: Bin(vec![number]), timeout: None };
        let answer: Answered = opened.ask(Format::MessagePack, "tester", "request", &request).await.unwrap();
        assert_eq!(answer.payload, Bin(vec![number, number]));
    });
    // No more than the responder's queue takes.
    futures_util::StreamExt::collect::<Vec<()>>(futures_util::StreamExt::buffer_unordered(
        futures_util::stream::iter(many),
        QUEUE as usize / 2,
    ))
    .await;
    responder.abort();
    responder.await.ok();
}

async fn requests_that_nobody_hears_or_answers_end(opened: &Opened) {
    nobody_hears(opened, "ask.nobody").await;
    let mut silent = listen(opened, "ask.silent", None).await;
    let start = Instant::now();
    let request = json!({"topic": "ask.silent", "payload": "", "timeout": "150ms"});
    let error = opened.call("tester", "request", request).await.unwrap_err();
    assert_eq!(error, "timed_out: nobody has answered on topic `ask.silent` in time");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(150) && took < SOON, "{took:?}");
    // An answer that comes too late is nobody's.
    let late = next(&mut silent).await.reply_to.unwrap();
    let answer = Outgoing::new(&*late, "late".into()).unwrap();
    broker(opened).publish(answer).done().await.ok();
}

async fn a_slow_subscriber_loses_alone_and_knows_how_many(opened: &Opened) {
    let mut slow = listen(opened, "stored.flood", None).await;
    let mut quick = listen(opened, "stored.flood", None).await;
    let sent = u64::from(QUEUE) * 5;
    for number in 0..sent {
        publish(opened, "stored.flood", number.to_string()).await.unwrap();
        let got = next(&mut quick).await;
        assert_eq!((got.payload, got.missed), (number.to_string().into(), 0));
    }
    let (mut expected, mut got) = (0, 0);
    while let Some(message) = next_at_once(&mut slow).await {
        expected += message.missed;
        assert_eq!(message.payload, expected.to_string());
        (expected, got) = (expected + 1, got + 1);
    }
    // One more where the first was taken before the last had come.
    assert!((QUEUE..=QUEUE + 1).contains(&got), "{got}");
    publish(opened, "stored.flood", "after").await.unwrap();
    let after = next(&mut slow).await;
    assert_eq!((&*after.payload, after.missed), (&b"after"[..], sent - expected));
}

async fn wrong_requests_are_named(opened: &Opened) {
    let long = "x".repeat(256);
    let large = "x".repeat(MAX_MESSAGE as usize * 4 / 3 / 4 * 4);
    for (operation, request, error) in [
        ("publish", json!({"topic": "", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a..b", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a.*", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a.>", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a b", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a\r\nPUB b 0", "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": long, "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a", "payload": "", "reply_to": "b.*"}), "bad_request: field `reply_to`: "),
        ("publish", json!({"topic": "a", "payload": "?"}), "bad_request: field `payload`: "),
        ("publish", json!({"topic": "a"}), "bad_request: missing field `payload`"),
        ("publish", json!({"payload": ""}), "bad_request: missing field `topic`"),
        ("publish", json!({"topic": 7, "payload": ""}), "bad_request: field `topic`: "),
        ("publish", json!({"topic": "a", "payload": "", "timeout": "1s"}), "bad_request: "),
        ("publish", json!({"topic": "a", "payload": "", "headers": {"a b": "c"}}), "bad_request: field `headers`: "),
        (
            "publish",
            json!({"topic": "a", "payload": "", "headers": {"a": "b\r\nc: d"}}),
            "bad_request: field `headers`: ",
        ),
        (
            "publish",
            json!({"topic": "a", "payload": "", "headers": {"Wapcd-X": "1"}}),
            "bad_request: field `headers`: ",
        ),
        ("publish", json!({"topic": "a", "payload": "", "headers": {"a": 1}}), "bad_request: field `headers.a`: "),
        (
            "publish",
            json!({"topic": "stored.a", "payload": large, "headers": {"a": "b"}}),
            "too_large: a message may have 4096",
        ),
        ("request", json!({"topic": "a.*", "payload": ""}), "bad_request: field `topic`: "),
        ("request", json!({"topic": "a", "payload": "", "timeout": "0s"}), "bad_request: field `timeout`: "),
        ("request", json!({"topic": "a", "payload": "", "timeout": "soon"}), "bad_request: field `timeout`: "),
        ("request", json!({"topic": "a", "payload": "", "reply_to": "b"}), "bad_request: "),
        (
            "request",
            json!({"topic": "a", "payload": large, "headers": {"a": "b"}}),
            "too_large: a message may have 4096",
        ),
        ("subscribe", json!({}), "no_such_operation: binding `bus` has no operation `subscribe`: publish, request"),
    ] {
        let answer = opened.call("tester", operation, request.clone()).await;
        let found = answer.expect_err(&request.to_string());
        assert!(found.starts_with(error), "{operation} {request}: {found}");
    }
    let exact = "A".repeat(5460) + "AA==";
    let fits = json!({"topic": "stored.a", "payload": exact});
    assert!(opened.call("tester", "publish", fits).await.is_ok());
}

async fn links_restrict_topics(opened: &Opened) {
    let topics = |patterns: &[&str]| {
        opened.with_rules(Rules::Topics(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()))
    };
    let publish = |topic: &str, reply_to: Option<&str>| match reply_to {
        None => json!({"topic": topic, "payload": ""}),
        Some(reply_to) => json!({"topic": topic, "payload": "", "reply_to": reply_to}),
    };
    let some = topics(&["stored.a.*", "answers.>"]);
    for (topic, reply_to, allowed) in [
        ("stored.a.b", None, true),
        ("stored.a.b", Some("answers.1.2"), true),
        ("stored.a.b", Some("stored.b"), false),
        ("stored.a.b.c", None, false),
        ("stored.b", None, false),
        ("$JS.API.INFO", None, false),
    ] {
        let answer: Result<Value, String> = some.call("tester", "publish", publish(topic, reply_to)).await;
        match answer {
            Ok(_) => assert!(allowed, "{topic} {reply_to:?}"),
            Err(error) => {
                let named = reply_to.unwrap_or(topic);
                let expected = format!("topic `{named}` is not allowed: the link's `topics` are stored.a.*, answers.>");
                assert!(!allowed && error.starts_with("not_allowed: ") && error.ends_with(&expected), "{error}");
            }
        }
    }
    let error = some.call("tester", "request", publish("ask.me", None)).await.unwrap_err();
    assert!(error.starts_with("not_allowed: field `topic`: topic `ask.me`"), "{error}");
    for patterns in [&[][..], &[">"], &["*.x", ">"]] {
        let error = topics(patterns).call("tester", "publish", publish("$SYS.x", None)).await.unwrap_err();
        assert!(error.starts_with("not_allowed: field `topic`: topic `$SYS.x` is not allowed"), "{error}");
    }
    let error = topics(&["$own.>"]).call("tester", "request", publish("$own.x", None)).await.unwrap_err();
    assert_eq!(error, "not_found: nobody listens to topic `$own.x`");
}
