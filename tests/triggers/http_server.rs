//! Connections of `http` triggers: where they come in, how long they may do what, what a reload and a stop mean for them.

use std::{
    io::{self, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use wapcd::supervisor::status::ServiceState;

use crate::{
    harness::{Daemon, Home, eventually, module, pause_for},
    servers::free_port,
    web::{self, ECHO, Load, ask, connect, facts, rest},
};

fn echoes(stream: &mut (impl io::Read + io::Write)) {
    let answer = ask(stream, ECHO).unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
}

/// Descriptors of the daemon.
pub(crate) fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// A free address, which nobody gets before the daemon does.
fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// Resident memory of the daemon in KiB.
pub(crate) fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn answers_over_several_listeners_tcp_and_unix() {
    let listen = "[\"127.0.0.1:0\", \"[::1]:0\", { address = \"unix:web.sock\", mode = \"0600\" }]";
    let daemon = Daemon::start(&format!("{}{}", module("m", ""), web::trigger("web", listen, "")));
    web::wait_until_up(&daemon, "web");
    let mut v4 = connect(web::address(&daemon, "web", 0)).unwrap();
    let mut v6 = connect(web::address(&daemon, "web", 1)).unwrap();
    let path = daemon.home().path().join("run/web.sock");
    let mut unix = UnixStream::connect(&path).unwrap();
    for _ in 0..3 {
        echoes(&mut v4);
        echoes(&mut v6);
        echoes(&mut unix);
    }
    let known = facts(&daemon, "web");
    assert_eq!((known.connections, known.responses), (3, [0, 9, 0, 0, 0]));
    assert_eq!(known.listeners[2], format!("unix:{}", path.display()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop((v4, v6, unix));
    eventually("connections are gone", || facts(&daemon, "web").connections == 0);
    drop(daemon.stop());
    assert!(!path.exists());
}

#[test]
fn listens_at_sockets_that_it_was_started_with_by_their_name() {
    let free = free();
    let listen = "[\"inherited:web\", \"127.0.0.1:0\"]";
    let home = Home::new(&format!("{}{}", module("m", ""), web::trigger("web", listen, "")));
    let at = free.to_string();
    let mut daemon = home.spawn_under("log", &["systemd-socket-activate", "--fdname=web", "-l", &at]);
    let mut first = None;
    // It starts the daemon with the first connection, which waits for it.
    eventually("somebody listens", || {
        first = connect(free).ok();
        first.is_some()
    });
    echoes(first.as_mut().unwrap());
    daemon.wait_until_ready();
    assert_eq!(facts(&daemon, "web").listeners[0], "inherited:web");

    // Without a listener it stays open, and comes back.
    let without = web::trigger("web", "\"127.0.0.1:0\"", "");
    daemon.home().configure(&format!("{}{without}", module("m", "")));
    daemon.ctl(&["reload"]);
    let mut waits = connect(free).unwrap();
    waits.write_all(ECHO).unwrap();
    daemon.home().configure(&format!("{}{}", module("m", ""), web::trigger("web", listen, "")));
    daemon.ctl(&["reload"]);
    assert_eq!(web::read(&mut waits).unwrap().status, 200);

    daemon.home().configure(&format!("{}{}", module("m", ""), web::trigger("web", "\"inherited:api\"", "")));
    let refused = daemon.wapcctl(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the daemon was started without a socket called `api`; it has web"), "{said}");
    echoes(&mut connect(free).unwrap());
}

#[test]
fn a_second_listener_at_a_port_of_the_system_gets_another_and_the_first_goes_on() {
    let (daemon, first) = web::start("");
    let mut stream = connect(first).unwrap();
    echoes(&mut stream);
    let both = web::trigger("web", "[\"127.0.0.1:0\", \"127.0.0.1:0\"]", "");
    daemon.home().configure(&format!("{}{both}", module("m", "instances = \"per-worker\"")));
    daemon.ctl(&["reload"]);
    assert_eq!(web::address(&daemon, "web", 0), first);
    let second = web::address(&daemon, "web", 1);
    assert_ne!(second, first);
    echoes(&mut stream);
    echoes(&mut connect(first).unwrap());
    echoes(&mut connect(second).unwrap());
    // One goes, and it is not the one that was there first.
    daemon.home().configure(&web::config(""));
    daemon.ctl(&["reload"]);
    assert_eq!(facts(&daemon, "web").listeners.len(), 1);
    assert_eq!(web::address(&daemon, "web", 0), first);
    eventually("the second is closed", || connect(second).is_err());
    echoes(&mut stream);
}

#[test]
fn an_address_in_use_is_told_and_tried_again_and_refuses_a_reload() {
    let taken = TcpListener::bind(free()).unwrap();
    let address = taken.local_addr().unwrap();
    let listen = format!("\"{address}\"");
    let daemon = Daemon::start(&format!("{}{}", module("m", ""), web::trigger("web", &listen, "")));
    eventually("it waits for its next try", || {
        web::status(&daemon, "web")
            .is_some_and(|trigger| trigger.state == ServiceState::Backoff && trigger.last_exit.is_some())
    });
    let why = serde_json::to_string(&web::status(&daemon, "web").unwrap().last_exit).unwrap();
    assert!(why.contains(&format!("cannot listen at `{address}`")) && why.contains("Address already in use"), "{why}");
    drop(taken);
    web::wait_until_up(&daemon, "web");
    let mut stream = connect(address).unwrap();
    echoes(&mut stream);

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = format!("[\"{address}\", \"{}\"]", other.local_addr().unwrap());
    daemon.home().configure(&format!("{}{}", module("m", ""), web::trigger("web", &both, "")));
    let refused = daemon.wapcctl(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Address already in use"), "{said}");
    echoes(&mut stream);
    echoes(&mut connect(address).unwrap());
    assert_eq!(facts(&daemon, "web").listeners.len(), 1);
}

#[test]
fn a_head_that_does_not_come_and_an_idle_connection_end_each_in_its_time() {
    let (daemon, address) = web::start("limits = { head_timeout = \"300ms\", keep_alive = \"6s\" }");
    let ended_after = |first: &[u8], answers: usize| {
        let mut stream = connect(address).unwrap();
        stream.write_all(first).unwrap();
        for _ in 0..answers {
            web::read(&mut stream).unwrap();
        }
        let start = Instant::now();
        assert_eq!(rest(&mut stream), "");
        start.elapsed().as_millis()
    };
    // Far from each other, and late by seconds where the machine has other things to do.
    for (first, answers, times) in [(&b""[..], 0, 0..5_900), (b"POST /echo HT", 0, 0..5_900), (ECHO, 1, 3_000..25_000)]
    {
        let after = ended_after(first, answers);
        assert!(times.contains(&after), "{after} ms after {first:?}");
    }
    // A head that begins on an idle connection has the time of a head.
    let mut stream = connect(address).unwrap();
    echoes(&mut stream);
    stream.write_all(b"POST /ec").unwrap();
    let start = Instant::now();
    rest(&mut stream);
    assert!(start.elapsed() < Duration::from_millis(5_900), "{:?}", start.elapsed());
    eventually("connections are gone", || facts(&daemon, "web").connections == 0);
}

#[test]
fn a_head_that_is_too_large_and_a_body_that_is_too_large_are_answered() {
    let (daemon, address) = web::start("limits = { head = \"2 KiB\", body = \"1 KiB\" }");
    let mut stream = connect(address).unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(3000));
    let answer = ask(&mut stream, head.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.closes), (431, true));

    // Much more than the kernel keeps: the answer must reach a client that still sends.
    let mut stream = connect(address).unwrap();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sent = std::thread::spawn(move || (0..400).take_while(|_| sender.write_all(&[0; 16 * 1024]).is_ok()).count());
    assert_eq!(web::read(&mut stream).unwrap().status, 413);
    sent.join().unwrap();
    // What was no request is counted when its connection ends.
    eventually("both are counted", || facts(&daemon, "web").responses[3] == 2);
}

#[test]
fn connections_beyond_the_limit_are_refused_and_counted() {
    let (daemon, address) = web::start("limits = { connections = 2 }");
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connect(address).unwrap()).collect();
    kept.iter_mut().for_each(echoes);
    let mut refused = connect(address).unwrap();
    assert_eq!(web::read(&mut refused).unwrap().status, 503);
    assert_eq!((facts(&daemon, "web").connections, facts(&daemon, "web").refused), (2, 1));
    kept.pop();
    eventually("there is room again", || {
        let mut stream = connect(address).unwrap();
        ask(&mut stream, ECHO).is_ok_and(|answer| answer.status == 200)
    });
    echoes(&mut kept[0]);
}

#[test]
fn a_client_that_does_not_read_its_answers_is_cut() {
    let (daemon, address) = web::start("limits = { write_timeout = \"400ms\", body = \"4 MiB\" }");
    let body = vec![b'x'; 1_000_000];
    let request =
        [format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body]
            .concat();
    let mut stream = connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // Answers fill whatever the kernel keeps; then the daemon reads no further request.
    let start = Instant::now();
    while stream.write_all(&request).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is still read");
    }
    eventually("it is cut", || facts(&daemon, "web").connections == 0);
    echoes(&mut connect(address).unwrap());
}

/// A module with one instance, and what takes that long as the path `/slow`.
fn slow(operation: &str) -> (Daemon, SocketAddr) {
    let route = format!("[[triggers.web.routes]]\npath = \"/slow\"\nmodule = \"m\"\noperation = \"{operation}\"\n");
    // Longer than what is looked at while a call takes its time, shorter than the end of a daemon may take.
    let module = module("m", "limits = { call_timeout = \"10s\" }");
    let daemon = Daemon::start(&format!("{module}{}{route}", web::trigger("web", "\"127.0.0.1:0\"", "")));
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    (daemon, address)
}

#[test]
fn a_client_that_closes_its_side_after_its_request_gets_its_answers() {
    let (_daemon, address) = slow("wait/300/echo");
    let body = "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    let chunked = "POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let empty = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    for (requests, answers) in
        [(body.to_owned(), 1), (chunked.to_owned(), 1), (empty.repeat(3), 3), (format!("{body}{empty}"), 2)]
    {
        let mut stream = connect(address).unwrap();
        stream.write_all(requests.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        io::Read::read_to_string(&mut stream, &mut said).expect("the connection ends after its answers");
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), answers, "{requests}: {said}");
    }
    // What breaks off is no request.
    let mut stream = connect(address).unwrap();
    stream.write_all(&body.as_bytes()[..body.len() - 1]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(!rest(&mut stream).contains("200 OK"));
}

#[test]
fn a_client_that_gives_up_takes_its_call_out_of_the_queue() {
    let (daemon, address) = slow("wait/25000/echo");
    let request = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = connect(address).unwrap();
    first.write_all(request).unwrap();
    eventually("the first call runs", || daemon.module("m").in_flight == 1);
    let mut second = connect(address).unwrap();
    second.write_all(request).unwrap();
    eventually("the second waits", || daemon.module("m").queued == 1);
    // Whoever closes its side at once waits for its answer.
    pause_for(Duration::from_secs(1));
    drop(second);
    eventually("nobody waits", || daemon.module("m").queued == 0);
    assert_eq!(daemon.module("m").in_flight, 1, "the first call still runs");
}

#[test]
fn bodies_have_room_together_and_large_ones_leave_some_to_small_ones() {
    let (daemon, address) = web::start("limits = { body = \"1 MiB\", bodies = \"1 B\" }");
    let large = vec![b'x'; 900_000];
    // Of each worker's room for four, large ones get half: two of these workers hold four.
    let begin = |_| {
        let mut stream = connect(address).unwrap();
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        // Whoever is refused meanwhile may be so in the middle.
        stream.write_all(&large).unwrap_or_default();
        stream
    };
    let clients: Vec<TcpStream> = (0..8).map(begin).collect();
    let is_answered = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        answered
    };
    eventually("some are refused", || clients.iter().filter(|stream| is_answered(stream)).count() == 4);
    echoes(&mut connect(address).unwrap());
    let (refused, clients): (Vec<_>, Vec<_>) = clients.into_iter().partition(is_answered);
    assert_eq!((refused.len(), clients.len()), (4, 4));
    for mut stream in refused {
        assert_eq!(web::read(&mut stream).unwrap().status, 503);
    }
    for mut stream in clients {
        stream.write_all(&vec![b'x'; 100_000]).unwrap();
        assert_eq!(web::read(&mut stream).unwrap().status, 200);
    }
    eventually("all is given back", || {
        let mut stream = connect(address).unwrap();
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n").unwrap();
        stream.write_all(&large).is_ok() && web::read(&mut stream).is_ok_and(|answer| answer.status == 200)
    });
    assert_eq!(facts(&daemon, "web").refused, 0);
}

#[test]
fn a_trigger_that_is_renamed_under_load_fails_no_request() {
    let free = free();
    let listen = format!("\"{free}\"");
    let named =
        |name: &str| format!("{}{}", module("m", "instances = \"per-worker\""), web::trigger(name, &listen, ""));
    let daemon = Daemon::start(&named("one"));
    web::wait_until_up(&daemon, "one");
    let load = Load::start(free, 8);
    for name in ["two", "three", "two"] {
        load.wait_for(200);
        daemon.home().configure(&named(name));
        daemon.ctl(&["reload"]);
        web::wait_until_up(&daemon, name);
        load.wait_for_each();
    }
    assert_eq!(load.end(), Vec::<String>::new());
    eventually("those before are forgotten", || daemon.status().triggers.len() == 1);
}

#[test]
fn routes_limits_and_listeners_change_while_connections_go_on() {
    let (daemon, address) = web::start("");
    let mut stream = connect(address).unwrap();
    echoes(&mut stream);
    let second = free();
    let both = format!("[\"{address}\", \"{second}\"]");
    daemon.home().configure(&format!(
        "{}{}",
        module("m", "instances = \"per-worker\""),
        web::trigger("web", &both, "limits = { body = \"1 B\" }")
    ));
    daemon.ctl(&["reload"]);
    assert_eq!(ask(&mut stream, ECHO).unwrap().status, 413);
    let mut idle = connect(second).unwrap();
    assert_eq!(ask(&mut connect(address).unwrap(), ECHO).unwrap().status, 413);

    // The first listener goes: its connections end, that of the other goes on.
    let one = format!("\"{second}\"");
    daemon.home().configure(&format!("{}{}", module("m", "instances = \"per-worker\""), web::trigger("web", &one, "")));
    let mut other = connect(second).unwrap();
    echoes_or_too_large(&mut other);
    daemon.ctl(&["reload"]);
    eventually("nobody listens there", || TcpStream::connect(address).is_err());
    echoes(&mut idle);
    eventually("its connections end", || facts(&daemon, "web").connections == 2);
    drop((idle, other));
}

fn echoes_or_too_large(stream: &mut TcpStream) {
    assert!([200, 413].contains(&ask(stream, ECHO).unwrap().status));
}

#[test]
fn a_stop_under_load_fails_no_request() {
    let (daemon, address) = web::start("");
    let mut idle = connect(address).unwrap();
    echoes(&mut idle);
    let load = Load::start(address, 8);
    load.wait_for(500);
    daemon.signal(Signal::TERM);
    // A request that was on its way is answered.
    assert!(ask(&mut idle, ECHO).is_ok_and(|answer| answer.status == 200));
    let mut daemon = daemon;
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(load.end(), Vec::<String>::new());
}

#[test]
fn clients_of_every_bad_kind_leave_nothing_behind() {
    let (daemon, address) = web::start(
        "limits = { head_timeout = \"200ms\", keep_alive = \"200ms\", body_timeout = \"200ms\", write_timeout = \"200ms\" }",
    );
    let kinds: [&[u8]; 6] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00garbage\xff\xfe\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x04\x08\x00\x00\x00\x00\x00\xff\xff",
        b"POST /echo HTTP/1.1\r\nho",
    ];
    let wave = |count: usize| {
        for _ in 0..count / 250 {
            let clients: Vec<TcpStream> = (0..250)
                .filter_map(|index| {
                    let mut stream = connect(address).ok()?;
                    stream.write_all(kinds[index % kinds.len()]).unwrap_or_default();
                    // Some end their side and wait, some go away, some stay.
                    if index % 3 == 1 {
                        stream.shutdown(Shutdown::Write).unwrap_or_default();
                    }
                    (index % 3 != 2).then_some(stream)
                })
                .collect();
            // Where the machine does something else for as long as a client may take, it is one of them.
            let good = || connect(address).and_then(|mut stream| ask(&mut stream, ECHO));
            eventually("a good client is answered", || good().is_ok_and(|answer| answer.status == 200));
            clients.into_iter().for_each(|mut stream| drop(rest(&mut stream)));
        }
        eventually("connections are gone", || facts(&daemon, "web").connections == 0);
    };
    wave(1_000);
    let (before, kept) = (descriptors(&daemon), memory(&daemon));
    wave(10_000);
    eventually("descriptors are as before", || descriptors(&daemon) <= before + 2);
    let grown = memory(&daemon).saturating_sub(kept);
    assert!(grown < 8 * 1024, "{grown} KiB more than before");
}

#[test]
fn a_thousand_idle_connections_are_kept_and_end_in_their_time() {
    // Time for a busy machine to take all of them before the first one ends.
    let (daemon, address) = web::start("limits = { keep_alive = \"12s\", head_timeout = \"12s\" }");
    let before = descriptors(&daemon);
    let idle: Vec<TcpStream> = (0..1_000).map(|_| connect(address).unwrap()).collect();
    eventually("all are there", || facts(&daemon, "web").connections == 1_000);
    echoes(&mut connect(address).unwrap());
    eventually("they have ended", || facts(&daemon, "web").connections == 0);
    // A connection is counted out before it is closed.
    eventually("descriptors are as before", || descriptors(&daemon) <= before + 2);
    drop(idle);
}

#[test]
fn a_flood_of_connections_leaves_descriptors_to_everybody_else() {
    let home = Home::new(&web::config(""));
    let mut daemon = home.spawn_under("log", &["prlimit", "--nofile=96", "--"]);
    daemon.wait_until_ready();
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    let flood: Vec<TcpStream> = (0..150).map(|_| connect(address).unwrap()).collect();
    let said = "cannot accept connections for now";
    eventually("it has few left", || daemon.log().contains(said));
    eventually("whoever comes now is told so", || {
        web::read(&mut connect(address).unwrap()).is_ok_and(|answer| answer.status == 503)
    });
    // The control socket needs one, too.
    assert!(facts(&daemon, "web").refused > 0);
    drop(flood);
    eventually("there is room again", || facts(&daemon, "web").connections == 0);
    echoes(&mut connect(address).unwrap());
    eventually("connections are gone", || facts(&daemon, "web").connections <= 1);
    assert_eq!(daemon.log().matches(said).count(), 1);
}

#[test]
fn a_socket_file_that_is_none_is_never_replaced() {
    let listen = "\"unix:web.sock\"";
    let home = Home::new(&format!("{}{}", module("m", ""), web::trigger("web", listen, "")));
    std::fs::create_dir_all(home.path().join("run")).unwrap();
    let path = home.path().join("run/web.sock");
    std::fs::write(&path, "kept").unwrap();
    let daemon = home.start();
    eventually("it says why not", || {
        let exit = web::status(&daemon, "web").and_then(|trigger| trigger.last_exit);
        serde_json::to_string(&exit).unwrap().contains("no socket")
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    std::fs::remove_file(&path).unwrap();
    web::wait_until_up(&daemon, "web");
    echoes(&mut UnixStream::connect(&path).unwrap());
}

#[test]
fn clients_speak_the_protocol_that_they_choose() {
    let (_daemon, address) = web::start("");
    for (option, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http1.0", "1")] {
        assert_eq!(
            curl(&[option, "--data", "hello", &format!("http://{address}/echo")]),
            format!("hello 200 {version}")
        );
    }
}

/// What curl gets: body, status, version.
fn curl(arguments: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "-w", " %{http_code} %{http_version}"]).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A place for the tests of TLS, which ask as these do.
pub(crate) fn ask_with_curl(address: SocketAddr, authority: &std::path::Path, option: &str) -> String {
    let port = address.port();
    let place = format!("localhost:{port}:127.0.0.1");
    let (url, authority) = (format!("https://localhost:{port}/echo"), authority.to_str().unwrap().to_owned());
    curl(&[option, "--resolve", &place, "--cacert", &authority, "--data", "hello", &url])
}
