//! Catches what guests say and what the host logs.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use wapcd::host::{Console, Stream};

/// A console that keeps all lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Mutex<Vec<(Stream, String)>>,
    dropped: Mutex<Vec<u64>>,
}

impl Lines {
    pub(crate) fn take(&self) -> Vec<(Stream, String)> {
        std::mem::take(&mut self.lines.lock())
    }

    /// The lines without where they came from.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.take().into_iter().map(|(_, text)| text).collect()
    }

    pub(crate) fn dropped(&self) -> Vec<u64> {
        std::mem::take(&mut self.dropped.lock())
    }
}

impl Console for Lines {
    fn line(&self, stream: Stream, text: &str) {
        self.lines.lock().push((stream, text.to_owned()));
    }

    fn dropped(&self, lines: u64) {
        self.dropped.lock().push(lines);
    }
}

/// Collects the log of this thread while `work` runs, one event a line.
pub(crate) fn log_of(work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let subscriber = tracing_subscriber::fmt().with_writer(sink.clone()).with_ansi(false).without_time().finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = sink.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
