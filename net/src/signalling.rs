//! Messages on a libp2p stream: each a 32-bit little-endian length and that many bytes.
//!
//! Each side sends on the stream that it opened and reads the one that the other opened, so two devices that call each
//! other at the same instant need no rule about whose stream survives, and no message is lost over it.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Longest message; a hello with the longest name and an offer are under a kilobyte, a handshake under three.
pub const MAX_MESSAGE: usize = 65_536;
/// Messages that may wait for one device. A call's set-up is ten.
pub(crate) const MAX_WAITING: usize = 64;
/// How long the rest of a message may take once its length has come.
const MESSAGE_TIME: Duration = Duration::from_secs(10);

/// Writes what comes out of `messages` until it closes, the stream fails, or the other side closes it.
pub(crate) async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    mut messages: mpsc::Receiver<Vec<u8>>,
) {
    let (mut read, mut write) = stream.split();
    let mut nothing = [0u8; 1];
    loop {
        tokio::select! {
            // The other side never writes here: whatever comes is the end.
            _ = read.read(&mut nothing) => return,
            message = messages.recv() => {
                let Some(message) = message else { break };
                if let Err(error) = write_message(&mut write, &message).await {
                    tracing::debug!(%error, "a signalling stream closed while writing");
                    return;
                }
            }
        }
    }
    // Best effort: the connection may be gone already.
    let _ = write.close().await;
}

/// Writes one message.
///
/// # Errors
/// When the stream fails, or the message is longer than a length can say.
pub(crate) async fn write_message(write: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    write.write_all(&length.to_le_bytes()).await?;
    write.write_all(message).await?;
    write.flush().await
}

/// Reads one message; `None` at a clean end between two.
///
/// # Errors
/// When the stream fails, ends inside a message, is too slow, or the message is longer than [`MAX_MESSAGE`].
pub(crate) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0u8; 4];
    let mut have = 0;
    while have < length.len() {
        let read = stream.read(length.get_mut(have..).unwrap_or_default()).await?;
        match (read, have) {
            (0, 0) => return Ok(None),
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (n, _) => have += n,
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    let mut message = vec![0u8; length];
    let body = stream.read_exact(&mut message);
    tokio::time::timeout(MESSAGE_TIME, body)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use futures::io::Cursor;

    async fn read_all(bytes: &[u8]) -> Vec<Result<Vec<u8>, io::ErrorKind>> {
        let mut stream = Cursor::new(bytes.to_vec());
        let mut out = Vec::new();
        loop {
            match read_message(&mut stream).await {
                Ok(Some(message)) => out.push(Ok(message)),
                Ok(None) => return out,
                Err(error) => {
                    out.push(Err(error.kind()));
                    return out;
                }
            }
        }
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        for message in [&b"a"[..], b"", &[7; MAX_MESSAGE]] {
            write_message(&mut wire, message).await.unwrap();
        }
        assert_eq!(read_all(&wire).await, [Ok(b"a".to_vec()), Ok(Vec::new()), Ok(vec![7; MAX_MESSAGE])]);
    }

    #[tokio::test]
    async fn broken_ends_and_giants_are_errors() {
        assert_eq!(read_all(&[1]).await, [Err(io::ErrorKind::UnexpectedEof)]);
        assert_eq!(read_all(&[2, 0, 0, 0, 9]).await, [Err(io::ErrorKind::UnexpectedEof)]);
        let giant = (MAX_MESSAGE as u32 + 1).to_le_bytes();
        assert_eq!(read_all(&giant).await, [Err(io::ErrorKind::InvalidData)]);
    }

    #[tokio::test]
    async fn random_bytes_never_panic_and_never_grow_past_the_bound() {
        let mut state = 1u64;
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..64)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // Small numbers often, so that lengths are sometimes right.
                    if state >> 63 == 0 { (state >> 33) as u8 } else { ((state >> 33) & 3) as u8 }
                })
                .collect();
            for message in read_all(&bytes).await.into_iter().flatten() {
                assert!(message.len() <= 64);
            }
        }
    }
}
