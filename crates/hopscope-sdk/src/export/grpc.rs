//! OTLP over gRPC: one unary call with bytes that are encoded already.
//!
//! gRPC is HTTP/2 with five bytes before each message and a status in the trailers. A call that streams nothing needs
//! no more of it than this page, so there is no gRPC library here.

use super::http;
use super::protobuf::{Field, fields};
use super::target::Verdict;
use base64::Engine;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use std::time::Duration;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A message with what gRPC wants before it.
pub(super) fn frame(message: &[u8], is_compressed: bool) -> Vec<u8> {
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(is_compressed.into());
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// What an answer means. A call that fails at once has its status among the headers.
pub(super) fn verdict(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    trailers: Option<&HeaderMap>,
) -> Verdict {
    let find = |name: &str| trailers.and_then(|trailers| trailers.get(name)).or_else(|| headers.get(name));
    let text = |name: &str| find(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
        // No gRPC server, or something between us and it.
        return match status {
            StatusCode::OK => Verdict::later("the answer has no gRPC status"),
            status => http::verdict(status, headers, &[]),
        };
    };
    let pause = text("grpc-status-details-bin").and_then(retry_info);
    let why = || {
        let message = text("grpc-message").unwrap_or_default();
        format!("the endpoint answered gRPC status {code} {message}").trim_end().to_owned()
    };
    match code {
        0 => http::partial_success(body.get(PREFIX_BYTES..).unwrap_or_default()),
        8 | 11 if is_size(text("grpc-message").unwrap_or_default()) => Verdict::TooLarge { why: why() },
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        1 | 4 | 10 | 11 | 14 | 15 => Verdict::Later { pause, why: why() },
        // RESOURCE_EXHAUSTED can be recovered from only where the endpoint says when.
        8 if pause.is_some() => Verdict::Later { pause, why: why() },
        _ => Verdict::never(why()),
    }
}

/// gRPC has no code for a message over the limit: grpc-go, Java and C++ say RESOURCE_EXHAUSTED, tonic OUT_OF_RANGE, and all
/// of them say it in words. The message is percent-encoded.
fn is_size(message: &str) -> bool {
    let message = message.replace("%20", " ").to_ascii_lowercase();
    ["larger than max", "too large", "exceeds maximum size"].iter().any(|words| message.contains(words))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent),
);

/// The delay of a `google.rpc.RetryInfo` in a `google.rpc.Status`.
fn retry_info(details: &str) -> Option<Duration> {
    let status = BASE64.decode(details).ok()?;
    let infos = fields(&status).filter_map(|field| match field {
        (3, Field::Bytes(any)) => value_of_retry_info(any),
        _ => None,
    });
    let delay = infos.last()?;
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(delay) {
        match field {
            (1, Field::Varint(value)) => seconds = value,
            (2, Field::Varint(value)) => {
                nanos = u32::try_from(value).ok().filter(|nanos| *nanos < 1_000_000_000)?
            }
            _ => {}
        }
    }
    // A signed number: a negative delay is nonsense.
    (seconds <= i64::MAX as u64).then(|| Duration::new(seconds, nanos))
}

/// The `Duration` in an `Any`, where it is a `RetryInfo`.
fn value_of_retry_info(any: &[u8]) -> Option<&[u8]> {
    let bytes = |message, number| {
        fields(message).find_map(|(found, field)| match field {
            Field::Bytes(bytes) if found == number => Some(bytes),
            _ => None,
        })
    };
    let is_retry_info = bytes(any, 1)?.ends_with(b"google.rpc.RetryInfo");
    if is_retry_info { Some(bytes(bytes(any, 2)?, 1).unwrap_or_default()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::protobuf::{bytes_field, message_field, varint_field};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn details(seconds: u64, nanos: u64) -> String {
        let mut status = Vec::new();
        message_field(&mut status, 3, |any| {
            bytes_field(any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            message_field(any, 2, |info| {
                message_field(info, 1, |delay| {
                    varint_field(delay, 1, seconds);
                    varint_field(delay, 2, nanos);
                });
            });
        });
        BASE64.encode(status)
    }

    #[test]
    fn codes_are_tried_again_as_the_specification_says() {
        for code in 0..=16 {
            let answer = verdict(
                StatusCode::OK,
                &HeaderMap::new(),
                &[],
                Some(&headers(&[("grpc-status", &code.to_string())])),
            );
            match code {
                0 => assert_eq!(answer, Verdict::TAKEN),
                1 | 4 | 10 | 11 | 14 | 15 => {
                    assert!(matches!(answer, Verdict::Later { pause: None, .. }), "{code}")
                }
                _ => assert!(matches!(answer, Verdict::Never { .. }), "{code}"),
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_told_from_what_is_exhausted() {
        for (code, message, is_too_large) in [
            ("8", "grpc: received message larger than max (5242880 vs. 4194304)", true),
            ("8", "gRPC%20message%20exceeds%20maximum%20size%204194304: 5242880", true),
            ("11", "Error, decoded message length too large: found 5242880 bytes", true),
            ("8", "out of memory", false),
            ("3", "too large", false),
        ] {
            let trailers = headers(&[("grpc-status", code), ("grpc-message", message)]);
            let answer = verdict(StatusCode::OK, &HeaderMap::new(), &[], Some(&trailers));
            assert_eq!(matches!(answer, Verdict::TooLarge { .. }), is_too_large, "{code} {message}");
        }
    }

    #[test]
    fn a_pause_makes_exhausted_resources_a_matter_of_time() {
        let details = details(3, 500_000_000);
        let trailers =
            headers(&[("grpc-status", "8"), ("grpc-status-details-bin", details.trim_end_matches('='))]);
        let Verdict::Later { pause, .. } = verdict(StatusCode::OK, &HeaderMap::new(), &[], Some(&trailers))
        else {
            panic!("it may be tried again")
        };
        assert_eq!(pause, Some(Duration::from_millis(3500)));
        assert_eq!(retry_info(&self::details(u64::MAX, 0)), None, "negative");
        assert_eq!(retry_info("no base64!"), None);
    }

    #[test]
    fn a_status_among_the_headers_counts_and_a_proxy_speaks_http() {
        let answer =
            verdict(StatusCode::OK, &headers(&[("grpc-status", "3"), ("grpc-message", "bad")]), &[], None);
        assert_eq!(answer, Verdict::never("the endpoint answered gRPC status 3 bad"));
        let answer = verdict(StatusCode::BAD_GATEWAY, &headers(&[("retry-after", "2")]), b"<html>", None);
        assert!(matches!(answer, Verdict::Later { pause: Some(pause), .. } if pause.as_secs() == 2));
    }
}
