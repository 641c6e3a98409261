//! The little of gRPC that one unary method needs: the five bytes before a message, and a status in trailers.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. By hand because the body then goes through the
//! same limits as that of HTTP, and every refusal gets the status OTLP asks for: RATIONALE.md, "Why no tonic
//! in the server?".

use super::body::ENCODINGS;
use super::otlp::Refusal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hopscope_wire::otlp::encode_status_protobuf;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Bytes;
use std::convert::Infallible;
use std::fmt::Write;

/// Bytes before a message: one flag, four of length.
pub(super) const PREFIX_BYTES: usize = 5;

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Cuts the one message of a unary request out of its body: whether it is compressed, and its bytes.
pub(super) fn message_of(mut body: Vec<u8>) -> Result<(bool, Vec<u8>), Refusal> {
    let malformed = |why: &str| Refusal::Malformed(format!("not one gRPC message: {why}"));
    let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(malformed("it is cut off"));
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    if usize::try_from(length).ok() != Some(rest.len()) {
        return Err(malformed("its length is not the one it tells"));
    }
    let compressed = match flag {
        0 => false,
        1 => true,
        _ => return Err(malformed("its compression flag is neither 0 nor 1")),
    };
    body.drain(..PREFIX_BYTES);
    Ok((compressed, body))
}

/// An answer with a message.
pub(super) fn answer(message: &[u8]) -> Response<AnswerBody> {
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    head(body.boxed_unsync())
}

/// An answer that is a status and nothing else ("Trailers-Only").
pub(super) fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    let (code, why) = (refusal.code(), refusal.to_string());
    let mut response = head(Empty::new().boxed_unsync());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code as i32));
    if let Ok(value) = HeaderValue::from_str(&percent_encoded(&why)) {
        headers.insert("grpc-message", value);
    }
    let details = STANDARD_NO_PAD.encode(encode_status_protobuf(code, &why, refusal.retry_after()));
    if let Ok(value) = HeaderValue::from_str(&details) {
        headers.insert("grpc-status-details-bin", value);
    }
    response
}

fn head(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(ENCODINGS));
    response
}

/// `Status-Message`: printable ASCII but `%` stands for itself.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string never fails"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_and_nothing_else() {
        assert_eq!(message_of(vec![0, 0, 0, 0, 2, 7, 8]), Ok((false, vec![7, 8])));
        assert_eq!(message_of(vec![1, 0, 0, 0, 0]), Ok((true, vec![])));
        let bad: [&[u8]; 6] = [
            &[],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 1, 7, 7],
            &[2, 0, 0, 0, 0],
            &[0, 255, 255, 255, 255],
        ];
        for body in bad {
            assert!(matches!(message_of(body.to_vec()), Err(Refusal::Malformed(_))), "{body:?}");
        }
    }

    #[test]
    fn messages_are_printable() {
        assert_eq!(percent_encoded("a%b\nü~"), "a%25b%0A%C3%BC~");
    }
}
