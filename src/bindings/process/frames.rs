//! Messages on a pipe: four bytes of length, big-endian, then so many bytes.

use std::io;

use bytes::Bytes;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Room for a message before its bytes are there: what is merely claimed is not allocated.
const START: usize = 8 * 1024;

/// What is wrong with what the program wrote.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    /// Its output ended within a message.
    #[error("its output ended after {had} of {of} bytes of a message")]
    Half {
        /// Bytes that were there, the length's included.
        had: usize,
        /// Bytes of the whole, as far as that is known.
        of: usize,
    },
    /// A message is longer than any may be. Mostly it is no length: text, say.
    #[error("it wrote b\"{}\" where the length of a message should be: at most {most}, this is {}", head.escape_ascii(), u32::from_be_bytes(*head))]
    Length {
        /// The bytes of the length.
        head: [u8; 4],
        /// Bytes of a message at most.
        most: u32,
    },
    /// The system does not give the output.
    #[error("its output cannot be read")]
    Read(#[from] io::Error),
}

/// Reads one message; `None` at the end of the input, between two.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), most: u32) -> Result<Option<Bytes>, FrameError> {
    let mut head = Vec::with_capacity(size_of::<u32>());
    from.take(size_of::<u32>() as u64).read_to_end(&mut head).await?;
    let Ok(head) = <[u8; 4]>::try_from(&*head) else {
        let had = head.len();
        return if had == 0 { Ok(None) } else { Err(FrameError::Half { had, of: size_of::<u32>() }) };
    };
    let length = u32::from_be_bytes(head);
    if length > most {
        return Err(FrameError::Length { head, most });
    }
    let wanted = length as usize;
    let mut body = Vec::with_capacity(wanted.min(START));
    from.take(u64::from(length)).read_to_end(&mut body).await?;
    if body.len() < wanted {
        return Err(FrameError::Half { had: head.len() + body.len(), of: head.len() + wanted });
    }
    Ok(Some(body.into()))
}

/// Writes one message, without a flush.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a message is longer than its length can say");
    let length = u32::try_from(message.len()).map_err(too_long)?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(message).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    async fn all(mut bytes: &[u8], most: u32) -> Result<Vec<Bytes>, String> {
        let mut messages = Vec::new();
        while let Some(message) = read(&mut bytes, most).await.map_err(|error| error.to_string())? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[tokio::test]
    async fn what_is_written_is_read_back() {
        let mut pipe = Vec::new();
        for message in [&b"one"[..], b"", &[7; 20_000]] {
            write(&mut pipe, message).await.unwrap();
        }
        let read = all(&pipe, 20_000).await.unwrap();
        assert_eq!(read, [Bytes::from_static(b"one"), Bytes::new(), Bytes::from(vec![7; 20_000])]);
        assert_eq!(all(b"", 1).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_no_message_is_shown() {
        let error = all(b"Hello, world\n", 1000).await.unwrap_err();
        assert_eq!(
            error,
            "it wrote b\"Hell\" where the length of a message should be: at most 1000, this is 1214606444"
        );
        assert_eq!(all(b"\x00\x00", 9).await.unwrap_err(), "its output ended after 2 of 4 bytes of a message");
        let error = all(b"\x00\x00\x00\x05abc", 9).await.unwrap_err();
        assert_eq!(error, "its output ended after 7 of 9 bytes of a message");
        assert!(all(b"\x00\x00\x00\x0aabc", 9).await.unwrap_err().ends_with("at most 9, this is 10"));
    }
}
