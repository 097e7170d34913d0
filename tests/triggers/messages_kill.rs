//! No message of a stream is lost, whenever the daemon is killed.

use std::time::Duration;

use crate::{
    harness::{Home, eventually, pause_for},
    messages::trigger,
    nats::{Peer, config},
    servers::{Nats, Redis},
};

const MESSAGES: u64 = 5_000;

/// How many different messages guests have noted.
async fn noted(client: &redis::Client) -> u64 {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap()
}

/// How often guests were called for all of them.
async fn calls(client: &redis::Client) -> u64 {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    names.sort_unstable();
    let counts: Vec<u64> = redis::cmd("MGET").arg(names).query_async(&mut connection).await.unwrap();
    counts.iter().sum()
}

#[test]
fn each_message_of_a_stream_is_worked_on_though_the_daemon_is_killed_twice() {
    let (server, notes) = (Nats::start(), Redis::start());
    let peer = Peer::of(&server);
    peer.make_stream("ORDERS", "orders.>");
    peer.wait(async {
        let mut stored = Vec::new();
        for number in 0..MESSAGES {
            let body = format!("{{\"key\":\"order-{number}\"}}");
            stored.push(peer.streams.publish("orders.new", body.into()).await.unwrap());
            if stored.len() == 500 {
                for stored in stored.drain(..) {
                    stored.await.unwrap();
                }
            }
        }
    });
    // The guest notes the message by a host call with the payload: how often it was called for each.
    let notebook = format!("[bindings.notes]\ntype = \"keyvalue\"\nbackend = \"redis\"\nurl = \"{}\"\n", notes.url());
    let keys =
        "operation = \"host/notes/any/increment\"\nconcurrency = 32\ndurable = { name = \"work\", ack_wait = \"5s\" }";
    let toml = config(&server, "instances = 2\nlinks = [\"notes\"]", &trigger("t", "\"orders.>\"", keys)) + &notebook;
    let client = redis::Client::open(notes.url()).unwrap();
    let mut daemon = Home::new(&toml).start();
    for part in 1..10 {
        eventually("some are done", || peer.wait(noted(&client)) > MESSAGES * part / 10);
        if part != 3 && part != 6 {
            continue;
        }
        let home = daemon.kill();
        let done = peer.wait(noted(&client));
        assert!(done < MESSAGES, "it was killed in the middle");
        pause_for(Duration::from_millis(50));
        daemon = home.start();
    }
    eventually("each is done", || peer.wait(noted(&client)) == MESSAGES);
    eventually("each is acknowledged", || peer.open("ORDERS", "work") == (0, 0));
    let calls = peer.wait(calls(&client));
    // What was being worked on in the moments of the ends was worked on again.
    assert!((MESSAGES..MESSAGES + 2 * 300).contains(&calls), "{calls}");
}
