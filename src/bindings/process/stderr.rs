//! What the program writes to its standard error: lines in the daemon's log, as many as an instance of a guest may write.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{bindings::payload::cut, host::LineLimit};

/// Bytes of one line; what is longer is cut. A line of a backtrace fits.
const MAX_LINE: usize = 4 * 1024;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// How long reading rests after a chunk of which nothing could be logged: a flood then costs the daemon little, and the
/// program waits for its pipe, but never for ever.
const REST: Duration = Duration::from_millis(5);

/// Target of the events, beside that of the guests.
pub(super) const TARGET: &str = "wapcd::process";

/// The last line that was written, for whoever asks how the program ended.
pub(super) type LastLine = Arc<Mutex<Option<String>>>;

/// Logs lines until their end.
pub(super) async fn log(binding: Arc<str>, pid: i32, mut from: impl AsyncRead + Unpin, last: LastLine) {
    let mut lines = Lines { binding, pid, limit: LineLimit::default(), line: Vec::new(), cut: false, last };
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => chunk.get(..read).unwrap_or_default(),
        };
        if !lines.take(read) {
            tokio::time::sleep(REST).await;
        }
    }
    lines.end();
}

struct Lines {
    binding: Arc<str>,
    pid: i32,
    limit: LineLimit,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// Whether more of it was left out.
    cut: bool,
    last: LastLine,
}

impl Lines {
    /// Takes some bytes; whether anything of them was logged, or may be.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let (mut logged, mut ends) = (false, false);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(text.get(..room).unwrap_or(text));
            self.cut |= text.len() > room;
            if text.len() < part.len() {
                ends = true;
                logged |= self.end();
            }
        }
        logged || !(ends || self.cut)
    }

    /// Logs the line; whether it could be.
    fn end(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let was_cut = std::mem::take(&mut self.cut);
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
        if text.trim().is_empty() {
            return true;
        }
        *self.last.lock() = Some(cut(text.trim()).into_owned());
        if !self.limit.admit() {
            return false;
        }
        let (binding, pid) = (&*self.binding, self.pid);
        let dropped = self.limit.take_dropped();
        if dropped > 0 {
            tracing::warn!(target: TARGET, binding, pid, lines = dropped, "program floods, lines dropped");
        }
        tracing::info!(target: TARGET, binding, pid, cut = was_cut.then_some(true), "{text}");
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tracing::{Event, Subscriber, field::Field};
    use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = String::new();
            event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| line += &format!("{field}={value:?} "));
            self.0.lock().push(line);
        }
    }

    fn logged(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let (written, last) = (Written::default(), LastLine::default());
        let subscriber = tracing_subscriber::registry().with(written.clone());
        tracing::subscriber::with_default(subscriber, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(log("geo".into(), 7, bytes, Arc::clone(&last)));
        });
        let lines = written.0.lock().clone();
        (lines, last.lock().clone())
    }

    #[test]
    fn each_line_is_an_event_with_the_binding_and_the_last_one_is_kept() {
        let (lines, last) = logged(b"one\r\n\n  two \xff\nthree");
        assert_eq!(
            lines,
            [
                "message=one binding=\"geo\" pid=7 ",
                "message=  two \u{fffd} binding=\"geo\" pid=7 ",
                "message=three binding=\"geo\" pid=7 "
            ]
        );
        assert_eq!(last.as_deref(), Some("three"));
    }

    #[test]
    fn long_lines_are_cut_and_floods_are_dropped_and_told() {
        let (lines, last) = logged(&[&[b'x'; 3 * CHUNK][..], b"\nshort\n"].concat());
        assert_eq!(lines.len(), 2);
        assert!(lines.first().unwrap().ends_with(" cut=true ") && lines.first().unwrap().len() < MAX_LINE + 100);
        assert_eq!(last.as_deref(), Some("short"));
        let (lines, last) = logged(&b"flood\n".repeat(20_000));
        assert!((1000..2000).contains(&lines.len()), "{}", lines.len());
        assert_eq!(last.as_deref(), Some("flood"));
    }
}
