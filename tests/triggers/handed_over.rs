//! Connections on their way to a worker that ends: another one, or the one in its place, serves them.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
};

use crate::{
    harness::{Daemon, eventually, module},
    held::Held,
    http_tls::{self, pair},
    web::{self, ECHO, connect, facts, read},
};

/// A daemon with so many workers, a module on each, and a trigger at a free port.
fn start(workers: usize) -> (Daemon, SocketAddr) {
    let module = module("m", "instances = \"per-worker\"\nrestart = { intensity = 1000 }");
    let trigger = web::trigger("web", "\"127.0.0.1:0\"", "");
    let daemon = Daemon::start(&format!("[daemon]\nworkers = {workers}\n{module}{trigger}"));
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    (daemon, address)
}

/// Asks a worker to end as soon as it does anything.
fn end(daemon: &Daemon, worker: usize) {
    let response = daemon.request("POST", &format!("/v1/workers/{worker}/end"), "", b"").unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

/// So many more connections, which a worker has been handed once this returns.
fn connect_more(daemon: &Daemon, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let before = facts(daemon, "web").connections;
    let streams = (0..count).map(|_| connect(address).unwrap()).collect();
    eventually("they were taken from the backlog", || facts(daemon, "web").connections == before + count as u64);
    streams
}

fn assert_answered(streams: Vec<TcpStream>) {
    for (index, mut stream) in streams.into_iter().enumerate() {
        let answer = read(&mut stream).unwrap_or_else(|error| panic!("connection {index}: {error}"));
        assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]), "connection {index}");
    }
}

fn replaced(daemon: &Daemon, worker: usize) -> u64 {
    daemon.status().workers[worker].replaced
}

#[test]
fn what_the_only_worker_was_handed_when_it_ends_is_served_by_the_one_in_its_place() {
    let (daemon, address) = start(1);
    for round in 1..=3 {
        // Known to the worker, which has read nothing of them.
        let mut streams = connect_more(&daemon, address, 2);
        let held = Held::worker(&daemon, 0);
        // Before the end of its work, and behind it.
        streams.extend(connect_more(&daemon, address, 2));
        end(&daemon, 0);
        streams.extend(connect_more(&daemon, address, 2));
        streams.iter_mut().for_each(|stream| stream.write_all(ECHO).unwrap());
        drop(held);
        eventually("the worker is replaced", || replaced(&daemon, 0) == round);
        assert_answered(streams);
        eventually("all have ended", || facts(&daemon, "web").connections == 0);
    }
}

#[test]
fn what_one_of_two_workers_was_handed_when_it_ends_is_served() {
    let (daemon, address) = start(2);
    let held = Held::worker(&daemon, 1);
    let mut streams = connect_more(&daemon, address, 8);
    end(&daemon, 1);
    streams.extend(connect_more(&daemon, address, 8));
    streams.iter_mut().for_each(|stream| stream.write_all(ECHO).unwrap());
    drop(held);
    assert_answered(streams);
    eventually("the worker is replaced", || replaced(&daemon, 1) == 1);
    eventually("all have ended", || facts(&daemon, "web").connections == 0);
}

#[test]
fn a_secured_connection_whose_handshake_has_not_begun_is_served_as_well() {
    let pair = pair();
    let (daemon, address) = http_tls::start(&pair, "");
    let held = [Held::worker(&daemon, 0), Held::worker(&daemon, 1)];
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let pair = pair.clone();
            std::thread::spawn(move || http_tls::secured(address, &pair).map(drop))
        })
        .collect();
    eventually("they were taken from the backlog", || facts(&daemon, "web").connections == 4);
    (0..2).for_each(|worker| end(&daemon, worker));
    drop(held);
    for client in clients {
        client.join().unwrap().expect("it is answered");
    }
}
