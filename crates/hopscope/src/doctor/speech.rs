//! What a port speaks, told by its first bytes: for whoever knocked in the wrong language.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for the first bytes.
const FIRST_BYTES_MAX: Duration = Duration::from_secs(2);

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1, without TLS.
    Http1,
    /// HTTP/2 from the first byte, without TLS: what gRPC needs.
    Http2,
    /// TLS.
    Tls,
    /// Something else, or nothing at all.
    Other,
}

/// Knocks as HTTP/2, then as HTTP/1.1.
pub async fn heard(at: SocketAddr) -> Speech {
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let first = first_bytes(at, preface).await;
    // A settings frame, on stream 0, is the only thing that may come first.
    if first.len() >= 9 && first[3] == 4 && first[5..9] == [0; 4] {
        return Speech::Http2;
    }
    let second = first_bytes(at, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    match (first.as_slice(), second.as_slice()) {
        // An alert, as answer to what is no client hello.
        ([0x15, 3, ..], _) | (_, [0x15, 3, ..]) => Speech::Tls,
        // Some say so in plain words instead.
        (_, text) if text.windows(5).any(|word| word == b"HTTPS") => Speech::Tls,
        (_, text) if text.starts_with(b"HTTP/1") => Speech::Http1,
        _ => Speech::Other,
    }
}

async fn first_bytes(at: SocketAddr, knock: &[u8]) -> Vec<u8> {
    let mut heard = vec![0; 512];
    let listened = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(knock).await?;
        let mut filled = 0;
        // Until it says enough, or closes.
        while filled < 9 {
            match stream.read(&mut heard[filled..]).await? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        Ok::<_, std::io::Error>(filled)
    };
    let filled = tokio::time::timeout(FIRST_BYTES_MAX, listened).await.map_or(0, |heard| heard.unwrap_or(0));
    heard.truncate(filled);
    heard
}
