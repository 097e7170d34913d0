//! Log lines as entries of the systemd journal, in its native protocol: one datagram an entry, fields as fields.
//!
//! ```text
//!   event ── entry.rs: fields ──> bounded queue ── the log's thread ── socket.rs: datagram, or a sealed file ──> journal
//! ```
//!
//! What people ask for has a name of its own: `journalctl MODULE=greeter` finds a module's lines, its guest's as well.
//! Entries pass through the same bounded queue as other lines: a journal that hangs, or is gone, holds up nobody.

mod entry;
mod socket;

use std::io::Write as _;

use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::layer::{Context, Layer};

use self::entry::Entry;
pub(super) use self::socket::Journal;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Makes an entry of each event and puts it into the queue.
pub(super) struct Entries(pub(super) NonBlocking);

impl<S: Subscriber> Layer<S> for Entries {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // A full queue counts what it drops; other errors it does not have.
        self.0.clone().write_all(&Entry::of(event).into_bytes()).unwrap_or_default();
    }
}

/// The entry that tells of dropped lines.
pub(super) fn dropped(lines: usize) -> Vec<u8> {
    counted(super::DROPPED, lines)
}

/// An entry that warns of so many lines.
fn counted(message: &str, lines: usize) -> Vec<u8> {
    let mut entry = Entry::new(Level::WARN);
    entry.field("MESSAGE", message);
    entry.field("WAPCD_LINES", &lines.to_string());
    entry.into_bytes()
}
