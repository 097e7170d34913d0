//! A client of `http` triggers that sees every byte, and what the daemon says of them.

use std::{
    io::{self, Read as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use wapcd::{
    supervisor::status::{ServiceState, TriggerStatus},
    triggers::Detail,
};

use crate::harness::{Daemon, eventually, module};

/// A request that the menu answers with its body.
pub(crate) const ECHO: &[u8] = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";

/// A trigger of this name whose paths are operations of the menu.
pub(crate) fn trigger(name: &str, listen: &str, keys: &str) -> String {
    format!(
        "[triggers.{name}]\ntype = \"http\"\nlisten = {listen}\n{keys}\n\
         [[triggers.{name}.routes]]\npath = \"/{{op}}\"\nmodule = \"m\"\noperation = \"{{op}}\"\n"
    )
}

/// The menu, and a trigger `web` at a free port.
pub(crate) fn config(keys: &str) -> String {
    format!("{}{}", module("m", "instances = \"per-worker\""), trigger("web", "\"127.0.0.1:0\"", keys))
}

/// A daemon with that, at work.
pub(crate) fn start(keys: &str) -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&config(keys));
    wait_until_up(&daemon, "web");
    let address = address(&daemon, "web", 0);
    (daemon, address)
}

pub(crate) fn status(daemon: &Daemon, name: &str) -> Option<TriggerStatus> {
    daemon.status().triggers.into_iter().find(|trigger| trigger.name == name)
}

pub(crate) fn wait_until_up(daemon: &Daemon, name: &str) {
    eventually(&format!("{name} is up"), || {
        status(daemon, name).is_some_and(|trigger| trigger.state == ServiceState::Running)
    });
}

/// What a trigger says of its listeners, connections, refused ones and answers.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) listeners: Vec<String>,
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) responses: [u64; 5],
}

pub(crate) fn facts(daemon: &Daemon, name: &str) -> Facts {
    match status(daemon, name).unwrap().facts.unwrap().detail {
        Detail::Http { listeners, connections, connections_refused: refused, responses } => Facts {
            listeners: listeners.into_iter().map(|listener| listener.address).collect(),
            connections,
            refused,
            responses,
        },
        other => panic!("{other:?}"),
    }
}

/// Where a listener is.
pub(crate) fn address(daemon: &Daemon, name: &str, listener: usize) -> SocketAddr {
    facts(daemon, name).listeners[listener].parse().unwrap()
}

/// A connection that waits for nothing longer than half a minute.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// One answer of a connection that may have further ones.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn ask(stream: &mut (impl io::Read + io::Write), request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    read(stream)
}

pub(crate) fn read(stream: &mut impl io::Read) -> io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = value("content-length:").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, closes: value("connection:") == Some("close"), body })
}

/// Everything until the connection ends; a reset is an end.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map(drop).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

/// Clients that ask one after the other, each over a connection of its own that it keeps as long as it may.
pub(crate) struct Load {
    end: Arc<AtomicBool>,
    /// Of each client.
    answered: Vec<Arc<AtomicU64>>,
    clients: Vec<JoinHandle<Option<String>>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        let end = Arc::<AtomicBool>::default();
        let answered: Vec<_> = (0..clients).map(|_| Arc::<AtomicU64>::default()).collect();
        let client = |answered: &Arc<AtomicU64>| {
            let (end, answered) = (Arc::clone(&end), Arc::clone(answered));
            std::thread::spawn(move || ask_until(address, &end, &answered))
        };
        let clients = answered.iter().map(client).collect();
        Self { end, answered, clients }
    }

    pub(crate) fn wait_for(&self, answers: u64) {
        let answered = || self.of_each().iter().sum::<u64>();
        let before = answered();
        eventually("requests are answered", || answered() >= before + answers);
    }

    /// Waits until each client has further answers: none has met a closed door.
    pub(crate) fn wait_for_each(&self) {
        let before = self.of_each();
        eventually("every client gets answers", || {
            self.of_each().iter().zip(&before).all(|(now, before)| *now > before + 1)
        });
    }

    fn of_each(&self) -> Vec<u64> {
        self.answered.iter().map(|answered| answered.load(Ordering::Relaxed)).collect()
    }

    /// What failed.
    pub(crate) fn end(self) -> Vec<String> {
        self.end.store(true, Ordering::Relaxed);
        self.clients.into_iter().filter_map(|client| client.join().unwrap()).collect()
    }
}

/// Asks until it is told to end or nobody listens any more; what failed.
fn ask_until(address: SocketAddr, end: &AtomicBool, answered: &AtomicU64) -> Option<String> {
    let mut stream = None;
    let mut fresh = true;
    while !end.load(Ordering::Relaxed) {
        if stream.is_none() {
            fresh = true;
            stream = connect(address).ok();
        }
        let Some(open) = &mut stream else { return None };
        match ask(open, ECHO) {
            Ok(answer) if answer.status == 200 && answer.body == b"hello" => {
                answered.fetch_add(1, Ordering::Relaxed);
                fresh = false;
                if answer.closes {
                    stream = None;
                }
            }
            Ok(answer) => return Some(format!("{answer:?}")),
            // The listener was closed before anybody took it.
            Err(error) if fresh && error.kind() == io::ErrorKind::ConnectionReset => return None,
            Err(error) => return Some(format!("{error} on {} connection", if fresh { "a fresh" } else { "an open" })),
        }
    }
    None
}
