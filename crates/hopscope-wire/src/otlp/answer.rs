//! What a server answers: `ExportTraceServiceResponse` with its partial success, and `google.rpc.Status` for
//! errors, with `RetryInfo` where the sender should come again.

use super::{NotKept, Rejected};
use crate::json_text::put_text;
use crate::protobuf::{put_bytes, put_message, put_uint};
use std::time::Duration;

/// The gRPC status codes that OTLP's answers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// The same request always fails.
    InvalidArgument = 3,
    /// Too much at the moment; with `RetryInfo` the sender retries, without it does not.
    ResourceExhausted = 8,
    /// No such method.
    Unimplemented = 12,
    /// A fault of the server.
    Internal = 13,
    /// Not ready; the sender retries.
    Unavailable = 14,
}

/// How much of a request was rejected, and why. The answers of traces and metrics differ by a name only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Spans or data points.
    pub rejected: u64,
    /// Why; for people.
    pub message: String,
    name: &'static str,
}

impl From<&Rejected> for PartialSuccess {
    fn from(rejected: &Rejected) -> Self {
        Self { rejected: rejected.total(), message: rejected.to_string(), name: "rejectedSpans" }
    }
}

impl From<&NotKept> for PartialSuccess {
    fn from(not_kept: &NotKept) -> Self {
        Self { rejected: not_kept.rejected(), message: not_kept.to_string(), name: "rejectedDataPoints" }
    }
}

/// `ExportTraceServiceResponse`, `ExportMetricsServiceResponse`. All accepted: no bytes at all, for the partial
/// success must then be unset.
pub fn encode_response_protobuf(partial_success: &PartialSuccess) -> Vec<u8> {
    if partial_success.rejected == 0 {
        return Vec::new();
    }
    let mut partial = Vec::new();
    put_uint(&mut partial, 1, partial_success.rejected);
    put_bytes(&mut partial, 2, partial_success.message.as_bytes());
    let mut out = Vec::new();
    put_message(&mut out, 1, &partial);
    out
}

/// The same as JSON.
pub fn encode_response_json(partial_success: &PartialSuccess) -> String {
    let PartialSuccess { rejected, message: why, name } = partial_success;
    if *rejected == 0 {
        return "{}".to_owned();
    }
    let mut message = String::new();
    put_text(&mut message, why.as_bytes());
    format!(r#"{{"partialSuccess":{{"{name}":"{rejected}","errorMessage":{message}}}}}"#)
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`: the body of an HTTP error, and `grpc-status-details-bin` of a gRPC one.
pub fn encode_status_protobuf(code: Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, code as u64);
    put_bytes(&mut out, 2, message.as_bytes());
    if let Some(delay) = retry_after {
        let mut duration = Vec::new();
        put_uint(&mut duration, 1, delay.as_secs());
        put_uint(&mut duration, 2, u64::from(delay.subsec_nanos()));
        let mut retry_info = Vec::new();
        put_message(&mut retry_info, 1, &duration);
        let mut any = Vec::new();
        put_bytes(&mut any, 1, RETRY_INFO.as_bytes());
        put_message(&mut any, 2, &retry_info);
        put_message(&mut out, 3, &any);
    }
    out
}

/// The same as JSON.
pub fn encode_status_json(code: Code, message: &str, retry_after: Option<Duration>) -> String {
    let mut text = String::new();
    put_text(&mut text, message.as_bytes());
    let details = retry_after.map_or_else(String::new, |delay| {
        let fraction = match delay.subsec_nanos() {
            0 => String::new(),
            nanos => format!(".{nanos:09}"),
        };
        let seconds = delay.as_secs();
        format!(r#","details":[{{"@type":"{RETRY_INFO}","retryDelay":"{seconds}{fraction}s"}}]"#)
    });
    format!(r#"{{"code":{},"message":{text}{details}}}"#, code as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn responses() {
        let none = PartialSuccess::from(&Rejected::default());
        assert!(encode_response_protobuf(&none).is_empty());
        assert_eq!(encode_response_json(&none), "{}");
        let rejected = Rejected { trace_id: 2, span_id: 0, over_limit: 1 };
        expect![[r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"spans rejected: 2 without a valid trace id, 1 past the limit of one request"}}"#]]
            .assert_eq(&encode_response_json(&(&rejected).into()));
        let bytes = encode_response_protobuf(&(&rejected).into());
        let response: opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse =
            prost::Message::decode(&bytes[..]).expect("our own encoding");
        let partial = response.partial_success.expect("set");
        assert_eq!((partial.rejected_spans, partial.error_message), (3, rejected.to_string()));
    }

    #[test]
    fn responses_to_metrics() {
        let ignored = NotKept { other_metric: 7, no_value: 1, ..NotKept::default() };
        assert_eq!(encode_response_json(&(&ignored).into()), "{}", "accepted and forgotten is no rejection");
        let rejected = NotKept { invalid: 2, ..ignored };
        expect![[r#"{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"points rejected: 2 without a time or with a value that is no count"}}"#]]
            .assert_eq(&encode_response_json(&(&rejected).into()));
    }

    #[test]
    fn statuses() {
        let delay = Some(Duration::from_millis(1500));
        expect![[r#"{"code":8,"message":"queue is full \"q\"","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500000000s"}]}"#]]
            .assert_eq(&encode_status_json(Code::ResourceExhausted, "queue is full \"q\"", delay));
        expect![[r#"{"code":3,"message":"bad"}"#]].assert_eq(&encode_status_json(
            Code::InvalidArgument,
            "bad",
            None,
        ));
        let bytes = encode_status_protobuf(Code::Unavailable, "later", Some(Duration::from_secs(2)));
        let mut expected = vec![8, 14, 18, 5];
        expected.extend_from_slice(b"later\x1a\x30\x0a\x28");
        expected.extend_from_slice(RETRY_INFO.as_bytes());
        expected.extend_from_slice(&[18, 4, 10, 2, 8, 2]);
        assert_eq!(bytes, expected);
    }
}
