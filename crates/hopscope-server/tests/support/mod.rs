//! What the integration tests share: spans to send, a server to send them to, and its books.
#![allow(dead_code, clippy::expect_used)] // each test binary uses a part of it

pub mod brokers;
pub mod moody;
pub mod raw_grpc;

use hopscope_client::Client;
use hopscope_client::api::Receiver;
use hopscope_server::{Config, Running, Server};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use std::time::Duration;

/// A server on free ports, its client, and a plain HTTP client.
pub struct Rig {
    pub server: Running,
    pub client: Client,
    pub http: reqwest::Client,
}

impl Rig {
    pub async fn in_memory() -> Self {
        Self::with(Config::on_free_ports("memory")).await
    }

    pub async fn with(config: Config) -> Self {
        Self::around(Server::start(config).await.expect("a server"))
    }

    pub fn around(server: Running) -> Self {
        let client = Client::new(&format!("http://{}", server.addresses.http)).expect("a client");
        // A test that waits for an answer that never comes should fail, not hang.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { server, client, http }
    }

    pub fn traces_url(&self) -> String {
        format!("http://{}/v1/traces", self.server.addresses.otlp_http)
    }

    pub fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses.http)
    }

    pub async fn post(&self, content_type: &str, body: Vec<u8>) -> reqwest::Response {
        let request = self.http.post(self.traces_url()).header("content-type", content_type).body(body);
        request.send().await.expect("an answer")
    }

    pub async fn send(&self, request: &ExportTraceServiceRequest) -> reqwest::Response {
        self.post("application/x-protobuf", prost::Message::encode_to_vec(request)).await
    }

    /// The books of one receiver, which must balance.
    pub async fn books(&self, receiver: &str) -> Receiver {
        let status = self.client.status().await.expect("status");
        let books = status.receivers.into_iter().find(|books| books.name == receiver).expect("that receiver");
        let dropped: i64 = books.dropped.iter().map(|dropped| dropped.events.0).sum();
        assert_eq!(
            books.received.0,
            books.stored.0 + books.refused.0 + dropped + books.queued.0,
            "{books:?}"
        );
        books
    }

    pub async fn events_of(&self, trace: u128) -> usize {
        let found = self.client.trace(&format!("{trace:032x}"), 2_000, None).await.expect("a trace");
        found.events.len()
    }

    pub async fn stop(self) {
        self.server.stop().await.expect("a graceful stop");
    }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// One instant for the whole run: the same span is the same bytes, and groups count as alive.
pub fn a_second_ago() -> u64 {
    static THEN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *THEN.get_or_init(|| hopscope_server::now_ns().cast_unsigned() - 1_000_000_000)
}

/// A send to Kafka: topic `orders`, partition 0.
pub fn send_span(trace: u128, span: u64, offset: i64) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        name: "send orders".to_owned(),
        kind: SpanKind::Producer as i32,
        start_time_unix_nano: a_second_ago(),
        end_time_unix_nano: a_second_ago() + 2_000_000,
        attributes: vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.type", "send"),
            text("messaging.destination.name", "orders"),
            text("messaging.destination.partition.id", "0"),
            int("messaging.kafka.offset", offset),
            text("messaging.kafka.message.key", &format!("order-{offset}")),
        ],
        ..Span::default()
    }
}

/// A process of that message by a group.
pub fn process_span(trace: u128, span: u64, parent: u64, offset: i64, group: &str) -> Span {
    let mut made = send_span(trace, span, offset);
    made.name = "process orders".to_owned();
    made.kind = SpanKind::Consumer as i32;
    made.parent_span_id = parent.to_be_bytes().to_vec();
    made.start_time_unix_nano += 5_000_000;
    made.end_time_unix_nano += 8_000_000;
    made.attributes.retain(|attribute| attribute.key != "messaging.operation.type");
    made.attributes.push(text("messaging.operation.type", "process"));
    made.attributes.push(text("messaging.consumer.group.name", group));
    made.attributes.push(text("hopscope.disposition", "accept"));
    made.links = vec![opentelemetry_proto::tonic::trace::v1::span::Link {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: parent.to_be_bytes().to_vec(),
        ..Default::default()
    }];
    made
}

pub fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// Asks until it is so; fails after ten seconds.
pub async fn until<F: Future<Output = bool>>(what: &str, ask: impl FnMut() -> F) {
    within(10, what, ask).await;
}

/// Asks until it is so; fails after that many seconds.
pub async fn within<F: Future<Output = bool>>(seconds: u64, what: &str, mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(seconds), asked)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// The channel of a gRPC client to the server.
pub async fn channel(server: &Running) -> tonic::transport::Channel {
    let address = format!("http://{}", server.addresses.otlp_grpc);
    let endpoint = tonic::transport::Endpoint::from_shared(address).expect("an address");
    endpoint.connect().await.expect("a connection")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("memory");
    encoder.finish().expect("memory")
}
