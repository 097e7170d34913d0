//! Messages of a NATS server that nothing keeps: queue groups over several daemons, and a server that goes and comes back.

use std::time::Duration;

use crate::{
    harness::{eventually, pause_for},
    messages::{ask, facts, facts_are, trigger, wait_until_connected},
    nats::{Peer, start},
    servers::Nats,
};

#[test]
fn two_daemons_in_one_group_get_each_message_once_and_answer() {
    const MESSAGES: u64 = 200;
    let server = Nats::start();
    let triggers = trigger("t", "\"orders.*\"", "operation = \"echo\"\ngroup = \"workers\"");
    let daemons = [start(&server, "", &triggers), start(&server, "", &triggers)];
    daemons.iter().for_each(|daemon| wait_until_connected(daemon, "t"));
    let peer = Peer::of(&server);
    let mut answers = peer.listen("answers");
    peer.wait(async {
        for number in 0..MESSAGES {
            let body = number.to_string().into();
            peer.client.publish_with_reply("orders.new", "answers", body).await.unwrap();
        }
        peer.client.flush().await.unwrap();
    });
    let mut bodies: Vec<u64> = (0..MESSAGES)
        .map(|_| String::from_utf8(peer.next(&mut answers).payload.to_vec()).unwrap().parse().unwrap())
        .collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..MESSAGES).collect::<Vec<_>>());
    let counted = || daemons.each_ref().map(|daemon| facts(daemon, "t"));
    eventually("all are counted", || counted().iter().map(|facts| facts.ok).sum::<u64>() == MESSAGES);
    let [one, two] = counted();
    assert!(one.ok > 0 && two.ok > 0, "{one:?} {two:?}");
}

#[test]
fn a_client_of_nats_gets_answers_and_the_errors_of_services() {
    let server = Nats::start();
    let triggers = trigger("t", "\"echo\"", "operation = \"echo\"") + &trigger("f", "\"fail\"", "operation = \"fail\"");
    let daemon = start(&server, "", &triggers);
    ["t", "f"].iter().for_each(|name| wait_until_connected(&daemon, name));
    let peer = Peer::of(&server);
    assert_eq!(peer.request("echo", "hello").unwrap().payload, "hello");
    let failed = peer.request("fail", "no such order").unwrap();
    let headers = failed.headers.unwrap();
    assert_eq!(headers.get("Nats-Service-Error").unwrap().as_str(), "no such order");
    assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "502");
    assert_eq!(ask(&daemon, "echo", "by the daemon itself").0, "by the daemon itself");
    // Nobody has the daemon speak to the server.
    let mut heard = peer.listen("$JS.API.STREAM.DELETE.X");
    peer.wait(peer.client.publish_with_reply("echo", "$JS.API.STREAM.DELETE.X", "".into())).unwrap();
    facts_are(&daemon, "t", "it was called", |facts| facts.ok == 3);
    let heard = peer.wait(async {
        tokio::time::timeout(Duration::from_millis(300), futures_util::StreamExt::next(&mut heard)).await
    });
    assert!(heard.is_err(), "{heard:?}");
}

#[test]
fn a_trigger_stays_while_the_server_is_away_and_goes_on_when_it_is_back() {
    let mut server = Nats::start();
    server.kill();
    let daemon = start(&server, "", &trigger("t", "[\"a\", \"b\"]", "operation = \"echo\""));
    let away =
        facts_are(&daemon, "t", "it says why", |facts| facts.why.as_ref().is_some_and(|why| why.contains("down")));
    assert!(!away.connected);
    server.restart();
    wait_until_connected(&daemon, "t");
    let peer = Peer::of(&server);
    assert_eq!(peer.request("b", "1").unwrap().payload, "1");
    server.kill();
    facts_are(&daemon, "t", "it notices", |facts| !facts.connected);
    pause_for(Duration::from_millis(500));
    server.restart();
    wait_until_connected(&daemon, "t");
    assert_eq!(Peer::of(&server).request("a", "2").unwrap().payload, "2");
    let status = daemon.status();
    assert_eq!(status.triggers[0].restarts, 0);
    // What a trigger says of itself is there before it is an event.
    eventually("it was told twice", || {
        let events = daemon.ctl(&["events"]);
        let told = |part: &str| events.matches(part).count();
        (told("hears no messages"), told("hears messages again")) == (2, 2)
    });
}

#[test]
fn what_was_delivered_is_still_worked_on_when_the_daemon_stops() {
    const MESSAGES: usize = 40;
    let server = Nats::start();
    let keys = "operation = \"busy/20/echo\"\nconcurrency = 1";
    let daemon = start(&server, "", &trigger("t", "\"a\"", keys));
    wait_until_connected(&daemon, "t");
    let peer = Peer::of(&server);
    let mut answers = peer.listen("answers");
    peer.wait(async {
        for _ in 0..MESSAGES {
            peer.client.publish_with_reply("a", "answers", "x".into()).await.unwrap();
        }
        peer.client.flush().await.unwrap();
    });
    eventually("it has begun", || facts(&daemon, "t").received > 0);
    daemon.stop();
    (0..MESSAGES).for_each(|_| assert_eq!(peer.next(&mut answers).payload, "x"));
}
