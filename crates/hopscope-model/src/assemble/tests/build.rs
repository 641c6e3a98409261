//! Builders of evidence: short enough that a test reads as the story it tells.

use crate::{
    Disposition, Evidence, Grade, MessageEvent, Outcome, Position, Progress, ProgressKind, SpanContext,
    SpanId, Stage, TraceId, Value,
};

/// Milliseconds in ns.
pub const MS: i64 = 1_000_000;
/// Seconds in ns.
pub const S: i64 = 1_000 * MS;
/// When the stories begin.
pub const T0: i64 = 1_795_248_000 * S;
/// When they are told: long enough after to have all evidence.
pub const NOW: i64 = T0 + 60 * S;

/// A context of trace and span number.
pub fn ctx(trace: u8, span: u8) -> SpanContext {
    let mut context = SpanContext::default();
    context.trace.0[15] = trace;
    context.span.0[7] = span;
    context
}

/// An event under construction.
#[derive(Clone, Debug)]
pub struct Build(pub MessageEvent);

fn event(stage: Stage, trace: u8, span: u8) -> Build {
    let own = ctx(trace, span);
    Build(MessageEvent {
        trace: if trace == 0 { TraceId::ZERO } else { own.trace },
        span: if span == 0 { SpanId::ZERO } else { own.span },
        start_ns: T0,
        duration_ns: Some(0),
        outcome: Outcome::Ok,
        ..MessageEvent::new(stage)
    })
}

/// A send that made its own context.
pub fn send(trace: u8, span: u8) -> Build {
    let built = event(Stage::Send, trace, span);
    built.made_by(ctx(trace, span)).by("checkout", "c1")
}

pub fn create(trace: u8, span: u8) -> Build {
    event(Stage::Create, trace, span).made_by(ctx(trace, span)).by("checkout", "c1")
}

pub fn receive(trace: u8, span: u8) -> Build {
    event(Stage::Receive, trace, span).outcome(Outcome::Unknown).by("payment", "p1")
}

pub fn process(trace: u8, span: u8) -> Build {
    event(Stage::Process, trace, span).by("payment", "p1")
}

pub fn settle(trace: u8, span: u8) -> Build {
    event(Stage::Settle, trace, span).by("payment", "p1")
}

pub fn work(trace: u8, span: u8) -> Build {
    event(Stage::Work, trace, span).by("payment", "p1")
}

impl Build {
    fn with(mut self, change: impl FnOnce(&mut MessageEvent)) -> Self {
        change(&mut self.0);
        self
    }

    pub fn made_by(self, creation: SpanContext) -> Self {
        self.with(|event| event.creation = Some(creation))
    }

    pub fn under(self, span: u8) -> Self {
        self.with(|event| event.parent = ctx(0, span).span)
    }

    pub fn linked(self, context: SpanContext) -> Self {
        self.with(|event| event.links.push(context))
    }

    pub fn by(self, service: &str, instance: &str) -> Self {
        self.with(|event| (event.service, event.instance) = (service.into(), instance.into()))
    }

    pub fn to(self, system: &str, destination: &str) -> Self {
        self.with(|event| (event.system, event.destination) = (system.into(), destination.into()))
    }

    /// `orders`, lane 0.
    pub fn orders(self, position: i64) -> Self {
        self.to("kafka", "orders").at("0", position)
    }

    pub fn at(self, lane: &str, position: i64) -> Self {
        self.with(|event| (event.lane, event.position) = (lane.into(), Some(position)))
    }

    pub fn cluster(self, cluster: &str) -> Self {
        self.with(|event| event.cluster = cluster.into())
    }

    pub fn address(self, address: &str) -> Self {
        self.with(|event| event.address = address.into())
    }

    pub fn id(self, id: &str) -> Self {
        self.with(|event| event.message_id = id.into())
    }

    pub fn key(self, key: &str) -> Self {
        self.with(|event| event.keys.push(key.into()))
    }

    pub fn group(self, group: &str) -> Self {
        self.with(|event| event.group = group.into())
    }

    pub fn attempt(self, number: u32) -> Self {
        self.with(|event| event.attempt = Some(number))
    }

    /// From `start` ms after the beginning, for `length` ms.
    pub fn ms(self, start: i64, length: u64) -> Self {
        self.with(|event| (event.start_ns, event.duration_ns) = (T0 + start * MS, Some(length * MS as u64)))
    }

    pub fn endless(self) -> Self {
        self.with(|event| event.duration_ns = None).outcome(Outcome::Unknown)
    }

    pub fn stored(self, ns: i64) -> Self {
        self.with(|event| event.broker_ns = Some(ns))
    }

    pub fn received(self, ns: i64) -> Self {
        self.with(|event| event.received_ns = ns)
    }

    pub fn outcome(self, outcome: Outcome) -> Self {
        self.with(|event| event.outcome = outcome)
    }

    pub fn failed(self, reason: &str) -> Self {
        self.outcome(Outcome::Failed { reason: reason.into() })
    }

    pub fn asked(self, disposition: Disposition) -> Self {
        self.with(|event| event.disposition = Some(disposition))
    }

    pub fn attribute(self, name: &str, value: Value) -> Self {
        self.with(|event| event.attributes.push((name.into(), value)))
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, Value::Text(value.into()))
    }

    /// Its headers say that it was copied from there.
    pub fn copied_from(self, kind: &str, destination: &str, group: &str) -> Self {
        self.text("hopscope.copied_from.kind", kind)
            .text("hopscope.copied_from.destination", destination)
            .text("hopscope.copied_from.group", group)
    }
}

pub fn evidence(events: impl IntoIterator<Item = Build>) -> Evidence {
    Evidence { events: events.into_iter().map(|built| built.0).collect(), ..Evidence::default() }
}

/// Progress of a group on `orders`/0, that many ms after the beginning.
pub fn progress(group: &str, kind: ProgressKind, ms: i64) -> Progress {
    Progress {
        system: "kafka".into(),
        cluster: String::new(),
        destination: "orders".into(),
        lane: "0".into(),
        group: group.into(),
        kind,
        at_ns: T0 + ms * MS,
        service: group.into(),
        grade: Grade::Observed,
    }
}

pub fn floor(group: &str, next: i64, ms: i64) -> Progress {
    progress(group, ProgressKind::Floor { next }, ms)
}

pub fn orders(position: i64) -> Position {
    Position {
        system: "kafka".into(),
        cluster: String::new(),
        destination: "orders".into(),
        lane: "0".into(),
        position,
    }
}
