//! A service manager: a socket that daemons send their messages to, and what came.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{fd::OwnedFd, linux::net::SocketAddrExt as _, unix::net::UnixDatagram},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::harness::{Daemon, Home, eventually};

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) lines: Vec<String>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Message {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|it| it == line)
    }

    /// What a line of that name says.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The manager.
#[derive(Debug)]
pub(crate) struct Manager {
    address: String,
    messages: Arc<Mutex<Vec<Message>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.sock");
        Self::at(path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap(), dir)
    }

    /// One at an address without a file.
    pub(crate) fn abstract_one() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_str().unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        Self::at(format!("@{name}"), UnixDatagram::bind_addr(&address).unwrap(), dir)
    }

    fn at(address: String, socket: UnixDatagram, dir: TempDir) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (messages, end) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (received, ends) = (Arc::clone(&messages), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !ends.load(Relaxed) {
                if let Some(message) = receive(&socket) {
                    received.lock().push(message);
                }
            }
        });
        Self { address, messages, end, thread: Some(thread), _dir: dir }
    }

    /// Starts a daemon, and waits for nothing.
    pub(crate) fn spawn(&self, home: Home) -> Daemon {
        home.spawn_with("log", &[("NOTIFY_SOCKET", &self.address)])
    }

    /// The same, and wants a sign of life within such a time.
    pub(crate) fn spawn_watched(&self, home: Home, within: Duration) -> Daemon {
        let within = within.as_micros().to_string();
        home.spawn_with("log", &[("NOTIFY_SOCKET", &self.address), ("WATCHDOG_USEC", &within)])
    }

    /// Starts a daemon that gets ready.
    pub(crate) fn start(&self, toml: &str) -> Daemon {
        let daemon = self.spawn(Home::new(toml));
        self.wait_for(0, "READY=1");
        daemon
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What came until now, as somebody looks at it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Message]) -> T) -> T {
        look(&self.messages.lock())
    }

    /// How many messages have come.
    pub(crate) fn count(&self) -> usize {
        self.look(<[_]>::len)
    }

    /// Waits for a message with that line, from that number on; its number.
    pub(crate) fn wait_for(&self, from: usize, line: &str) -> usize {
        self.wait(from, line, |message| message.has(line))
    }

    /// Waits for a status, from that number on; its number.
    pub(crate) fn wait_for_status(&self, from: usize, text: &str) -> usize {
        self.wait_for(from, &format!("STATUS={text}"))
    }

    /// Waits for a message, from that number on; its number.
    pub(crate) fn wait(&self, from: usize, what: &str, is_it: impl Fn(&Message) -> bool) -> usize {
        let find = || self.look(|all| (from..all.len()).find(|at| is_it(&all[*at])));
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || find().is_some());
        }));
        if let Err(panic) = found {
            self.look(|all| panic!("{what} did not come, but {:?} ({panic:?})", &all[from..]));
        }
        find().unwrap()
    }

    /// What a line of a message says.
    pub(crate) fn value(&self, message: usize, name: &str) -> Option<String> {
        self.look(|all| all[message].value(name).map(str::to_owned))
    }

    /// Messages that have that line, from one number to before another.
    pub(crate) fn count_of(&self, from: usize, to: usize, line: &str) -> usize {
        self.look(|all| all[from..to].iter().filter(|message| message.has(line)).count())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn receive(socket: &UnixDatagram) -> Option<Message> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    let text = std::str::from_utf8(&bytes[..received.bytes]).unwrap();
    Some(Message { lines: text.lines().map(str::to_owned).collect(), descriptors })
}
