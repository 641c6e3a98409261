//! [`LiveStream`]: the server-sent events of `/api/v1/live`.

use crate::api::Live;
use crate::{Error, ErrorKind};

/// A frame that is longer is not one of ours.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// What is being stored, as it happens: ask again and again.
#[derive(Debug)]
pub struct LiveStream {
    base: String,
    response: reqwest::Response,
    unread: Vec<u8>,
}

impl LiveStream {
    pub(crate) fn new(base: String, response: reqwest::Response) -> Self {
        Self { base, response, unread: Vec::new() }
    }

    /// Waits for the next one; `None` when the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<Live>, Error> {
        loop {
            while let Some(frame) = take_frame(&mut self.unread) {
                if let Some(data) = data_of(&frame) {
                    return serde_json::from_str(&data)
                        .map(Some)
                        .map_err(|_| Error::strange(&self.base, 200));
                }
            }
            if self.unread.len() > FRAME_BYTES_MAX {
                return Err(Error::strange(&self.base, 200));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.unread.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(source) => {
                    return Err(Error {
                        kind: ErrorKind::Unreachable,
                        ..Error::transport(&self.base, source)
                    });
                }
            }
        }
    }
}

/// Takes everything up to the first empty line off the front.
fn take_frame(unread: &mut Vec<u8>) -> Option<String> {
    let end = unread.windows(2).position(|pair| pair == b"\n\n")?;
    let frame: Vec<u8> = unread.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&frame).into_owned())
}

/// The `data:` lines of a frame; `None` for a heartbeat comment.
fn data_of(frame: &str) -> Option<String> {
    let lines: Vec<&str> = frame
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_empty_lines_and_comments_are_skipped() {
        let mut unread = b": beat\n\ndata: {\"a\":1}\n\ndata: {".to_vec();
        let first = take_frame(&mut unread).expect("a comment");
        assert_eq!(data_of(&first), None);
        let second = take_frame(&mut unread).expect("data");
        assert_eq!(data_of(&second).as_deref(), Some("{\"a\":1}"));
        assert_eq!(take_frame(&mut unread), None);
    }
}
