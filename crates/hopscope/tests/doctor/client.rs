//! A client that speaks OTLP as JSON, and may say of its clock and itself what it likes.

use crate::estate::Estate;
use hopscope_server::now_ns;
use serde_json::{Value, json};

pub const SECOND_NS: i64 = 1_000_000_000;
pub const MINUTE_NS: i64 = 60 * SECOND_NS;

/// A service as it names itself.
#[derive(Clone, Copy)]
pub struct Service {
    pub name: &'static str,
    pub instance: &'static str,
    pub host: &'static str,
}

impl Service {
    pub const fn named(name: &'static str, instance: &'static str) -> Self {
        Self { name, instance, host: "" }
    }

    fn resource(&self) -> Value {
        let named =
            [("service.name", self.name), ("service.instance.id", self.instance), ("host.name", self.host)];
        let named = named.iter().filter(|(_, value)| !value.is_empty());
        json!({ "attributes": named.map(|(key, value)| text(key, value)).collect::<Vec<_>>() })
    }

    pub fn send(&self, estate: &Estate, spans: Vec<Value>) {
        let scopes = json!([{ "spans": spans }]);
        post(
            estate,
            "traces",
            &json!({ "resourceSpans": [{ "resource": self.resource(), "scopeSpans": scopes }] }),
        );
    }

    /// One point of a counter (or, where it can fall, of a level).
    pub fn count(&self, estate: &Estate, metric: &Metric<'_>) {
        let point = json!({
            "attributes": metric.attributes.iter().map(|(key, value)| text(key, value)).collect::<Vec<_>>(),
            "startTimeUnixNano": metric.from_ns.to_string(),
            "timeUnixNano": metric.at_ns.to_string(),
            "asInt": metric.count.to_string(),
        });
        let sum =
            json!({ "aggregationTemporality": 2, "isMonotonic": !metric.is_level, "dataPoints": [point] });
        let scopes = json!([{ "metrics": [{ "name": metric.name, "sum": sum }] }]);
        post(
            estate,
            "metrics",
            &json!({ "resourceMetrics": [{ "resource": self.resource(), "scopeMetrics": scopes }] }),
        );
    }
}

pub struct Metric<'a> {
    pub name: &'a str,
    pub attributes: &'a [(&'a str, &'a str)],
    pub from_ns: i64,
    pub at_ns: i64,
    pub count: i64,
    pub is_level: bool,
}

fn post(estate: &Estate, signal: &str, body: &Value) {
    let url = format!("{}/v1/{signal}", estate.server.otlp_http);
    let status = status(&url, "application/json", body.to_string().into_bytes());
    assert_eq!(status, 200);
}

/// Posts a body, and gives the status of the answer.
pub fn status(url: &str, content_type: &str, body: Vec<u8>) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let request = reqwest::Client::new().post(url).header("content-type", content_type).body(body);
        request.send().await.expect("an answer").status().as_u16()
    })
}

pub fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

pub fn int(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A span of a message on Kafka's `orders`, that long ago.
#[derive(Clone, Copy)]
pub struct Span {
    /// Of the message: trace, and offset.
    pub message: u64,
    pub stage: &'static str,
    pub ago_ns: i64,
    /// `None`: it never ended.
    pub took_ns: Option<i64>,
    pub destination: &'static str,
    pub group: &'static str,
    pub has_position: bool,
}

pub const SEND: Span = Span {
    message: 0,
    stage: "send",
    ago_ns: SECOND_NS,
    took_ns: Some(1_000_000),
    destination: "orders",
    group: "",
    has_position: true,
};

pub const PROCESS: Span = Span { stage: "process", group: "payment", ago_ns: SECOND_NS / 2, ..SEND };

impl Span {
    pub fn json(self) -> Value {
        let start_ns = now_ns() - self.ago_ns;
        let number = match self.stage {
            "send" => 1,
            "receive" => 2,
            _ => 3,
        };
        let trace = format!("{:032x}", 0xd0c_0000_0000_u64 + self.message);
        let id = |number: u64| format!("{:016x}", self.message * 8 + number);
        let mut attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.type", self.stage),
            text("messaging.destination.name", self.destination),
        ];
        if self.has_position {
            attributes.push(text("messaging.destination.partition.id", "0"));
            attributes.push(int("messaging.kafka.offset", self.message as i64));
        }
        if !self.group.is_empty() {
            attributes.push(text("messaging.consumer.group.name", self.group));
        }
        let links = if number == 1 { json!([]) } else { json!([{ "traceId": trace, "spanId": id(1) }]) };
        json!({
            "traceId": trace,
            "spanId": id(number),
            "name": format!("{} {}", self.stage, self.destination),
            "kind": if number == 1 { 4 } else { 5 },
            "startTimeUnixNano": start_ns.to_string(),
            "endTimeUnixNano": self.took_ns.map_or(0, |took_ns| start_ns + took_ns).to_string(),
            "attributes": attributes,
            "links": links,
        })
    }
}
