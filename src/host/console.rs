//! Where guests' lines go: the console log and what WASI guests write to stdout and stderr.
//!
//! Protects against a guest that floods in two ways: by a line's length, and by the rate of lines, a [`LineLimit`].

use std::{borrow::Cow, fmt, sync::Arc};

use super::line_limit::LineLimit;

/// Longest line in bytes. Half of it cuts stack traces of real programs; twice as much lets one guest fill a journal's
/// fields, which journald cuts at the same size.
pub const MAX_LINE: usize = 64 * 1024;

/// Where a guest's line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// `__console_log`.
    Log,
    /// WASI's standard output.
    Stdout,
    /// WASI's standard error.
    Stderr,
}

/// Takes a guest's lines.
pub trait Console: Send + Sync {
    /// Takes one line, without its newline and at most [`MAX_LINE`] bytes long.
    fn line(&self, stream: Stream, text: &str);

    /// Is told how many lines were dropped because the guest flooded.
    fn dropped(&self, lines: u64);

    /// The limit of lines, asked once. Where the guest has other ways into the same log, they share theirs.
    fn limit(&self) -> LineLimit {
        LineLimit::default()
    }
}

/// Logs lines through `tracing` at info, under the target `wapcd::guest`.
#[derive(Debug, Default, Clone, Copy)]
pub struct TracingConsole;

impl Console for TracingConsole {
    fn line(&self, stream: Stream, text: &str) {
        tracing::info!(target: "wapcd::guest", ?stream, "{text}");
    }

    fn dropped(&self, lines: u64) {
        tracing::warn!(target: "wapcd::guest", lines, "guest floods, lines dropped");
    }
}

/// One instance's way to its [`Console`].
#[derive(Clone)]
pub(super) struct GuestConsole {
    sink: Arc<dyn Console>,
    limit: LineLimit,
}

impl fmt::Debug for GuestConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestConsole")
    }
}

impl GuestConsole {
    pub(super) fn new(sink: Arc<dyn Console>) -> Self {
        let limit = sink.limit();
        Self { sink, limit }
    }

    /// Passes a line on, unless the guest floods.
    pub(super) fn line(&self, stream: Stream, bytes: &[u8]) {
        if self.limit.admit() {
            self.tell_dropped();
            self.sink.line(stream, &text_of(bytes));
        }
    }

    /// Reports what was dropped since the last report, at the rate of lines: a report is a line too.
    #[inline]
    pub(super) fn report_dropped(&self) {
        self.tell(self.limit.take_dropped_in_rate());
    }

    /// Reports what was dropped since the last report, whatever the rate.
    pub(super) fn tell_dropped(&self) {
        self.tell(self.limit.take_dropped());
    }

    #[inline]
    fn tell(&self, lines: u64) {
        if lines > 0 {
            self.sink.dropped(lines);
        }
    }
}

/// Reads lossy UTF-8 and cuts it at [`MAX_LINE`].
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    let cut = bytes.get(..MAX_LINE).unwrap_or(bytes);
    match String::from_utf8_lossy(cut) {
        // A replacement character is longer than the byte it stands for.
        Cow::Owned(text) if text.len() > MAX_LINE => {
            let end = text.floor_char_boundary(MAX_LINE);
            Cow::Owned(text.get(..end).unwrap_or_default().to_owned())
        }
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_broken_lines_are_cut_at_a_character() {
        assert_eq!(text_of(&[b'a'; MAX_LINE + 1]).len(), MAX_LINE);
        let broken = text_of(&[0xff; MAX_LINE]).into_owned();
        assert!(broken.len() <= MAX_LINE && broken.chars().all(|c| c == '\u{fffd}'));
    }
}
