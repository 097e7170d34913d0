//! One entry: an event's fields under the journal's names, in the form that carries any value.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// Bytes of one value; what is more is cut off. A guest's longest line fits; with half of it, such a line is cut.
const MAX_VALUE: usize = 64 << 10;

/// Bytes of all values of one entry. Twice the longest value: a line and what is said about it fit. A datagram holds about
/// 200 KiB by default, and what is larger takes the way of `socket.rs`.
const MAX_VALUES: usize = 2 * MAX_VALUE;

/// Bytes that values keep when an entry must be small.
const SHORT_VALUE: usize = 512;

/// The fields that have the names that people ask for, and those names. All others get a prefix, so that none is taken for
/// a field that means something to the journal.
const WELL_KNOWN: [(&str, &str); 7] = [
    ("module", "MODULE"),
    ("instance", "INSTANCE"),
    ("generation", "GENERATION"),
    ("call", "CALL"),
    ("binding", "BINDING"),
    // The binding of an event that is about a module.
    ("of_binding", "BINDING"),
    ("trigger", "TRIGGER"),
];

/// What tracing calls the text of an event.
const MESSAGE: &str = "message";

/// What stands before all other names.
const PREFIX: &str = "WAPCD_";

/// The lines of guests, whose text is the message as it is: they are looked for by the name of their module.
const OF_GUESTS: &str = "wapcd::guest";

/// Longest name that the journal takes.
const MAX_NAME: usize = 64;

/// One entry while it is being made.
pub(super) struct Entry {
    bytes: Vec<u8>,
    /// Bytes that values may still have.
    room: usize,
}

impl Entry {
    /// An entry of this level, without a message.
    pub(super) fn new(level: Level) -> Self {
        let mut entry = Self { bytes: Vec::with_capacity(512), room: MAX_VALUES };
        entry.field("PRIORITY", priority(level));
        entry.field("SYSLOG_IDENTIFIER", "wapcd");
        entry
    }

    /// The entry of an event.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut entry = Self::new(*metadata.level());
        entry.field("TARGET", metadata.target());
        if let Some(file) = metadata.file() {
            entry.field("CODE_FILE", file);
        }
        if let Some(line) = metadata.line() {
            entry.field("CODE_LINE", &line.to_string());
        }
        let mut message = Message { text: String::new(), facts: String::new() };
        event.record(&mut message);
        let facts = if metadata.target() == OF_GUESTS { "" } else { &message.facts };
        entry.field("MESSAGE", &(message.text + facts));
        event.record(&mut entry);
        entry
    }

    /// Adds a field: name, line break, length, value, line break.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        let value = value.get(..value.floor_char_boundary(self.room.min(MAX_VALUE))).unwrap_or_default();
        self.room -= value.len();
        push(&mut self.bytes, name.as_bytes(), value.as_bytes());
    }

    /// The entry as the journal takes it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        match WELL_KNOWN.iter().find(|(own, _)| *own == field.name()) {
            Some((_, name)) => self.field(name, value),
            None if field.name() == MESSAGE => {}
            None => self.field(&prefixed(field.name()), value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// What a reader sees who looks at messages alone: the text, and the facts behind it as the lines on a terminal have them.
struct Message {
    text: String,
    facts: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == MESSAGE {
            self.text = value;
            return;
        }
        // Writing to a text never fails.
        write!(self.facts, " {field}=").unwrap_or_default();
        let end = value.floor_char_boundary(SHORT_VALUE);
        for character in value.get(..end).unwrap_or_default().chars() {
            match character.is_control() {
                true => self.facts.extend(character.escape_default()),
                false => self.facts.push(character),
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            MESSAGE => value.clone_into(&mut self.text),
            _ => self.record_debug(field, &value),
        }
    }
}

fn push(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    bytes.extend_from_slice(name);
    bytes.push(b'\n');
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
}

/// The same entry with short values: about a kilobyte, which any datagram holds. `None` where it would be the same.
pub(super) fn shortened(entry: &[u8]) -> Option<Vec<u8>> {
    let (mut short, mut cut, mut rest) = (Vec::with_capacity(2 << 10), false, entry);
    while let Some((name, value, next)) = first_field(rest) {
        let kept = value.get(..SHORT_VALUE).unwrap_or(value);
        push(&mut short, name, kept);
        (cut, rest) = (cut || kept.len() < value.len(), next);
    }
    cut.then_some(short)
}

/// Name and value of the first field, and what follows it.
fn first_field(entry: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = entry.iter().position(|&byte| byte == b'\n')?;
    let (name, rest) = (entry.get(..end)?, entry.get(end + 1..)?);
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((name, value, rest.get(1..)?))
}

/// A field's name with the prefix, in capitals, digits and underscores.
fn prefixed(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    PREFIX.chars().chain(name.chars().map(clean)).take(MAX_NAME).collect()
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
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Reads the fields of an entry, as the journal would.
    pub(in super::super) fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let (name, value, rest) = first_field(entry).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.push((text(name), text(value)));
            entry = rest;
        }
        fields
    }

    #[test]
    fn a_huge_value_is_cut_at_a_character_and_those_after_it_stay() {
        let mut entry = Entry::new(Level::INFO);
        entry.field("MESSAGE", &format!("x{}", "ü".repeat(1 << 20)));
        entry.field("MODULE", "greeter");
        let fields = fields(&entry.into_bytes());
        let message = fields.iter().find(|(name, _)| name == "MESSAGE").unwrap();
        assert_eq!(message.1.len(), MAX_VALUE - 1);
        assert_eq!(fields.last().unwrap(), &("MODULE".to_owned(), "greeter".to_owned()));
    }

    #[test]
    fn many_huge_values_are_cut_together_and_the_entry_stays_whole() {
        let mut entry = Entry::new(Level::INFO);
        for name in ["A", "B", "C", "D"] {
            entry.field(name, &"x".repeat(1 << 20));
        }
        let bytes = entry.into_bytes();
        assert!(bytes.len() < MAX_VALUES + 200, "{}", bytes.len());
        assert_eq!(fields(&bytes).last().unwrap(), &("D".to_owned(), String::new()));
    }

    #[test]
    fn a_short_form_has_every_field_and_is_only_made_where_it_is_shorter() {
        let mut entry = Entry::new(Level::INFO);
        entry.field("MESSAGE", &"x".repeat(5_000));
        entry.field("MODULE", "greeter");
        let long = entry.into_bytes();
        let short = shortened(&long).unwrap();
        let names = |bytes: &[u8]| fields(bytes).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&short), names(&long));
        assert!(short.len() < 1_000 && fields(&short).contains(&("MODULE".into(), "greeter".into())));
        assert_eq!(shortened(&short), None);
    }

    #[test]
    fn names_are_what_the_journal_takes() {
        assert_eq!(prefixed("elapsed_ms"), "WAPCD_ELAPSED_MS");
        assert_eq!(prefixed("r#type.ä"), "WAPCD_R_TYPE__");
        assert_eq!(prefixed(&"x".repeat(100)).len(), MAX_NAME);
    }
}
