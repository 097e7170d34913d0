//! Whatever changes while wrk asks as fast as it can: no request fails.

use std::{net::SocketAddr, time::Duration};

use crate::{
    harness::{Daemon, Home, eventually, module, pause_for},
    http_tls,
    servers::free_port,
    web::{self, ECHO, ask, connect},
    wrk::Wrk,
};

/// Connections of wrk: several for each worker.
const CONNECTIONS: usize = 8;

/// How long each state is under load.
const AWHILE: Duration = Duration::from_millis(200);

/// The menu on each worker.
fn menu() -> String {
    module("m", "instances = \"per-worker\"")
}

/// A free address, which no client gets while nobody listens there.
fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn reload(daemon: &Daemon, toml: &str) {
    daemon.home().configure(toml);
    daemon.ctl(&["reload"]);
}

/// What a new connection is answered.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = ask(&mut connect(address).unwrap(), request.as_bytes()).unwrap();
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn routes_come_go_and_change_under_load() {
    let routes = |step: usize| {
        let route = |path: &str, operation: &str| {
            format!("[[triggers.web.routes]]\npath = \"{path}\"\nmodule = \"m\"\noperation = \"{operation}\"\n")
        };
        let moving = if step.is_multiple_of(2) { "echo" } else { "number" };
        format!(
            "{}[triggers.web]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n{}{}{}",
            menu(),
            route("/echo", "echo"),
            route("/moving", moving),
            route(&format!("/only-{step}"), "echo"),
        )
    };
    let daemon = Daemon::start(&routes(0));
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    let load = Wrk::start(&format!("http://{address}/echo"), CONNECTIONS);
    for step in 1..=10 {
        pause_for(AWHILE);
        reload(&daemon, &routes(step));
        assert_eq!(get(address, &format!("/only-{step}")).0, 200);
        assert_eq!(get(address, &format!("/only-{}", step - 1)).0, 404);
        assert_eq!(get(address, "/moving").1.is_empty(), step.is_multiple_of(2));
    }
    let answered = load.end().only(&["200"]);
    assert!(answered > 50, "{answered}");
    assert_eq!(daemon.status().triggers.len(), 1);
}

/// A guest that answers with its build.
fn build(name: &str) -> Vec<u8> {
    let length = name.len();
    wat::parse_str(format!(
        "(module (import \"wapc\" \"__guest_response\" (func $response (param i32 i32))) (memory (export \"memory\") 1)
           (data (i32.const 0) \"{name}\")
           (func (export \"__guest_call\") (param i32 i32) (result i32)
             (call $response (i32.const 0) (i32.const {length})) (i32.const 1)))"
    ))
    .unwrap()
}

#[test]
fn the_file_of_a_module_is_exchanged_under_load() {
    let home = Home::new(&format!(
        "[modules.m]\npath = \"build.wasm\"\ninstances = \"per-worker\"\n{}",
        web::trigger("web", "\"127.0.0.1:0\"", "")
    ));
    let builds = ["one", "two"];
    home.write("build.wasm", build(builds[0]));
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    let load = Wrk::start(&format!("http://{address}/which"), CONNECTIONS);
    for step in 1..=20 {
        pause_for(AWHILE);
        let now = builds[step % 2];
        daemon.home().write("build.new", build(now));
        std::fs::rename(daemon.home().path().join("build.new"), daemon.home().path().join("build.wasm")).unwrap();
        eventually("the new one answers", || get(address, "/which") == (200, now.to_owned()));
    }
    daemon.home().write("build.new", build("last"));
    std::fs::rename(daemon.home().path().join("build.new"), daemon.home().path().join("build.wasm")).unwrap();
    eventually("the last one answers", || get(address, "/which").1 == "last");
    // On every worker; the swap has ended when the status says so.
    eventually("nobody has another", || {
        let known = daemon.module("m");
        known.instances.iter().all(|instance| instance.generation == known.generation)
    });
    for _ in 0..20 {
        assert_eq!(get(address, "/which"), (200, "last".to_owned()));
    }
    let said = load.end();
    said.only(&["200 one", "200 two", "200 last"]);
    assert_eq!(said.answers.len(), 3, "{said:?}");
}

#[test]
fn a_certificate_is_exchanged_under_load() {
    let mut pairs = vec![http_tls::pair()];
    let (daemon, address) = http_tls::start(&pairs[0], "");
    let load = Wrk::start(&format!("https://{address}/echo"), CONNECTIONS);
    for _ in 0..10 {
        pause_for(AWHILE);
        let (before, new) = (pairs.last().unwrap(), http_tls::pair());
        http_tls::secured(address, before).unwrap();
        http_tls::replace(&daemon, "cert.pem", &new.cert);
        http_tls::replace(&daemon, "key.pem", &new.key);
        eventually("new connections get the new one", || http_tls::secured(address, &new).is_ok());
        assert!(http_tls::secured(address, before).is_err());
        pairs.push(new);
    }
    let answered = load.end().only(&["200"]);
    assert!(answered > 50, "{answered}");
}

#[test]
fn a_trigger_is_renamed_under_load() {
    let address = free();
    let named = |name: &str| format!("{}{}", menu(), web::trigger(name, &format!("\"{address}\""), ""));
    let names = ["one", "two", "three"];
    let daemon = Daemon::start(&named(names[0]));
    web::wait_until_up(&daemon, names[0]);
    let load = Wrk::start(&format!("http://{address}/echo"), CONNECTIONS);
    for step in 1..=10 {
        pause_for(AWHILE);
        reload(&daemon, &named(names[step % names.len()]));
        web::wait_until_up(&daemon, names[step % names.len()]);
    }
    eventually("those before are forgotten", || daemon.status().triggers.len() == 1);
    let answered = load.end().only(&["200"]);
    assert!(answered > 50, "{answered}");
}

#[test]
fn a_second_listener_comes_and_goes_under_load() {
    let (stays, comes) = (free(), free());
    let listening = |listen: &str| format!("{}{}", menu(), web::trigger("web", listen, ""));
    let (one, both) = (format!("\"{stays}\""), format!("[\"{comes}\", \"{stays}\"]"));
    let daemon = Daemon::start(&listening(&one));
    web::wait_until_up(&daemon, "web");
    let load = Wrk::start(&format!("http://{stays}/echo"), CONNECTIONS);
    for _ in 0..10 {
        pause_for(AWHILE);
        reload(&daemon, &listening(&both));
        // Whoever asks there asks until nobody listens any more.
        let there = web::Load::start(comes, 2);
        there.wait_for(20);
        reload(&daemon, &listening(&one));
        eventually("nobody listens there", || connect(comes).is_err());
        assert_eq!(there.end(), Vec::<String>::new());
        assert_eq!(ask(&mut connect(stays).unwrap(), ECHO).unwrap().status, 200);
    }
    let answered = load.end().only(&["200"]);
    assert!(answered > 50, "{answered}");
}
