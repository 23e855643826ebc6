//! Messages of the keeper's and shim's sockets: a length (4 bytes, big-endian), then JSON.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A longer message is refused: nothing in the protocol is that big.
const LIMIT: usize = 16 << 20;

fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length as usize <= LIMIT);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "message over 16 MiB"))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

fn check(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(length) as usize;
    if length > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message over 16 MiB"));
    }
    Ok(length)
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// Receives one message.
pub(crate) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut bytes = vec![0; check(length)?];
    from.read_exact(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// As [`send`], without blocking.
pub(crate) async fn send_async<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    to.write_all(&encode(message)?).await?;
    to.flush().await
}

/// As [`receive`], without blocking.
pub(crate) async fn receive_async<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let mut bytes = vec![0; check(length)?];
    from.read_exact(&mut bytes).await?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// Connects to the socket `name` in `folder`. The path goes by a descriptor of the folder, because a socket's
/// path is limited to 107 bytes and a data folder's is not.
pub(crate) async fn connect(folder: &Path, name: &str) -> io::Result<tokio::net::UnixStream> {
    use std::os::fd::AsRawFd;
    let handle = std::fs::File::open(folder)?;
    tokio::net::UnixStream::connect(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd())).await
}
