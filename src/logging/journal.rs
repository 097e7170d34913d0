//! Log lines as entries of the systemd journal, in its native protocol: one datagram an entry, fields as fields.
//!
//! A field `module` becomes `WAPCD_MODULE`, so `journalctl WAPCD_MODULE=greeter` finds a module's lines. Entries pass
//! through the same bounded queue as other lines: a journal that hangs holds up nobody.

use std::{
    fmt,
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
    path::Path,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::layer::{Context, Layer};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Bytes of all values in one entry; what is more is cut off. A datagram holds about 200 KiB by default, and a guest's
/// line is at most 64 KiB.
const MAX_VALUES: usize = 128 << 10;

/// A connection to the journal. Each write is one entry.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    pub(super) fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }
}

impl io::Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send(entry)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes an entry of each event and puts it into the queue.
pub(super) struct Entries(pub(super) NonBlocking);

impl<S: Subscriber> Layer<S> for Entries {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::new(*metadata.level());
        entry.field("TARGET", metadata.target());
        event.record(&mut entry);
        // A full queue counts what it drops; other errors it does not have.
        self.0.clone().write_all(&entry.bytes).unwrap_or_default();
    }
}

/// The entry that tells of dropped lines.
pub(super) fn dropped(lines: usize) -> Vec<u8> {
    let mut entry = Entry::new(Level::WARN);
    entry.field("MESSAGE", super::DROPPED);
    entry.field("WAPCD_LINES", &lines.to_string());
    entry.bytes
}

/// One entry while it is being made.
struct Entry {
    bytes: Vec<u8>,
    /// Bytes that values may still have.
    room: usize,
}

impl Entry {
    fn new(level: Level) -> Self {
        let mut entry = Self { bytes: Vec::with_capacity(256), room: MAX_VALUES };
        entry.field("PRIORITY", priority(level));
        entry.field("SYSLOG_IDENTIFIER", "wapcd");
        entry
    }

    /// Adds a field in the form that carries any value: name, line break, length, value, line break.
    fn field(&mut self, name: &str, value: &str) {
        let value = value.as_bytes().get(..self.room).unwrap_or(value.as_bytes());
        self.room -= value.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(&field_name(field.name()), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A field's name in the journal, which takes capitals, digits and underscores, and at most 64 of them.
fn field_name(name: &str) -> String {
    if name == "message" {
        return "MESSAGE".to_owned();
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    "WAPCD_".chars().chain(name.chars().map(clean)).take(64).collect()
}

/// The level as syslog counts it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Reads the fields of an entry, as the journal would.
    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|&byte| byte == b'\n').unwrap();
            let length = u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap()) as usize;
            let value = &entry[end + 9..end + 9 + length];
            fields.push((String::from_utf8(entry[..end].to_vec()).unwrap(), String::from_utf8_lossy(value).into()));
            assert_eq!(entry[end + 9 + length], b'\n');
            entry = &entry[end + 10 + length..];
        }
        fields
    }

    #[test]
    fn an_event_arrives_in_the_journal_with_its_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        journal.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let (queue, _guard) = super::super::queue(Journal::connect(&path).unwrap(), dropped);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Entries(queue)), || {
            tracing::warn!(module = "greeter", elapsed_ms = 7, "two\nlines");
        });
        let mut buffer = vec![0; 1 << 16];
        let length = journal.recv(&mut buffer).unwrap();
        let fields = fields(&buffer[..length]);
        for (name, value) in
            [("PRIORITY", "4"), ("MESSAGE", "two\nlines"), ("WAPCD_MODULE", "greeter"), ("WAPCD_ELAPSED_MS", "7")]
        {
            assert!(fields.contains(&(name.into(), value.into())), "{name} is not in {fields:?}");
        }
    }

    #[test]
    fn a_huge_value_is_cut_and_the_entry_stays_whole() {
        let mut entry = Entry::new(Level::INFO);
        entry.field("MESSAGE", &"x".repeat(1 << 20));
        entry.field("WAPCD_MODULE", "greeter");
        let fields = fields(&entry.bytes);
        assert!(entry.bytes.len() < MAX_VALUES + 200);
        assert_eq!(fields.last().unwrap(), &("WAPCD_MODULE".to_owned(), String::new()));
    }
}
