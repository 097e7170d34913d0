//! Clients that say that they send nothing more, and wait for their answers.
//!
//! The library that reads requests takes that for a client that has gone. So it is told only when there is nothing to be
//! answered, where requests come one after the other: plain ones end with the end of the stream, secured ones with TLS's own
//! `close_notify`. Requests of HTTP/2 have ends of their own.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::life::Life;

/// The bytes of requests that come one after the other, whose client may close its side.
pub(super) struct HalfClosing<S> {
    stream: S,
    life: Rc<RefCell<Life>>,
    /// Whether it has, and is waited for.
    half_closed: bool,
}

impl<S> HalfClosing<S> {
    pub(super) fn new(stream: S, life: Rc<RefCell<Life>>) -> Self {
        Self { stream, life, half_closed: false }
    }

    /// What its client's end means, seen for the first time: pending where it waits for an answer.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let (is_receiving, has_just_asked) = {
            let life = self.life.borrow();
            (life.is_receiving(), life.has_just_asked(Instant::now))
        };
        self.half_closed = is_receiving || has_just_asked;
        if is_receiving {
            // The body may have had its end before this, which whoever reads it sees in this turn. So ask again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.half_closed { self.poll_answered(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Its client's end, when what it waits for is answered.
    fn poll_answered(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut life = self.life.borrow_mut();
        if !life.is_answering() {
            return Poll::Ready(Ok(()));
        }
        life.wait(cx.waker());
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfClosing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.half_closed {
            return self.poll_answered(cx);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let has_ended = buffer.filled().len() == before && buffer.remaining() > 0;
        if has_ended { self.poll_end(cx) } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HalfClosing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
