//! Where guests' lines go: the console log and what WASI guests write to stdout and stderr.
//!
//! Owns the two protections against a guest that floods: a line's length and the rate of lines.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Longest line in bytes. Half of it cuts stack traces of real programs; twice as much lets one guest fill a journal's
/// fields, which journald cuts at the same size.
pub const MAX_LINE: usize = 64 * 1024;

/// Lines that an instance may log at once. A guest that dumps its state after a failure writes some hundred.
const BURST: f64 = 1_000.0;

/// Lines a second in the long run: more than a person reads, little enough that ten flooding guests leave the log usable.
const LINES_PER_SECOND: f64 = 200.0;

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
    bucket: Arc<Mutex<Bucket>>,
    /// Lines dropped since the last report; beside the lock, so that a quiet guest's call costs one load.
    dropped: Arc<AtomicU64>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl fmt::Debug for GuestConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestConsole")
    }
}

impl GuestConsole {
    pub(super) fn new(sink: Arc<dyn Console>) -> Self {
        let bucket = Bucket { tokens: BURST, filled: Instant::now() };
        Self { sink, bucket: Arc::new(Mutex::new(bucket)), dropped: Arc::default() }
    }

    /// Passes a line on, unless the guest floods.
    pub(super) fn line(&self, stream: Stream, bytes: &[u8]) {
        if !self.bucket.lock().admit(Instant::now()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tell_dropped();
        self.sink.line(stream, &text_of(bytes));
    }

    /// Reports what was dropped since the last report, at the rate of lines: a report is a line too.
    #[inline]
    pub(super) fn report_dropped(&self) {
        if self.dropped.load(Ordering::Relaxed) > 0 && self.bucket.lock().admit(Instant::now()) {
            self.tell_dropped();
        }
    }

    /// Reports what was dropped since the last report, whatever the rate.
    pub(super) fn tell_dropped(&self) {
        match self.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => self.sink.dropped(lines),
        }
    }
}

impl Bucket {
    /// Whether a line may pass at `now`.
    fn admit(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3600));
        self.tokens = (self.tokens + elapsed.as_secs_f64() * LINES_PER_SECOND).min(BURST);
        self.filled = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
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
    fn a_flood_is_cut_to_the_rate_and_counted() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: BURST, filled: start };
        let passed = (0..5_000).filter(|_| bucket.admit(start)).count();
        assert_eq!(passed, 1_000);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5_000).filter(|_| bucket.admit(later)).count(), 200);
    }

    #[test]
    fn long_and_broken_lines_are_cut_at_a_character() {
        assert_eq!(text_of(&[b'a'; MAX_LINE + 1]).len(), MAX_LINE);
        let broken = text_of(&[0xff; MAX_LINE]).into_owned();
        assert!(broken.len() <= MAX_LINE && broken.chars().all(|c| c == '\u{fffd}'));
    }
}
