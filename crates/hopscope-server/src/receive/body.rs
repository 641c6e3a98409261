//! Bodies: read and inflated under named limits, every byte of them taken from the budget first.

use super::otlp::Refusal;
use crate::ingest::{Full, Room};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use std::io::Read;
use std::time::Duration;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// What both transports say they take.
pub(super) const ENCODINGS: &str = "identity,gzip,zstd";

/// Largest zstd window, as a power of two: 8 MiB, what RFC 8878 §3.1.1.1.2 asks every decoder to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const CHUNK_BYTES: usize = 64 << 10;

/// Most room that is made because a request says how long it is: it may not come.
const TOLD_BYTES_MAX: usize = 512 << 10;

impl Encoding {
    /// By its name in `content-encoding` or `grpc-encoding`.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Reads a whole body.
pub(super) async fn read<B>(
    body: B,
    room: &mut Room,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes, Error: std::fmt::Display>,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let read = read_all(body, room, bytes_max);
    tokio::time::timeout(time_max, read).await.unwrap_or_else(|_| {
        Err(Refusal::Slow(format!("the body took too long body_read_ms_max={}", time_max.as_millis())))
    })
}

async fn read_all<B>(body: B, room: &mut Room, bytes_max: usize) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes, Error: std::fmt::Display>,
{
    let mut body = std::pin::pin!(body);
    let told = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let mut all = Vec::with_capacity(told.min(TOLD_BYTES_MAX));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Broken(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        room.grow(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::TooLarge(format!("the body is too large body_bytes_max={bytes_max}"))
}

/// Decompresses. All members of a gzip body: a decoder that stops after the first would drop the rest of
/// an acknowledged request.
pub(super) fn inflate(
    encoding: Encoding,
    body: Vec<u8>,
    room: &mut Room,
    inflated_bytes_max: usize,
) -> Result<Vec<u8>, Refusal> {
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => {
            drain(flate2::read::MultiGzDecoder::new(body.as_slice()), room, inflated_bytes_max, "gzip")
        }
        Encoding::Zstd => {
            let broken = |error| Refusal::Malformed(format!("the body is not zstd: {error}"));
            let mut decoder = zstd::Decoder::with_buffer(body.as_slice()).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            drain(decoder, room, inflated_bytes_max, "zstd")
        }
    }
}

fn drain(mut from: impl Read, room: &mut Room, bytes_max: usize, name: &str) -> Result<Vec<u8>, Refusal> {
    let mut all = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(all),
            Ok(read) => read,
            Err(error) => return Err(Refusal::Malformed(format!("the body is not {name}: {error}"))),
        };
        if all.len() + read > bytes_max {
            return Err(Refusal::TooLarge(format!(
                "the body is too large after decompression inflated_bytes_max={bytes_max}"
            )));
        }
        room.grow(read)?;
        all.extend_from_slice(&chunk[..read]);
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::Now => Self::Busy("too many bytes under way".to_owned()),
            Full::Ever => Self::TooLarge("the body is larger than queue_bytes_max".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Budget;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).expect("memory")
    }

    fn inflated(encoding: Encoding, body: Vec<u8>, budget_bytes: usize) -> Result<Vec<u8>, Refusal> {
        let budget = Budget::new(budget_bytes, 1);
        let mut room = budget.request().expect("room");
        inflate(encoding, body, &mut room, 1 << 20)
    }

    #[test]
    fn every_member_and_frame_counts() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflated(Encoding::Gzip, members, 100).as_deref(), Ok(b"one two".as_slice()));
        let frames = [zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(inflated(Encoding::Zstd, frames, 100).as_deref(), Ok(b"one two".as_slice()));
    }

    #[test]
    fn bombs_stop_at_the_limit_and_at_the_budget() {
        let zeros = vec![0; 8 << 20];
        for (encoding, bomb) in [(Encoding::Gzip, gzip(&zeros)), (Encoding::Zstd, zstd(&zeros))] {
            assert!(matches!(inflated(encoding, bomb.clone(), 8 << 20), Err(Refusal::TooLarge(_))));
            assert!(matches!(inflated(encoding, bomb, 100_000), Err(Refusal::TooLarge(_))));
        }
    }

    #[test]
    fn what_is_not_compressed_is_malformed() {
        let cut = |mut bytes: Vec<u8>| {
            bytes.truncate(bytes.len() - 3);
            bytes
        };
        let cases = [
            (Encoding::Gzip, b"plain".to_vec()),
            (Encoding::Zstd, b"plain".to_vec()),
            (Encoding::Gzip, cut(gzip(b"text"))),
            (Encoding::Zstd, cut(zstd(b"text"))),
            (Encoding::Gzip, Vec::new()),
        ];
        for (encoding, body) in cases {
            let shown = format!("{encoding:?} {body:?}");
            assert!(matches!(inflated(encoding, body, 1 << 20), Err(Refusal::Malformed(_))), "{shown}");
        }
    }
}
