//! The client's side of a stream: lines, one after the other, until the daemon ends it.

use std::{fmt, future::Future, path::PathBuf, pin::Pin};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::ClientError;

/// Longest line that is read. An event holds the causes and the backtrace of an exit, some hundred KiB at worst.
const MAX_LINE: usize = 16 << 20;

/// A stream of lines from the daemon.
pub struct Lines {
    socket: PathBuf,
    body: Incoming,
    /// Does the work of the connection while the body is waited for; `None` when it is done.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    /// What was read and is not a whole line yet.
    rest: BytesMut,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("socket", &self.socket).field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}

impl Lines {
    /// Sends the request and reads the answer's head.
    pub(super) async fn open(
        stream: UnixStream,
        request: Request<Full<Bytes>>,
        socket: PathBuf,
    ) -> Result<(StatusCode, Self), ClientError> {
        let broken = |source| ClientError::Broken { socket: socket.clone(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut connection: Pin<Box<dyn Future<Output = _>>> = Box::pin(connection);
        let mut answer = std::pin::pin!(sender.send_request(request));
        let (response, connection) = tokio::select! {
            biased;
            answer = &mut answer => (answer.map_err(broken)?, Some(connection)),
            _ = &mut connection => (answer.await.map_err(broken)?, None),
        };
        let (head, body) = response.into_parts();
        Ok((head.status, Self { socket, body, connection, rest: BytesMut::new() }))
    }

    /// The next line without its end; `None` when the daemon has ended the stream.
    ///
    /// # Errors
    /// [`ClientError::Broken`] where the connection ended within the stream, [`ClientError::Foreign`] for a line without
    /// an end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest.iter().skip(searched).position(|&byte| byte == b'\n') {
                let line = self.rest.split_to(searched + end).freeze();
                self.rest.advance(1);
                return Ok(Some(line));
            }
            searched = self.rest.len();
            if searched > MAX_LINE {
                let what = format!("a line of more than {MAX_LINE} bytes");
                return Err(ClientError::Foreign { socket: self.socket.clone(), what });
            }
            if !self.read().await? {
                return Ok((!self.rest.is_empty()).then(|| self.rest.split().freeze()));
            }
        }
    }

    /// Everything that is left.
    pub(super) async fn whole(mut self) -> Result<Bytes, ClientError> {
        while self.rest.len() <= MAX_LINE && self.read().await? {}
        Ok(self.rest.freeze())
    }

    /// Reads another piece; `false` at the end.
    async fn read(&mut self) -> Result<bool, ClientError> {
        let frame = loop {
            let Some(connection) = &mut self.connection else { break self.body.frame().await };
            tokio::select! {
                biased;
                frame = self.body.frame() => break frame,
                // Its own error is the body's as well.
                _ = connection => self.connection = None,
            }
        };
        match frame {
            None => Ok(false),
            Some(Err(source)) => Err(ClientError::Broken { socket: self.socket.clone(), source }),
            Some(Ok(frame)) => {
                frame.data_ref().into_iter().for_each(|data| self.rest.extend_from_slice(data));
                Ok(true)
            }
        }
    }
}
