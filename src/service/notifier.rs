//! The socket of the service manager: whole messages, never waiting. What it does not take now is kept, in order, and sent
//! before the next.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::Mutex;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
        sendmsg_addr,
    },
};

/// Messages that are kept at most: a service manager that is being started anew takes none for some seconds, in which there
/// are a few. One that takes none for longer has lost more than these.
const KEPT: usize = 256;

/// Sends messages to the service manager.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: OwnedFd,
    address: SocketAddrUnix,
    waiting: Mutex<VecDeque<Message>>,
    /// Whether it was told that messages cannot be sent.
    complained: AtomicBool,
}

/// One datagram.
#[derive(Debug)]
pub(super) struct Message {
    /// `NAME=VALUE`, a line each.
    text: String,
    /// A descriptor that goes with it.
    descriptor: Option<OwnedFd>,
}

impl Message {
    /// A message of these lines.
    pub(super) fn new(lines: &[&str]) -> Self {
        Self { text: lines.join("\n"), descriptor: None }
    }

    /// The same with a descriptor.
    pub(super) fn with_descriptor(lines: &[&str], descriptor: OwnedFd) -> Self {
        Self { descriptor: Some(descriptor), ..Self::new(lines) }
    }
}

impl Notifier {
    /// The way to the socket at a path or, after `@`, of an abstract name.
    ///
    /// # Errors
    /// It is no such address; the system gives no socket.
    pub(super) fn new(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            path @ [b'/', ..] => SocketAddrUnix::new(path)?,
            _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(Self { socket, address, waiting: Mutex::default(), complained: AtomicBool::new(false) })
    }

    /// Sends a message after those that still wait.
    pub(super) fn send(&self, message: Message) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < KEPT {
            waiting.push_back(message);
        } else {
            self.complain(&io::Error::from(Errno::AGAIN));
        }
        self.send_waiting(&mut waiting);
    }

    /// Sends what still waits; whether nothing does any more.
    pub(super) fn flush(&self) -> bool {
        let mut waiting = self.waiting.lock();
        self.send_waiting(&mut waiting);
        waiting.is_empty()
    }

    fn send_waiting(&self, waiting: &mut VecDeque<Message>) {
        while let Some(message) = waiting.front() {
            match self.try_send(message) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                // Its buffer is full.
                Err(Errno::AGAIN | Errno::NOBUFS) => return,
                Err(error) => self.complain(&error.into()),
            }
            waiting.pop_front();
        }
    }

    fn try_send(&self, message: &Message) -> Result<(), Errno> {
        let descriptors = message.descriptor.as_ref().map(|descriptor| [descriptor.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptors) = &descriptors {
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            debug_assert!(fits, "there is room for one");
        }
        let text = [IoSlice::new(message.text.as_bytes())];
        sendmsg_addr(&self.socket, &self.address, &text, &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            .map(drop)
    }

    fn complain(&self, error: &io::Error) {
        if !self.complained.swap(true, Relaxed) {
            tracing::warn!(%error, "the service manager does not take messages");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn what_is_not_taken_at_once_is_sent_later_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::new(path.as_os_str()).unwrap();
        // Room for a few.
        rustix::net::sockopt::set_socket_send_buffer_size(&notifier.socket, 4096).unwrap();
        (0..100).for_each(|n| notifier.send(Message::new(&[&n.to_string(), "second line"])));
        assert!(!notifier.flush(), "nobody has taken any");
        let (mut bytes, mut received) = ([0; 64], Vec::new());
        while received.len() < 100 {
            match manager.recv(&mut bytes) {
                Ok(length) => received.push(String::from_utf8_lossy(bytes.get(..length).unwrap()).into_owned()),
                Err(_nothing_yet) => drop(notifier.flush()),
            }
        }
        assert_eq!(received, (0..100).map(|n| format!("{n}\nsecond line")).collect::<Vec<_>>());
        assert!(notifier.flush());
    }

    #[test]
    fn messages_are_bounded_and_an_address_that_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str()).unwrap();
        (0..10 * KEPT).for_each(|_| notifier.send(Message::new(&["WATCHDOG=1"])));
        assert!(notifier.waiting.lock().len() <= KEPT);
        for wrong in ["", "notify", "vsock:1:2"] {
            assert!(Notifier::new(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
