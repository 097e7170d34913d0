//! The way to the journal: a datagram where an entry fits into one, else a sealed file in memory; again and again while
//! the journal restarts.
//!
//! It runs on the thread that writes the log. While it waits for a journal that is gone, lines gather in the bounded queue
//! before it, which counts what it drops.

use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

use super::{counted, entry::shortened};

/// Between two attempts to reach a journal that is gone. A restart takes it tenths of a second; ten times as often would
/// gain nothing that the queue does not bear.
const RETRY: Duration = Duration::from_millis(100);

/// What is said of entries that the journal refused.
const LOST: &str = "log lines were lost because the journal did not take them";

/// A connection to the journal. Each write is one entry, and never fails: what cannot be written is counted and told.
pub(in super::super) struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
    /// Entries that were refused since the last report.
    lost: usize,
}

/// What became of one attempt.
enum Sent {
    Yes,
    /// Nobody listens: the journal is being restarted.
    Gone,
    /// It is not taken, whoever listens.
    Refused,
}

impl Journal {
    /// Connects to the journal that listens at this path.
    pub(in super::super) fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let socket = connected(&path)?;
        Ok(Self { path, socket, lost: 0 })
    }

    /// Sends an entry, for as long as nobody listens again and again.
    fn deliver(&mut self, entry: &[u8]) -> bool {
        loop {
            match self.send(entry) {
                Sent::Yes => return true,
                Sent::Refused => return false,
                Sent::Gone => self.reconnect(),
            }
        }
    }

    fn send(&self, entry: &[u8]) -> Sent {
        match self.socket.send(entry) {
            Ok(_) => Sent::Yes,
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MSGSIZE | Errno::NOBUFS) => self.send_large(entry),
                Some(Errno::INTR) => self.send(entry),
                Some(errno) if is_gone(errno) => Sent::Gone,
                _ => Sent::Refused,
            },
        }
    }

    /// Sends an entry that no datagram holds: as a file, or where such a file cannot be had, shortened.
    fn send_large(&self, entry: &[u8]) -> Sent {
        match sealed(entry).and_then(|file| pass(&self.socket, file)) {
            Ok(()) => Sent::Yes,
            Err(errno) if is_gone(errno) => Sent::Gone,
            Err(_) => match shortened(entry) {
                Some(short) => self.send(&short),
                None => Sent::Refused,
            },
        }
    }

    /// Connects anew, to whoever listens at the path now; after a wait, so that a loop around it is slow.
    fn reconnect(&mut self) {
        #[allow(clippy::disallowed_methods, reason = "this is the thread of the log, which nothing runs on but this")]
        thread::sleep(RETRY);
        // While there is no journal the old socket stays, whose next attempt says so again.
        if let Ok(socket) = connected(&self.path) {
            self.socket = socket;
        }
    }
}

impl io::Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        if !self.deliver(entry) {
            self.lost += 1;
        } else if self.lost > 0 && self.deliver(&counted(LOST, self.lost)) {
            self.lost = 0;
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Whether nobody has the other end any more.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::CONNREFUSED | Errno::NOTCONN | Errno::CONNRESET | Errno::PIPE | Errno::NOENT)
}

/// A file in memory with these bytes that nobody can change any more, which is what the journal maps.
fn sealed(entry: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create("journal-entry", flags | MemfdFlags::NOEXEC_SEAL) {
        // A kernel before 6.3.
        Err(Errno::INVAL) => memfd_create("journal-entry", flags)?,
        file => file?,
    };
    let mut file = File::from(file);
    file.write_all(entry).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}

/// Sends a descriptor with an empty datagram.
fn pass(socket: &UnixDatagram, file: OwnedFd) -> Result<(), Errno> {
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let nothing: [IoSlice<'_>; 0] = [];
    sendmsg(socket, &nothing, &mut ancillary, SendFlags::NOSIGNAL).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::{
        io::{Read as _, Seek as _},
        mem::MaybeUninit,
        sync::mpsc,
    };

    use rustix::{
        fs::fcntl_get_seals,
        io::IoSliceMut,
        net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_send_buffer_size},
    };
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{
        super::{Entries, dropped, entry::tests::fields},
        *,
    };

    /// How long a test waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn listen(path: &Path) -> UnixDatagram {
        let journal = UnixDatagram::bind(path).unwrap();
        journal.set_read_timeout(Some(PATIENCE)).unwrap();
        journal
    }

    fn receive(journal: &UnixDatagram) -> Vec<(String, String)> {
        let mut buffer = vec![0; 1 << 18];
        let length = journal.recv(&mut buffer).unwrap();
        fields(&buffer[..length])
    }

    fn says(fields: &[(String, String)], name: &str, value: &str) -> bool {
        fields.contains(&(name.to_owned(), value.to_owned()))
    }

    #[test]
    fn an_event_arrives_in_the_journal_with_its_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = listen(&path);
        let (queue, _guard) = super::super::super::queue(Journal::connect(&path).unwrap(), dropped);
        let line = line!() + 2;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Entries(queue)), || {
            tracing::warn!(
                module = "greeter",
                instance = 3_u64,
                generation = 2_u64,
                call = 42_u64,
                of_binding = "cache",
                trigger = None::<&str>,
                elapsed_ms = 7,
                "two\nlines"
            );
        });
        let fields = receive(&journal);
        for (name, value) in [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "wapcd"),
            (
                "MESSAGE",
                "two\nlines module=\"greeter\" instance=3 generation=2 call=42 of_binding=\"cache\" elapsed_ms=7",
            ),
            ("MODULE", "greeter"),
            ("INSTANCE", "3"),
            ("GENERATION", "2"),
            ("CALL", "42"),
            ("BINDING", "cache"),
            ("WAPCD_ELAPSED_MS", "7"),
            ("CODE_FILE", file!()),
            ("CODE_LINE", &line.to_string()),
        ] {
            assert!(says(&fields, name, value), "{name}={value} is not in {fields:?}");
        }
        assert!(!fields.iter().any(|(name, _)| name == "TRIGGER"), "{fields:?}");
    }

    #[test]
    fn the_message_of_a_guests_line_is_what_the_guest_wrote_and_facts_of_others_cannot_look_like_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = listen(&path);
        let (queue, _guard) = super::super::super::queue(Journal::connect(&path).unwrap(), dropped);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Entries(queue)), || {
            tracing::info!(target: "wapcd::guest", module = "greeter", "an order");
            tracing::info!(why = %"one\nmore", "ended");
        });
        assert!(says(&receive(&journal), "MESSAGE", "an order"));
        let fields = receive(&journal);
        assert!(
            says(&fields, "MESSAGE", "ended why=one\\nmore") && says(&fields, "WAPCD_WHY", "one\nmore"),
            "{fields:?}"
        );
    }

    /// Takes an entry that came as a file.
    fn receive_file(journal: &UnixDatagram) -> File {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 16];
        let answer = recvmsg(journal, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::empty()).unwrap();
        assert_eq!(answer.bytes, 0, "a datagram with a file has nothing else");
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        File::from(descriptor.unwrap())
    }

    #[test]
    fn an_entry_too_large_for_a_datagram_goes_as_a_sealed_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let receiver = listen(&path);
        let mut journal = Journal::connect(&path).unwrap();
        set_socket_send_buffer_size(&journal.socket, 8 << 10).unwrap();
        let mut large = Vec::new();
        for _ in 0..4 {
            large.extend(counted(&"x".repeat(20_000), 1));
        }
        journal.write_all(&large).unwrap();
        let mut file = receive_file(&receiver);
        let seals = fcntl_get_seals(&file).unwrap();
        assert!(seals.contains(SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE), "{seals:?}");
        let mut found = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut found).unwrap();
        assert!(found == large, "{} bytes", found.len());
        // And small ones come as before.
        journal.write_all(&counted("small", 1)).unwrap();
        assert!(says(&receive(&receiver), "MESSAGE", "small"));
    }

    #[test]
    fn a_journal_that_restarts_gets_what_was_written_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = listen(&path);
        let mut journal = Journal::connect(&path).unwrap();
        journal.write_all(&counted("before", 1)).unwrap();
        assert!(says(&receive(&first), "MESSAGE", "before"));
        let probe = UnixDatagram::unbound().unwrap();
        probe.connect(&path).unwrap();
        drop(first);
        // A process that another test has just started may have it open for a moment.
        while probe.send(b"").is_ok() {
            thread::yield_now();
        }
        std::fs::remove_file(&path).unwrap();
        let (began, begun) = mpsc::channel();
        let writer = thread::spawn(move || {
            began.send(()).unwrap();
            for message in ["meanwhile", "after"] {
                journal.write_all(&counted(message, 1)).unwrap();
            }
            journal.lost
        });
        begun.recv().unwrap();
        let second = listen(&path);
        assert!(says(&receive(&second), "MESSAGE", "meanwhile"));
        assert!(says(&receive(&second), "MESSAGE", "after"));
        assert_eq!(writer.join().unwrap(), 0);
    }

    #[test]
    fn entries_that_are_refused_are_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let receiver = listen(&path);
        let mut journal = Journal::connect(&path).unwrap();
        // As after two that were refused.
        journal.lost = 2;
        journal.write_all(&counted("next", 1)).unwrap();
        assert!(says(&receive(&receiver), "MESSAGE", "next"));
        let told = receive(&receiver);
        assert!(says(&told, "MESSAGE", LOST) && says(&told, "WAPCD_LINES", "2"), "{told:?}");
        assert_eq!(journal.lost, 0);
    }
}
