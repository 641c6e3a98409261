//! What OTLP senders see: real sockets, the generated types and client as the other side.
#![allow(clippy::expect_used)]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;

use support::{Rig, gzip, process_span, request, send_span};
use tonic::codec::CompressionEncoding;

#[tokio::test]
async fn http_in_protobuf_and_json_plain_and_compressed() {
    let rig = Rig::in_memory().await;
    let spans =
        |trace| request("checkout", vec![send_span(trace, 1, 1), process_span(trace, 2, 1, 1, "payment")]);
    let protobuf = |trace| spans(trace).encode_to_vec();
    let json = |trace| serde_json::to_vec(&spans(trace)).expect("JSON");
    let cases: [(u128, &str, &str, Vec<u8>); 6] = [
        (1, "application/x-protobuf", "", protobuf(1)),
        (2, "application/x-protobuf; charset=x", "gzip", gzip(&protobuf(2))),
        (3, "application/x-protobuf", "zstd", zstd::encode_all(protobuf(3).as_slice(), 3).expect("zstd")),
        (4, "application/json", "", json(4)),
        (5, "application/json; charset=utf-8", "gzip", gzip(&json(5))),
        (6, "application/json", "zstd", zstd::encode_all(json(6).as_slice(), 3).expect("zstd")),
    ];
    for (trace, content_type, encoding, body) in cases {
        let mut sent = rig.http.post(rig.traces_url()).header("content-type", content_type).body(body);
        if !encoding.is_empty() {
            sent = sent.header("content-encoding", encoding);
        }
        let answer = sent.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{content_type} {encoding}");
        let told = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert_eq!(told, content_type.split(';').next().expect("a type"));
        let body = answer.bytes().await.expect("a body");
        match told.as_str() {
            "application/json" => assert_eq!(&body[..], b"{}"),
            _ => assert_eq!(ExportTraceServiceResponse::decode(&body[..]).expect("it").partial_success, None),
        }
        assert_eq!(rig.events_of(trace).await, 2, "{content_type} {encoding}");
    }
    let books = rig.books("otlp_http").await;
    assert_eq!((books.received.0, books.stored.0), (12, 12));
    rig.stop().await;
}

#[tokio::test]
async fn grpc_plain_and_compressed() {
    let rig = Rig::in_memory().await;
    let address = format!("http://{}", rig.server.addresses.otlp_grpc);
    let client = TraceServiceClient::connect(address).await.expect("a connection");
    for (trace, encoding) in
        [(1, None), (2, Some(CompressionEncoding::Gzip)), (3, Some(CompressionEncoding::Zstd))]
    {
        let mut client = match encoding {
            Some(encoding) => client.clone().send_compressed(encoding),
            None => client.clone(),
        };
        let answer = client.export(request("checkout", vec![send_span(trace, 1, 1)])).await.expect("OK");
        assert_eq!(answer.into_inner().partial_success, None);
        assert_eq!(rig.events_of(trace).await, 1);
    }
    assert_eq!(rig.books("otlp_grpc").await.stored.0, 3);
    rig.stop().await;
}

#[tokio::test]
async fn spans_without_ids_are_a_partial_success() {
    let rig = Rig::in_memory().await;
    let sent = request("checkout", vec![send_span(0, 1, 1), send_span(7, 0, 2), send_span(7, 3, 3)]);
    let answer = rig.send(&sent).await;
    assert_eq!(answer.status(), 200);
    let partial = ExportTraceServiceResponse::decode(&answer.bytes().await.expect("a body")[..])
        .expect("it")
        .partial_success;
    assert_eq!(partial.expect("partial").rejected_spans, 2);
    assert_eq!(rig.events_of(7).await, 1);
    let books = rig.books("otlp_http").await;
    assert_eq!((books.received.0, books.stored.0, books.dropped.len()), (3, 1, 2), "{books:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_request_sent_twice_is_stored_once() {
    let rig = Rig::in_memory().await;
    let sent = request("checkout", vec![send_span(1, 1, 1), send_span(1, 2, 2)]);
    for _ in 0..3 {
        assert_eq!(rig.send(&sent).await.status(), 200);
    }
    assert_eq!(rig.events_of(1).await, 2);
    let books = rig.books("otlp_http").await;
    let dropped: Vec<(&str, i64)> =
        books.dropped.iter().map(|one| (one.reason.as_str(), one.events.0)).collect();
    assert_eq!((books.stored.0, dropped), (2, vec![("duplicate", 4)]));
    rig.stop().await;
}
