//! Standard output and standard error of WASI guests: lines for the console.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::host::{
    console::{GuestConsole, MAX_LINE, Stream},
    turns,
};

/// Bytes that a guest may write at once; a buffer size, not a limit.
const WRITE_CHUNK: usize = 64 * 1024;

/// Bytes of output after which a guest lets others on its thread run, within one write too. Newlines alone take half a
/// millisecond, ordinary lines some microseconds.
const BYTES_A_TURN: usize = 8 * 1024;

/// One of the two streams, with the line that is not finished yet.
#[derive(Clone)]
pub(super) struct LineStream {
    console: GuestConsole,
    stream: Stream,
    unfinished: Arc<Mutex<Vec<u8>>>,
    /// Bytes taken since others could run.
    taken: usize,
}

impl LineStream {
    pub(super) fn new(console: GuestConsole, stream: Stream) -> Self {
        Self { console, stream, unfinished: Arc::default(), taken: 0 }
    }

    /// Passes on what has no newline yet, at the end of a call.
    pub(super) fn flush_line(&self) {
        let mut unfinished = self.unfinished.lock();
        if !unfinished.is_empty() {
            self.console.line(self.stream, &unfinished);
            unfinished.clear();
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut unfinished = self.unfinished.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            // Beyond the longest line nothing is kept: the rest up to the newline is cut.
            let room = MAX_LINE.saturating_sub(unfinished.len());
            unfinished.extend_from_slice(line.get(..room).unwrap_or(line));
            if ended {
                self.console.line(self.stream, unfinished.strip_suffix(b"\r").unwrap_or(&unfinished));
                unfinished.clear();
            }
        }
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Preview 1 writes through `p2_stream` only.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineStream {
    /// Asked around each 4 KiB of a guest's write.
    async fn ready(&mut self) {
        if self.taken >= BYTES_A_TURN {
            self.taken = 0;
            turns::give_way().await;
        }
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.taken += bytes.len();
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_CHUNK)
    }
}
