//! What requests weigh in a queue.

use crate::bindings::keyvalue::command::{Read, Write};

/// What can wait in a queue.
pub(super) trait Weigh {
    /// Bytes that it holds.
    fn weight(&self) -> usize;
}

impl Weigh for Read {
    fn weight(&self) -> usize {
        match self {
            Self::Get(key) | Self::Exists(key) => key.stored().len(),
            Self::GetMany { keys, .. } => keys.iter().map(|key| key.stored().len()).sum(),
            Self::Probe => 0,
            Self::Keys(page) => page.prefix.stored().len() + page.after.as_ref().map_or(0, |key| key.stored().len()),
        }
    }
}

impl Weigh for Write {
    fn weight(&self) -> usize {
        match self {
            Self::Set { key, value, .. } => key.stored().len() + value.len(),
            Self::Delete(key) | Self::Increment { key, .. } => key.stored().len(),
            Self::CompareAndSet { key, expected, value, .. } => {
                key.stored().len() + value.len() + expected.as_ref().map_or(0, bytes::Bytes::len)
            }
            Self::SetMany(entries) => entries.iter().map(|entry| entry.key.stored().len() + entry.value.len()).sum(),
        }
    }
}
