//! Spans from one line of text, batches to a few lines: so that tests read as tables.

#![allow(dead_code, reason = "each test uses a part of it")]

use hopscope_model::{Batch, MessageEvent, SpanContext, SpanId, Stage, Tenant, TraceId};
use hopscope_wire::otlp::{self, AnyValue, LinkData, ResourceData, SpanData};
use hopscope_wire::{DecodeLimits, Decoded, Kind, Status};
use std::fmt::Write as _;

/// The span `000...09-0000000000000001` of one line: kind, then `key=text`, `key:=integer`, `key=[a,b]`, and
/// `name=..`, `status=ok|error`, `message=..`, `parent=..`, `flags=..`, `end=none|before`. Underscores in a span
/// name stand for blanks.
pub fn span(line: &str) -> SpanData {
    let mut words = line.split_whitespace();
    let kind = match words.next() {
        Some("internal") => Kind::Internal,
        Some("server") => Kind::Server,
        Some("client") => Kind::Client,
        Some("producer") => Kind::Producer,
        Some("consumer") => Kind::Consumer,
        other => panic!("no such kind: {other:?}"),
    };
    let mut span = SpanData {
        trace: TraceId::from_hex("9").expect("valid"),
        span: SpanId::from_hex("1").expect("valid"),
        kind,
        start_ns: 1_000,
        end_ns: 3_000,
        ..SpanData::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "name" => span.name = value.replace('_', " "),
            "status" => span.status = if value == "ok" { Status::Ok } else { Status::Error },
            "message" => span.status_message = value.to_owned(),
            "parent" => span.parent = SpanId::from_hex(value).expect("span id"),
            "id" => span.span = SpanId::from_hex(value).expect("span id"),
            "flags" => span.flags = u32::from_str_radix(value, 16).expect("hexadecimal flags"),
            "end" => span.end_ns = if value == "none" { 0 } else { 500 },
            _ => span.attributes.push(attribute(key, value)),
        }
    }
    span
}

fn attribute(key: &str, value: &str) -> (String, AnyValue) {
    if let Some(key) = key.strip_suffix(':') {
        return (key.to_owned(), AnyValue::Int(value.parse().expect("integer")));
    }
    let list = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let value = match list {
        Some(list) => AnyValue::Texts(list.split(',').map(str::to_owned).collect()),
        None => value.into(),
    };
    (key.to_owned(), value)
}

/// A link of one line: trace and span in hexadecimal digits (`-` for none), flags, then attributes.
pub fn link(line: &str) -> LinkData {
    let mut words = line.split_whitespace();
    let context = match words.next().and_then(|word| word.split_once('-')) {
        Some((trace, span)) => SpanContext {
            trace: TraceId::from_hex(trace).unwrap_or_default(),
            span: SpanId::from_hex(span).unwrap_or_default(),
        },
        None => SpanContext::default(),
    };
    let flags = words.next().map_or(0, |word| u32::from_str_radix(word, 16).expect("hexadecimal flags"));
    let attributes = words.map(|word| word.split_once('=').expect("key=value"));
    LinkData { context, flags, attributes: attributes.map(|(key, value)| attribute(key, value)).collect() }
}

/// Decodes these spans of service `shop`.
pub fn decode(spans: Vec<SpanData>) -> Decoded {
    let resource = ResourceData {
        attributes: vec![("service.name".into(), "shop".into())],
        scope: String::new(),
        spans,
    };
    let bytes = otlp::encode_request(&[resource]);
    otlp::decode_protobuf(&bytes, &Tenant::default(), 0, &DecodeLimits::default()).expect("our own encoding")
}

/// Everything the events say beyond trace, span and times, one line each, then the progress.
pub fn tell(batch: &Batch) -> String {
    let mut out = String::new();
    for event in batch.events() {
        out.push_str(&tell_event(&event.to_owned()));
        out.push('\n');
    }
    for progress in batch.progress_owned() {
        let lane = [progress.system, progress.destination, progress.lane, progress.group].join("/");
        let _ = writeln!(out, "progress {lane} {:?} at={}", progress.kind, progress.at_ns);
    }
    out
}

fn tell_event(event: &MessageEvent) -> String {
    let mut out = event.stage.name().to_owned();
    let outcome = match &event.outcome {
        hopscope_model::Outcome::Failed { reason } => format!("failed({reason})"),
        other => other.name().to_owned(),
    };
    let _ = write!(out, " {outcome}");
    let own = event.context();
    let creation = event.creation.map_or(String::new(), |creation| match Some(creation) == own {
        true => "own".to_owned(),
        false => short(&creation),
    });
    for (name, value) in [
        ("op", event.operation.clone()),
        ("creation", creation),
        ("system", event.system.clone()),
        ("cluster", event.cluster.clone()),
        ("server", event.server.clone()),
        ("dest", event.destination.clone()),
        ("address", event.address.clone()),
        ("lane", event.lane.clone()),
        ("position", event.position.map_or(String::new(), |position| position.to_string())),
        ("id", event.message_id.clone()),
        ("correlation", event.correlation_id.clone()),
        ("keys", event.keys.join(",")),
        ("group", event.group.clone()),
        ("attempt", event.attempt.map_or(String::new(), |attempt| attempt.to_string())),
        ("disposition", event.disposition.map_or(String::new(), |d| d.name().to_owned())),
        ("client", event.client.clone()),
        ("bytes", event.body_bytes.map_or(String::new(), |bytes| bytes.to_string())),
        ("broker_ns", event.broker_ns.map_or(String::new(), |ns| ns.to_string())),
        ("origin_ns", event.origin_ns.map_or(String::new(), |ns| ns.to_string())),
        ("links", event.links.iter().map(short).collect::<Vec<_>>().join(",")),
    ] {
        if !value.is_empty() {
            let _ = write!(out, " {name}={value}");
        }
    }
    if event.stage != Stage::Work && event.duration_ns.is_none() {
        out.push_str(" duration=unknown");
    }
    for (name, value) in &event.attributes {
        let _ = write!(out, " [{name}={value}]");
    }
    out
}

fn short(context: &SpanContext) -> String {
    let digits = |text: String| text.trim_start_matches('0').to_owned();
    format!("{}-{}", digits(context.trace.to_string()), digits(context.span.to_string()))
}
