//! Servers behind the bindings of a running daemon: what modules and operators notice when they come and go, who is let in,
//! and who has them when many want them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use wapcd::supervisor::status::{BackendStatus, ModuleState};

use crate::{
    client::Client,
    daemon::{Daemon, Home, eventually, module, pause_for},
    servers::Redis,
};

/// A `keyvalue` binding on this server, impatient as tests are.
fn cache(redis: &Redis) -> String {
    let backoff = "{ initial = \"20ms\", max = \"100ms\", factor = 2.0, jitter = 0.1 }";
    format!(
        "[bindings.cache]\ntype = \"keyvalue\"\nbackend = \"redis\"\nurl = \"{}\"\nconnect_timeout = \"10s\"\n\
         circuit = {{ failures = 2, backoff = {backoff} }}\n",
        redis.url()
    )
}

fn backend(daemon: &Daemon) -> BackendStatus {
    daemon.status().bindings.into_iter().find(|binding| binding.name == "cache").unwrap().backend.unwrap()
}

fn events(daemon: &Daemon) -> Vec<Value> {
    daemon.ctl(&["events", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_module_that_requires_its_server_waits_for_it_and_others_do_not() {
    let mut redis = Redis::start();
    redis.kill();
    let toml = [
        cache(&redis),
        module("patient", "links = [{ binding = \"cache\", required = true }]"),
        module("hasty", "links = [\"cache\"]"),
    ];
    let daemon = Home::new(&toml.concat()).spawn("log");
    eventually("the hasty module runs", || {
        daemon
            .try_status()
            .is_some_and(|status| status.modules.iter().any(|module| module.state == ModuleState::Running))
    });
    eventually("the server is found missing", || backend(&daemon).state == "disconnected");
    let patient = daemon.module("patient");
    assert_eq!((patient.state, patient.waiting_for), (ModuleState::Starting, vec!["binding cache".to_owned()]));
    assert_eq!(daemon.module("hasty").state, ModuleState::Running);
    let answer = daemon.call("hasty", "host/cache//exists", br#"{"key":"k"}"#).detail();
    assert!(answer.starts_with("unavailable: "), "{answer}");

    redis.restart();
    eventually("the patient module runs", || daemon.module("patient").state == ModuleState::Running);
    for name in ["patient", "hasty"] {
        assert_eq!(
            daemon.call(name, "host/cache//exists", br#"{"key":"k"}"#).outcome(),
            (200, r#"{"exists":false}"#.into())
        );
        assert_eq!(daemon.module(name).waiting_for, [""; 0]);
    }
}

#[test]
fn the_status_says_how_it_stands_with_the_server_and_calls_work_again_when_it_is_back() {
    let mut redis = Redis::start();
    let daemon = Daemon::start(&[cache(&redis), module("menu", "links = [\"cache\"]")].concat());
    let set = || daemon.call("menu", "host/cache//set", br#"{"key":"k","value":"djE="}"#).outcome();
    let get = || daemon.call("menu", "host/cache//get", br#"{"key":"k"}"#).outcome();
    assert_eq!(set(), (200, "{}".to_owned()));
    let connected = backend(&daemon);
    assert_eq!((connected.state.as_str(), connected.why), ("connected", None));

    redis.kill();
    eventually("the daemon notices", || {
        let (status, text) = get();
        assert!(status == 422 && text.starts_with("unavailable: "), "{status} {text}");
        backend(&daemon).state == "disconnected"
    });
    let down = backend(&daemon);
    assert!(down.why.is_some() && down.since > connected.since, "{down:?}");
    // Nobody waits for a server that is known to be down.
    assert!(get().1.starts_with("unavailable: "));

    redis.restart();
    eventually("it is connected again", || backend(&daemon).state == "connected");
    assert_eq!(get(), (200, r#"{"value":"djE="}"#.to_owned()));
    // A backend says of itself how it stands before that is an event.
    let mut states = Vec::new();
    eventually("there are events", || {
        let changes = events(&daemon).into_iter().filter(|event| event["event"] == "backend_changed");
        states = changes.map(|event| event["state"].as_str().unwrap().to_owned()).collect();
        states.len() >= 3
    });
    assert_eq!(states, ["connected", "disconnected", "connected"]);
}

#[test]
fn a_denied_host_call_is_an_event_that_says_who_what_and_why() {
    let toml = [
        "[bindings.web]\ntype = \"http_client\"\n[bindings.bus]\ntype = \"messaging\"\n".to_owned(),
        module(
            "menu",
            "links = [{ binding = \"web\", hosts = [\"api.example.com\", \"127.0.0.1\"], methods = [\"GET\"] }, \
             { binding = \"bus\", topics = [\"news.*\"], operations = [\"publish\"] }]",
        ),
    ];
    let daemon = Daemon::start(&toml.concat());
    for (operation, payload, binding, denied) in [
        ("host/web//request", r#"{"url":"http://127.0.0.1:1/"}"#, "web", "request"),
        ("host/bus//publish", r#"{"topic":"orders.new","payload":""}"#, "bus", "publish"),
        ("host/bus//request", r#"{"topic":"news.new","payload":""}"#, "bus", "request"),
        ("host/cache//get", r#"{"key":"k"}"#, "cache", "get"),
    ] {
        let answer = daemon.call("menu", operation, payload.as_bytes());
        let why = answer.detail();
        assert!(why.starts_with("not_allowed: ") || why.starts_with("not_granted: "), "{why}");
        let mut found = Vec::new();
        eventually("there is an event", || {
            found = events(&daemon);
            found.retain(|event| {
                event["event"] == "denied" && event["binding"] == binding && event["operation"] == denied
            });
            !found.is_empty()
        });
        let event = &found[0];
        assert_eq!(
            (&event["subject"]["module"], &event["why"], &event["times"]),
            (&"menu".into(), &why.into(), &1.into())
        );
        assert_eq!(event["instance"], answer.instance().unwrap());
        let shown = daemon.ctl(&["events", "--module", "menu"]);
        assert!(shown.lines().any(|line| line.contains(binding) && line.contains(denied)), "{shown}");
    }
}

/// How long the server takes for every request: so long that the machine's other work does not matter.
const ANSWER: Duration = Duration::from_millis(100);

/// Callers that flood the binding.
const FLOOD: usize = 64;

/// Calls that are measured.
const MEASURED: usize = 15;

/// How much later than alone the median of them may be. Its share is one of two: it waits for one of four requests that
/// run, and then for its own. Without its turns it would wait behind 64, sixteen times as long. What lies between is for a
/// machine that has other things to do as well.
const SHARE: u32 = 6;

/// What the machine may add.
const SLACK: Duration = Duration::from_millis(60);

/// How often it is tried: other work of the machine may come or go between the two that are compared.
const TRIES: usize = 4;

#[test]
fn a_module_that_floods_a_binding_leaves_another_its_share() {
    let (port, most) = slow_server();
    let link = "links = [{ binding = \"web\", hosts = [\"127.0.0.1\"], addresses = [\"127.0.0.1\"] }]";
    let toml = [
        "[bindings.web]\ntype = \"http_client\"\n[bindings.web.limits]\nconcurrent = 4\n".to_owned(),
        module("flood", &format!("instances = {FLOOD}\n{link}\nlimits = {{ call_timeout = \"30s\" }}")),
        module("modest", link),
    ];
    let daemon = Daemon::start(&toml.concat());
    daemon.wait_for_instances("flood", FLOOD);
    let tries: Vec<_> = (0..TRIES)
        .map(|_| alone_and_flooded(&daemon, port))
        .take_while(|(alone, beside)| *beside >= *alone * SHARE + SLACK)
        .collect();
    assert!(tries.len() < TRIES, "alone and beside a flood: {tries:?}");
    assert_eq!(most.load(Relaxed), 4, "the server never has more requests, and has them all");
}

/// How long a modest caller waits alone, and beside a flood.
fn alone_and_flooded(daemon: &Daemon, port: u16) -> (Duration, Duration) {
    let alone = median(daemon, "modest", port);
    let flooded = AtomicBool::new(true);
    let beside = thread::scope(|scope| {
        for _ in 0..FLOOD {
            let client = daemon.client();
            scope.spawn(|| {
                let client = client;
                while flooded.load(Relaxed) {
                    ask(&client, "flood", port);
                }
            });
        }
        eventually("the binding is full", || {
            let load =
                daemon.status().bindings.into_iter().find(|binding| binding.name == "web").unwrap().load.unwrap();
            load.waiting as usize > FLOOD / 2
        });
        let beside = median(daemon, "modest", port);
        flooded.store(false, Relaxed);
        beside
    });
    (alone, beside)
}

fn ask(client: &Client, module: &str, port: u16) {
    let request = format!(r#"{{"url":"http://127.0.0.1:{port}/"}}"#);
    let response = client.call(module, "host/web//request", request.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
}

fn median(client: &Client, module: &str, port: u16) -> Duration {
    let mut times: Vec<Duration> = (0..MEASURED)
        .map(|_| {
            let began = Instant::now();
            ask(client, module, port);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[MEASURED / 2]
}

/// A server that takes its time, and how many requests it had at once at most.
fn slow_server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, now, seen) = (stream.unwrap(), Arc::clone(&now), Arc::clone(&seen));
            thread::spawn(move || while answer(&mut stream, &now, &seen).is_some() {});
        }
    });
    (port, most)
}

/// Answers one request; `None` where there is no further one.
fn answer(stream: &mut TcpStream, now: &AtomicUsize, most: &AtomicUsize) -> Option<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
    pause_for(ANSWER);
    now.fetch_sub(1, Relaxed);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}
