//! Messages as lines for people.

use super::visible;
use crate::{bindings::messaging::Published, control::MessageLine};

/// A message as one line: its topic, where an answer goes, and its payload as text, with escapes for what is none.
#[must_use]
pub fn message(message: &MessageLine) -> String {
    let mut text = visible(&message.topic);
    if let Some(reply_to) = &message.reply_to {
        text += &format!(" (answers to {})", visible(reply_to));
    }
    for (name, value) in &message.headers {
        text += &format!(" {}={}", visible(name), visible(value));
    }
    text + "  " + &payload(message.payload.as_ref())
}

/// The line that stands for messages which this listener was too slow for.
#[must_use]
pub fn lost_messages(lost: u64) -> String {
    format!("({lost} messages were lost: they came faster than they were read)")
}

/// What is known of a message that was published; empty where nothing is.
#[must_use]
pub fn published(known: &Published) -> String {
    match (&known.stream, known.sequence) {
        (Some(stream), Some(sequence)) => format!("stored as number {sequence} of stream {}\n", visible(stream)),
        _ => String::new(),
    }
}

fn payload(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.extend(
            chunk.valid().chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }),
        );
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_escape_sequences() {
        let mut it = MessageLine {
            topic: "orders.new".to_owned(),
            payload: b"gr\xc3\xbc\xc3\x9fe\n\x1b[2J\xff".to_vec().into(),
            headers: Default::default(),
            reply_to: None,
        };
        assert_eq!(message(&it), r"orders.new  grüße\n\u{1b}[2J\xff");
        it.reply_to = Some("_INBOX.7".to_owned());
        it.headers.insert("a".to_owned(), "b".to_owned());
        assert_eq!(message(&it), r"orders.new (answers to _INBOX.7) a=b  grüße\n\u{1b}[2J\xff");
    }
}
