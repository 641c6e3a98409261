//! A message inside a trace of 1,000,000 events: how fast it opens beside a message in a trace of its own, and how
//! much memory the server takes for it.
//!
//! One job span is the parent of 500,000 sends to Kafka, each handled once: the worst shape, because trace and
//! parent are shared by all. 1,000 messages in traces of their own lie beside them. The real binary serves, in
//! its own process; times are wall clock of `GET /api/v1/messages/…` over loopback, and the gate is their ratio.
//! Memory is the highest resident size while messages are opened, over the resident size just before.

#![allow(clippy::print_stdout, clippy::print_stderr)] // figures are this program's output

#[path = "../tests/support/mod.rs"]
mod support;

use hopscope_client::Client;
use hopscope_model::{SpanContext, SpanId, TraceId};
use hopscope_wire::Kind;
use hopscope_wire::otlp::{AnyValue, LinkData, ResourceData, SpanData, encode_request};
use std::time::{Duration, Instant};
use support::{Random, Server};

const MESSAGES: u64 = 500_000;
const OWN_TRACES: u64 = 1_000;
const MESSAGES_PER_REQUEST: u64 = 2_000;
const OPENED: u64 = 200;
const GROWTH_MB_MAX: f64 = 64.0;
/// "As fast as any other", with room for what a busy machine does to a p99.
const RATIO_MAX: f64 = 2.0;
const START_NS: u64 = 1_795_243_117_000_000_000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let client = Client::new(&server.page).expect("an address");
    let job = SpanContext { trace: TraceId([7; 16]), span: SpanId([7; 8]) };
    eprintln!("sending {MESSAGES} messages of one trace and {OWN_TRACES} of their own");
    let own =
        |number: u64| SpanContext { trace: TraceId((u128::from(number) + 1).to_be_bytes()), span: job.span };
    // First, so that they lie in a sealed segment like the others and not in memory.
    send(&server.otlp_http, "own", OWN_TRACES, own).await;
    send(&server.otlp_http, "huge", MESSAGES, |_| job).await;
    let stored = client.status().await.expect("a status").stored_events.0;
    assert_eq!(stored, 2 * (MESSAGES + OWN_TRACES) as i64, "everything is stored");

    let mut random = Random::printed("huge_trace");
    open(&client, "own", OWN_TRACES, &mut random).await; // warms what both share
    let own = open(&client, "own", OWN_TRACES, &mut random).await;
    let before = resident_mb(server.pid(), "VmRSS:");
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("the peak can be reset");
    let huge = open(&client, "huge", MESSAGES, &mut random).await;
    let growth = resident_mb(server.pid(), "VmHWM:") - before;
    let p50 = |times: &[f64]| times[times.len() / 2];
    let p99 = |times: &[f64]| times[times.len() * 99 / 100];
    figure("huge_trace_open_ms_p50", p50(&huge), "ms", None);
    figure("huge_trace_open_ms_p99", p99(&huge), "ms", None);
    figure("own_trace_open_ms_p50", p50(&own), "ms", None);
    figure("own_trace_open_ms_p99", p99(&own), "ms", None);
    figure("huge_trace_open_ratio_to_own_trace_p50", p50(&huge) / p50(&own), "x", Some(RATIO_MAX));
    figure("huge_trace_memory_growth", growth, "MB", Some(GROWTH_MB_MAX));
}

/// One JSON line; every gate here is an upper bound.
fn figure(name: &str, value: f64, unit: &str, gate: Option<f64>) {
    let pass = gate.is_none_or(|gate| value <= gate);
    println!(
        "{}",
        serde_json::json!({ "name": name, "value": value, "unit": unit, "gate": gate, "pass": pass })
    );
}

async fn send(otlp_http: &str, topic: &str, messages: u64, cause: impl Fn(u64) -> SpanContext) {
    let http = reqwest::Client::new();
    for first in (0..messages).step_by(MESSAGES_PER_REQUEST as usize) {
        let numbers = first..messages.min(first + MESSAGES_PER_REQUEST);
        let spans = numbers.flat_map(|number| message(topic, number, cause(number))).collect();
        let attributes = vec![("service.name".to_owned(), AnyValue::from("job"))];
        let body = encode_request(&[ResourceData { attributes, spans, ..ResourceData::default() }]);
        loop {
            let request =
                http.post(format!("{otlp_http}/v1/traces")).header("content-type", "application/x-protobuf");
            let answer = request.body(body.clone()).send().await.expect("the server answers");
            if answer.status().is_success() {
                break;
            }
            // Back-pressure: the server says when to come back.
            assert!(matches!(answer.status().as_u16(), 429 | 503), "status {}", answer.status());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn message(topic: &str, number: u64, cause: SpanContext) -> [SpanData; 2] {
    let id = |salt: u64| SpanId(((topic.len() as u64) << 40 | (number * 4 + salt)).to_be_bytes());
    let attributes = |operation: &str| {
        let mut attributes = vec![
            ("messaging.system".to_owned(), AnyValue::from("kafka")),
            ("messaging.operation.type".to_owned(), AnyValue::from(operation)),
            ("messaging.operation.name".to_owned(), AnyValue::from(operation)),
            ("messaging.destination.name".to_owned(), AnyValue::from(topic)),
            ("messaging.destination.partition.id".to_owned(), AnyValue::from("0")),
            ("messaging.kafka.offset".to_owned(), AnyValue::Int(number as i64)),
        ];
        if operation == "process" {
            attributes.push(("messaging.consumer.group.name".to_owned(), AnyValue::from("workers")));
        }
        attributes
    };
    let send = SpanData {
        trace: cause.trace,
        span: id(1),
        parent: cause.span,
        name: format!("send {topic}"),
        kind: Kind::Producer,
        start_ns: START_NS + number * 1_000,
        end_ns: START_NS + number * 1_000 + 500,
        attributes: attributes("send"),
        ..SpanData::default()
    };
    let link = LinkData {
        context: SpanContext { trace: cause.trace, span: send.span },
        flags: 0x300,
        attributes: vec![],
    };
    let process = SpanData {
        trace: cause.trace,
        span: id(2),
        parent: send.span,
        name: format!("process {topic}"),
        kind: Kind::Consumer,
        start_ns: send.end_ns + 1_000,
        end_ns: send.end_ns + 2_000,
        attributes: attributes("process"),
        links: vec![link],
        ..SpanData::default()
    };
    [send, process]
}

/// Opens messages of the topic at random; times in ms, sorted.
async fn open(client: &Client, topic: &str, messages: u64, random: &mut Random) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..OPENED {
        let reference = format!("kafka:{topic}/0/{}", random.below(messages));
        let begun = Instant::now();
        let answer = client.message(&reference, 4).await.expect("the message");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer.trajectory.events.len(), 2, "{reference}: its own events and no others");
    }
    times.sort_by(f64::total_cmp);
    times
}

/// A line of `/proc/PID/status`, in MB.
fn resident_mb(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") / 1024.0
}
