//! Events for the cases.

use super::{NOW_NS, SECOND_NS};
use hopscope_model::{
    Batch, BatchBuilder, Disposition, Grade, MessageEvent, Outcome, Position, Progress, ProgressKind, Source,
    SpanContext, SpanId, Stage, Tenant, TraceId, Value, system,
};

/// A batch of the default tenant.
pub fn batch(received_ns: i64, events: &[MessageEvent]) -> Batch {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, received_ns);
    events.iter().for_each(|event| builder.push_event(event));
    builder.finish()
}

/// An event of span `span` in trace `trace`, `span` seconds before now.
pub fn event(trace: u64, span: u64, stage: Stage) -> MessageEvent {
    let context = context(trace, span);
    MessageEvent {
        trace: context.trace,
        span: context.span,
        start_ns: NOW_NS - span as i64 * SECOND_NS,
        ..MessageEvent::new(stage)
    }
}

/// A context of small numbers.
pub fn context(trace: u64, span: u64) -> SpanContext {
    let mut wide = [0x11; 16];
    wide[8..].copy_from_slice(&trace.to_be_bytes());
    SpanContext { trace: TraceId(wide), span: SpanId((span + 1).to_be_bytes()) }
}

/// Coordinates in `orders` of Kafka.
pub fn at(lane: &str, position: i64) -> Position {
    Position {
        system: system::KAFKA.to_owned(),
        cluster: String::new(),
        destination: "orders".to_owned(),
        lane: lane.to_owned(),
        position,
    }
}

/// Message `number` in `orders`: a Send, a Receive and a Process by `group`, with every field set.
pub fn message(number: u64, group: &str) -> Vec<MessageEvent> {
    let creation = context(number, number * 10);
    let send = MessageEvent {
        operation: "publish".into(),
        creation: Some(creation),
        duration_ns: Some(3_000_000),
        broker_ns: Some(NOW_NS - 5),
        origin_ns: Some(NOW_NS - 9),
        outcome: Outcome::Ok,
        system: system::KAFKA.into(),
        cluster: "main".into(),
        server: "broker-1:9092".into(),
        destination: "orders".into(),
        address: "orders.created".into(),
        lane: (number % 3).to_string(),
        position: Some(number as i64),
        message_id: format!("message-{number}"),
        correlation_id: format!("conversation-{}", number / 2),
        keys: vec![format!("order-{number}"), format!("customer-{}", number % 7)],
        client: "checkout-producer".into(),
        service: "checkout".into(),
        instance: "checkout-1".into(),
        body_bytes: Some(512),
        attributes: vec![
            ("text".into(), Value::Text("größer \"quoted\" \n".into())),
            ("int".into(), Value::Int(-7)),
            ("double".into(), Value::Double(0.1)),
            ("bool".into(), Value::Bool(true)),
            ("bytes".into(), Value::Bytes("00ff".into())),
            ("json".into(), Value::Json("[1,2,{\"a\":null}]".into())),
        ],
        ..event(number, number * 10, Stage::Send)
    };
    let receive = MessageEvent {
        operation: "poll".into(),
        trace: context(number, 0).trace,
        span: context(number, number * 10 + 1).span,
        parent: creation.span,
        links: vec![context(99, number), context(98, number)],
        start_ns: send.start_ns + SECOND_NS / 2,
        group: group.into(),
        service: group.into(),
        instance: format!("{group}-1"),
        client: format!("{group}-consumer"),
        attempt: Some(1),
        stage: Stage::Receive,
        ..send.clone()
    };
    let process = MessageEvent {
        operation: "process".into(),
        span: context(number, number * 10 + 2).span,
        start_ns: receive.start_ns + 1,
        outcome: Outcome::Failed { reason: "timeout".into() },
        disposition: Some(Disposition::Retry),
        grade: Grade::Inferred,
        stage: Stage::Process,
        ..receive.clone()
    };
    vec![send, receive, process]
}

/// `count` different events in one trace, all at the same time when `spread_ns` is 0.
pub fn copies(trace: u64, count: u64, spread_ns: i64) -> Vec<MessageEvent> {
    let one = |number| MessageEvent {
        start_ns: NOW_NS - number as i64 * spread_ns,
        service: format!("service-{}", number % 4),
        ..event(trace, number, Stage::Work)
    };
    (0..count).map(one).collect()
}

/// A sample of `group` on a lane of `orders`, `seconds` after now.
pub fn progress_at(group: &str, lane: &str, seconds: i64, kind: ProgressKind) -> Progress {
    Progress {
        system: system::KAFKA.to_owned(),
        cluster: "main".to_owned(),
        destination: "orders".to_owned(),
        lane: lane.to_owned(),
        group: group.to_owned(),
        kind,
        at_ns: NOW_NS + seconds * SECOND_NS,
        service: format!("{group}-service"),
        grade: Grade::Observed,
    }
}
