//! The bytes of a connection: whatever passes is told to its life.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::life::Life;
use crate::triggers::sockets::Stream;

/// What a client of HTTP/2 says first, also where it was not asked.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are thrown away at once.
const SCRATCH: usize = 4096;

/// Bytes of a head and a body that are sent as one piece. Up to here copying them costs less than the system takes for
/// several; a piece four times as large costs as much as it saves.
const TOGETHER: usize = 4096;

thread_local! {
    /// Where the pieces of a small answer are put together, by one connection of the thread after the other.
    static PIECES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection's bytes, watched.
pub(super) struct Watched {
    socket: Socket,
    life: Rc<RefCell<Life>>,
    /// What was read to see which protocol it is, and is still to be read.
    seen: Vec<u8>,
    /// Whether the end of what is written was told.
    shut: bool,
}

/// A connection that lives on a thread.
pub(super) enum Socket {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Watched {
    pub(super) fn new(socket: Socket, life: Rc<RefCell<Life>>) -> Self {
        Self { socket, life, seen: Vec::new(), shut: false }
    }

    /// Whether the client speaks HTTP/2 without having been asked; what it said is still to be read.
    ///
    /// # Errors
    /// It went away.
    pub(super) async fn begins_http2(&mut self) -> io::Result<bool> {
        let mut seen = Vec::with_capacity(PREFACE.len());
        loop {
            let mut buffer = [0; PREFACE.len()];
            let room = buffer.get_mut(..PREFACE.len() - seen.len()).unwrap_or_default();
            let mut read = ReadBuf::new(room);
            poll_fn(|cx| self.socket.poll_read(cx, &mut read)).await?;
            let read = read.filled();
            seen.extend_from_slice(read);
            let differs = !PREFACE.starts_with(&seen);
            if read.is_empty() || differs || seen.len() == PREFACE.len() {
                let is_http2 = !differs && seen.len() == PREFACE.len();
                self.seen = seen;
                return Ok(is_http2);
            }
        }
    }

    /// Throws away what still comes, until its end. Answers are lost where a connection is closed before they were read.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; SCRATCH];
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            match ready!(self.socket.poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Tells what became of a write.
    fn told(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.life.borrow_mut().wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.life.borrow_mut().block(Instant::now),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.seen.is_empty() {
            let some = self.seen.len().min(buffer.remaining());
            buffer.put_slice(self.seen.drain(..some).as_slice());
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(self.socket.poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.life.borrow_mut().read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream, _) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.told(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bytes.iter().map(|piece| piece.len()).sum::<usize>() <= TOGETHER {
            return PIECES.with_borrow_mut(|together| {
                together.clear();
                bytes.iter().for_each(|piece| together.extend_from_slice(piece));
                self.poll_write(cx, together)
            });
        }
        let written = match &mut self.socket {
            Socket::Tcp(stream, _) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        };
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(match &mut self.socket {
                Socket::Tcp(stream, _) => Pin::new(stream).poll_shutdown(cx),
                Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            })?;
            self.shut = true;
        }
        self.life.borrow_mut().close();
        let lingers = self.life.borrow().is_interrupted();
        if lingers {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    /// Makes it live on this thread.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        Ok(match stream {
            Stream::Tcp(stream, peer) => Self::Tcp(TcpStream::from_std(stream)?, peer),
            Stream::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// Makes it live nowhere.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream, peer) => Stream::Tcp(stream.into_std()?, peer),
            Self::Unix(stream) => Stream::Unix(stream.into_std()?),
        })
    }

    /// Where it is from; `None` for a Unix socket.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }

    /// Waits until there is something to read, or its end.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream, _) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}
