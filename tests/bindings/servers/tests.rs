//! That servers and the proxy do to bindings what tests believe they do.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Nats, Postgres, Proxy, Redis, Running, S3};

/// How long to wait for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(200);

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends a line to Redis and reads the start of the answer.
fn ask(stream: &mut TcpStream, line: &str) -> std::io::Result<String> {
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = [0; 256];
    match stream.read(&mut answer)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        count => Ok(String::from_utf8_lossy(&answer[..count]).into_owned()),
    }
}

fn survives_everything(server: &mut Running) {
    let connected = |server: &Running| TcpStream::connect(("127.0.0.1", server.port()));
    connected(server).unwrap();
    server.kill();
    assert_eq!(connected(server).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    server.restart();
    connected(server).unwrap();
    server.pause();
    server.resume();
    server.restart();
    connected(server).unwrap();
}

#[test]
fn every_server_is_killed_paused_and_started_again_on_its_port() {
    survives_everything(&mut Redis::with_tls());
    survives_everything(&mut Nats::start());
    survives_everything(&mut Nats::with_tls());
    survives_everything(&mut Postgres::start());
    survives_everything(&mut Postgres::with_tls());
    survives_everything(&mut S3::start());
}

#[test]
fn a_killed_redis_keeps_what_it_answered_and_a_paused_one_is_silent() {
    let mut redis = Redis::start();
    let mut client = connect(redis.port());
    assert_eq!(ask(&mut client, "SET k v").unwrap(), "+OK\r\n");
    redis.restart();
    assert!(ask(&mut client, "GET k").is_err());
    let mut client = connect(redis.port());
    assert_eq!(ask(&mut client, "GET k").unwrap(), "$1\r\nv\r\n");
    redis.pause();
    client.set_read_timeout(Some(SILENCE)).unwrap();
    assert_eq!(ask(&mut client, "PING").unwrap_err().kind(), ErrorKind::WouldBlock);
    redis.resume();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_redis_with_a_password_wants_it() {
    let redis = Redis::with_password();
    let mut client = connect(redis.port());
    assert!(ask(&mut client, "GET k").unwrap().starts_with("-NOAUTH"));
    assert_eq!(ask(&mut client, &format!("AUTH \"{}\"", super::PASSWORD)).unwrap(), "+OK\r\n");
}

#[test]
fn a_dropped_server_is_gone() {
    let redis = Redis::start();
    let port = redis.port();
    drop(redis);
    assert_eq!(TcpStream::connect(("127.0.0.1", port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_proxy_refuses_resets_delays_swallows_and_cuts() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port());
    let mut open = connect(proxy.port());
    assert_eq!(ask(&mut open, "PING").unwrap(), "+PONG\r\n");

    proxy.refuse();
    assert!(ask(&mut open, "PING").is_err());
    assert_eq!(TcpStream::connect(("127.0.0.1", proxy.port())).unwrap_err().kind(), ErrorKind::ConnectionRefused);

    proxy.reset();
    let error = ask(&mut connect(proxy.port()), "PING").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");

    proxy.pass();
    let mut open = connect(proxy.port());
    assert_eq!(ask(&mut open, "PING").unwrap(), "+PONG\r\n");
    proxy.delay(SILENCE);
    let start = Instant::now();
    assert_eq!(ask(&mut open, "PING").unwrap(), "+PONG\r\n");
    assert!(start.elapsed() >= SILENCE * 2);

    proxy.swallow();
    open.set_read_timeout(Some(SILENCE)).unwrap();
    assert_eq!(ask(&mut open, "PING").unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.pass();
    proxy.cut();
    assert!(ask(&mut open, "PING").is_err());

    proxy.cut_after(3);
    let mut open = connect(proxy.port());
    open.write_all(b"PING\r\n").unwrap();
    let mut answer = Vec::new();
    let ended = open.read_to_end(&mut answer);
    assert!(answer.len() <= 3 && ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}
