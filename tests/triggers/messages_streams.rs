//! Messages that a stream keeps: acknowledged after success, delivered again after failure, given up after so many.

use std::time::{Duration, Instant};

use async_nats::{
    HeaderMap,
    jetstream::{Message, consumer},
};
use futures_util::StreamExt as _;

use crate::{
    harness::{eventually, pause_for},
    messages::{facts, facts_are, trigger, wait_until_connected},
    nats::{Peer, start},
    servers::Nats,
};

/// A trigger with the durable consumer `work` of the stream with the topics `orders.>`.
fn durable(keys: &str, consumer: &str) -> String {
    let keys = format!("{keys}\ndurable = {{ name = \"work\", retry_delay = \"300ms\"{consumer} }}");
    trigger("t", "\"orders.>\"", &keys)
}

fn server() -> (Nats, Peer) {
    let server = Nats::start();
    let peer = Peer::of(&server);
    peer.make_stream("ORDERS", "orders.>");
    (server, peer)
}

/// The next message of a stream that nobody else reads.
fn read(peer: &Peer, stream: &str) -> Message {
    let config = consumer::pull::Config { durable_name: Some("reader".to_owned()), ..Default::default() };
    peer.wait(async {
        let consumer = peer.streams.create_consumer_on_stream(config, stream).await.unwrap();
        let message = consumer.messages().await.unwrap().next().await.unwrap().unwrap();
        message.ack().await.unwrap();
        message
    })
}

#[test]
fn messages_from_before_the_daemon_are_acknowledged_after_success_and_not_delivered_again() {
    let (server, peer) = server();
    (0..50).for_each(|number| peer.store("orders.new", &number.to_string()));
    let daemon = start(&server, "", &durable("operation = \"echo\"", ""));
    facts_are(&daemon, "t", "all are done", |facts| facts.ok == 50);
    eventually("all are acknowledged", || peer.open("ORDERS", "work") == (0, 0));
    let home = daemon.stop();
    let daemon = home.start();
    wait_until_connected(&daemon, "t");
    peer.store("orders.new", "one more");
    let all = facts_are(&daemon, "t", "only the new one comes", |facts| facts.ok == 1);
    assert_eq!((all.received, all.redelivered), (1, 0));
}

#[test]
fn what_fails_comes_again_after_the_delay_and_goes_to_the_dead_letters_in_the_end() {
    let (server, peer) = server();
    peer.make_stream("DEAD", "dead.>");
    let keys = ", max_deliveries = 3, dead_letter = \"dead.orders\"";
    let daemon = start(&server, "", &durable("operation = \"fail\"", keys));
    wait_until_connected(&daemon, "t");
    let start = Instant::now();
    let headers = HeaderMap::from_iter([
        ("Nats-Msg-Id".parse().unwrap(), "7".parse().unwrap()),
        ("trace".parse().unwrap(), "5".parse().unwrap()),
    ]);
    peer.store_with("orders.new", "bad\nluck", headers);
    let all = facts_are(&daemon, "t", "it is given up", |facts| facts.given_up == 1);
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
    assert_eq!((all.received, all.redelivered, all.failed), (3, 2, 3));
    let letter = read(&peer, "DEAD");
    let header = |name| letter.headers.as_ref().unwrap().get(name).map(|value| value.as_str().to_owned());
    assert_eq!((&*letter.subject, &letter.payload[..]), ("dead.orders", &b"bad\nluck"[..]));
    let expected = [
        ("Wapcd-Topic", "orders.new"),
        ("Wapcd-Stream", "ORDERS"),
        ("Wapcd-Sequence", "1"),
        ("Wapcd-Deliveries", "3"),
        ("Wapcd-Error", "bad luck"),
        ("Nats-Msg-Id", "ORDERS/work/1"),
        ("trace", "5"),
    ];
    for (name, value) in expected {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    eventually("it is not delivered again", || peer.open("ORDERS", "work") == (0, 0));
    eventually("it is told", || daemon.ctl(&["events"]).contains("gave `orders.new` up, it is in `dead.orders`: bad"));
}

#[test]
fn what_is_given_up_without_dead_letters_is_told() {
    let (server, peer) = server();
    let daemon = start(&server, "", &durable("operation = \"trap\"", ", max_deliveries = 1"));
    peer.store("orders.new", "x");
    facts_are(&daemon, "t", "it is given up", |facts| facts.given_up == 1);
    eventually("it is not delivered again", || peer.open("ORDERS", "work") == (0, 0));
    eventually("it is told", || daemon.ctl(&["events"]).contains("gave `orders.new` up: "));
}

#[test]
fn what_cannot_be_put_among_the_dead_letters_is_kept() {
    let (server, peer) = server();
    let keys = ", max_deliveries = 1, dead_letter = \"dead.orders\"";
    let daemon = start(&server, "", &durable("operation = \"fail\"", keys));
    peer.store("orders.new", "x");
    daemon.log_line(&[
        "messages that failed cannot be put elsewhere",
        "no stream of the server stores topic `dead.orders`",
    ]);
    facts_are(&daemon, "t", "it comes again", |facts| facts.redelivered >= 2);
    assert_eq!(facts(&daemon, "t").given_up, 0);
    peer.make_stream("DEAD", "dead.>");
    assert_eq!(read(&peer, "DEAD").payload, "x");
    eventually("it is given up", || facts(&daemon, "t").given_up == 1);
}

/// No call here waits for its deadline.
const LONG: &str = "limits = { call_timeout = \"1m\" }";

#[test]
fn a_slow_call_is_not_delivered_again_meanwhile() {
    let (server, peer) = server();
    let daemon = start(&server, LONG, &durable("operation = \"wait/7000/echo\"", ", ack_wait = \"3s\""));
    peer.store("orders.new", "x");
    let all = facts_are(&daemon, "t", "it is done", |facts| facts.ok == 1);
    eventually("it is acknowledged", || peer.open("ORDERS", "work") == (0, 0));
    assert_eq!((all.received, all.redelivered), (1, 0));
}

#[test]
fn two_daemons_share_a_consumer_and_neither_takes_more_than_it_can_work_on() {
    const MESSAGES: u64 = 100;
    let (server, peer) = server();
    let keys = durable("operation = \"wait/100/echo\"\nconcurrency = 2", "");
    let daemons = [start(&server, "instances = 2", &keys), start(&server, "instances = 2", &keys)];
    daemons.iter().for_each(|daemon| wait_until_connected(daemon, "t"));
    let mut most = 0;
    (0..MESSAGES).for_each(|number| peer.store("orders.new", &number.to_string()));
    eventually("all are done", || {
        most = most.max(peer.open("ORDERS", "work").1);
        daemons.iter().map(|daemon| facts(daemon, "t").ok).sum::<u64>() == MESSAGES
    });
    // An acknowledgement may still be on its way when the next message is asked for.
    assert!(most <= 16, "{most}");
    let [one, two] = daemons.each_ref().map(|daemon| facts(daemon, "t"));
    assert_eq!((one.received + two.received, one.redelivered + two.redelivered), (MESSAGES, 0));
    assert!(one.ok > 5 && two.ok > 5, "{one:?} {two:?}");
}

#[test]
fn a_module_that_is_down_uses_up_no_deliveries() {
    let (server, peer) = server();
    let daemon = start(&server, "", &durable("operation = \"echo\"", ", max_deliveries = 1"));
    wait_until_connected(&daemon, "t");
    daemon.ctl(&["stop", "m"]);
    (0..20).for_each(|_| peer.store("orders.new", "x"));
    let why = facts_are(&daemon, "t", "it says why", |facts| facts.why.is_some()).why;
    assert_eq!(why.as_deref(), Some("module `m` is stopped"));
    pause_for(Duration::from_secs(1));
    let before = facts(&daemon, "t");
    assert!(before.failed <= 16 && before.given_up == 0, "{before:?}");
    daemon.ctl(&["start", "m"]);
    let after = facts_are(&daemon, "t", "all are done", |facts| facts.ok == 20);
    assert_eq!(after.given_up, 0);
    eventually("all are acknowledged", || peer.open("ORDERS", "work") == (0, 0));
}

#[test]
fn a_module_without_room_uses_up_no_deliveries() {
    let (server, peer) = server();
    // One runs, one waits, and the others find no room, over and over.
    let daemon = start(&server, "queue = 1", &durable("operation = \"wait/150/fail\"", ", max_deliveries = 2"));
    wait_until_connected(&daemon, "t");
    (0..8).for_each(|_| peer.store("orders.new", "x"));
    let all = facts_are(&daemon, "t", "all are given up", |facts| facts.given_up == 8);
    assert!(all.failed > 16, "some found no room: {all:?}");
    assert_eq!((all.received, all.redelivered), (16, 8), "each was delivered as often as its call may fail");
    eventually("none is delivered again", || peer.open("ORDERS", "work") == (0, 0));
}

#[test]
fn a_stream_may_come_later_and_its_server_may_go_and_come_back() {
    let mut server = Nats::start();
    let daemon = start(&server, "", &durable("operation = \"echo\"", ", ack_wait = \"1s\""));
    let why = |part: &str| {
        facts_are(&daemon, "t", part, |facts| facts.why.as_ref().is_some_and(|why| why.contains(part)));
    };
    why("no stream of the server has topic `orders.>`");
    let peer = Peer::of(&server);
    peer.make_stream("ORDERS", "orders.>");
    wait_until_connected(&daemon, "t");
    peer.store("orders.new", "1");
    facts_are(&daemon, "t", "it comes", |facts| facts.ok == 1);
    server.kill();
    why("down");
    server.restart();
    let peer = Peer::of(&server);
    eventually("the server has its streams", || peer.wait(peer.streams.get_stream("ORDERS")).is_ok());
    peer.store("orders.new", "2");
    facts_are(&daemon, "t", "it goes on", |facts| facts.ok >= 2);
    assert_eq!(daemon.status().triggers[0].restarts, 0);
}

#[test]
fn a_consumer_that_is_there_is_changed_where_that_may_be_and_refused_by_name_else() {
    let (server, peer) = server();
    let old = consumer::pull::Config {
        durable_name: Some("work".to_owned()),
        max_deliver: 2,
        filter_subject: "orders.old".to_owned(),
        description: Some("of somebody".to_owned()),
        ..Default::default()
    };
    peer.wait(peer.streams.create_consumer_on_stream(old, "ORDERS")).unwrap();
    let pushed = consumer::push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "somewhere".to_owned(),
        ..Default::default()
    };
    peer.wait(peer.streams.create_consumer_on_stream(pushed, "ORDERS")).unwrap();
    let other = trigger("p", "\"orders.a\"", "operation = \"echo\"\ndurable = { name = \"pushed\" }");
    let daemon = start(&server, "", &(durable("operation = \"echo\"", "") + &other));
    wait_until_connected(&daemon, "t");
    let found = peer.wait(peer.streams.get_consumer_from_stream::<consumer::pull::Config, _, _>("work", "ORDERS"));
    let config = found.unwrap().cached_info().config.clone();
    assert_eq!((config.max_deliver, config.description.as_deref()), (-1, Some("of somebody")));
    assert_eq!((config.filter_subject.as_str(), config.filter_subjects), ("", vec!["orders.>".to_owned()]));
    let why =
        facts_are(&daemon, "p", "it says why", |facts| facts.why.as_ref().is_some_and(|why| why.contains("pushed")))
            .why;
    assert_eq!(
        why.as_deref(),
        Some("conflict: consumer `pushed` of stream `ORDERS` cannot be used: it is a push consumer")
    );
}

#[test]
fn a_drain_gives_back_what_it_has_not_begun_and_ends_what_it_has() {
    let (server, peer) = server();
    let daemon = start(&server, "", &durable("operation = \"busy/100/echo\"\nconcurrency = 4", ""));
    wait_until_connected(&daemon, "t");
    (0..60).for_each(|_| peer.store("orders.new", "x"));
    facts_are(&daemon, "t", "it has begun", |facts| facts.ok > 1);
    daemon.stop();
    // By the server's own time it would come again later than anybody waits here.
    eventually("what was not begun is given back", || peer.open("ORDERS", "work").1 == 0);
    assert!(peer.open("ORDERS", "work").0 > 0);
}
