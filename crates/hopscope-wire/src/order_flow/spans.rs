//! The spans of the flow: ids, services, what hangs under what.

use super::attributes::{Attributes, text};
use crate::otlp::{AnyValue, EventData, LinkData, ResourceData, SpanData};
use crate::span::RETRY;
use crate::{Kind, Status};
use hopscope_model::{SpanContext, SpanId, TraceId};

pub(super) struct Flow {
    pub(super) resources: Vec<ResourceData>,
    pub(super) ids: u64,
}

impl Flow {
    /// SplitMix64: ids that look random and are the same for the same seed.
    pub(super) fn id(&mut self) -> u64 {
        self.ids = self.ids.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.ids;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }

    pub(super) fn trace(&mut self) -> TraceId {
        let (high, low) = (self.id(), self.id());
        TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    #[allow(clippy::too_many_arguments)] // a span in full
    pub(super) fn span(
        &mut self,
        service: &'static str,
        kind: Kind,
        name: &str,
        under: Under,
        start_ns: i64,
        duration_ns: i64,
        attributes: Attributes,
    ) -> SpanContext {
        let (trace, parent, linked) = match under {
            Under::Root(trace) => (trace, SpanId::ZERO, None),
            Under::Span(parent) => (parent.trace, parent.span, None),
            Under::Link(link) => (self.trace(), SpanId::ZERO, Some(link)),
            Under::Both(link) => (link.trace, link.span, Some(link)),
            Under::Handler(parent, link) => (parent.trace, parent.span, Some(link)),
        };
        let span = SpanId(self.id().to_be_bytes());
        let link = |context| LinkData { context, flags: REMOTE, attributes: Vec::new() };
        let data = SpanData {
            trace,
            span,
            parent,
            flags: if matches!(under, Under::Both(_)) { REMOTE } else { LOCAL },
            name: name.to_owned(),
            kind,
            start_ns: start_ns.unsigned_abs(),
            end_ns: (start_ns + duration_ns).unsigned_abs(),
            attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            events: Vec::new(),
            links: linked.map(link).into_iter().collect(),
            status: Status::Unset,
            status_message: String::new(),
        };
        self.resource(service).spans.push(data);
        SpanContext { trace, span }
    }

    fn resource(&mut self, service: &'static str) -> &mut ResourceData {
        let named = |resource: &ResourceData| {
            resource.attributes.first().is_some_and(|(_, name)| *name == text(service))
        };
        let index = self.resources.iter().position(named).unwrap_or_else(|| {
            self.resources.push(ResourceData {
                attributes: vec![
                    ("service.name".to_owned(), text(service)),
                    ("service.instance.id".to_owned(), text(format!("{service}-1"))),
                    ("service.version".to_owned(), text("1.4.2")),
                ],
                scope: "order-flow".to_owned(),
                spans: Vec::new(),
            });
            self.resources.len() - 1
        });
        &mut self.resources[index]
    }

    /// The span that this service sent last is about these messages.
    pub(super) fn link(&mut self, service: &'static str, messages: Vec<(SpanContext, Attributes)>) {
        let links = messages.into_iter().map(|(context, attributes)| LinkData {
            context,
            flags: REMOTE,
            attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        });
        if let Some(span) = self.resource(service).spans.last_mut() {
            span.links = links.collect();
        }
    }

    /// In the span that this service sent last, an attempt failed and was made again.
    pub(super) fn retry_in_place(
        &mut self,
        service: &'static str,
        at_ns: i64,
        delay_ms: i64,
        reason: &'static str,
    ) {
        let attributes = [
            ("hopscope.attempt", AnyValue::Int(1)),
            ("hopscope.retry.delay_ms", AnyValue::Int(delay_ms)),
            ("error.type", text(reason)),
        ];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value)).to_vec();
        if let Some(span) = self.resource(service).spans.last_mut() {
            let event = EventData { at_ns: at_ns.unsigned_abs(), name: RETRY.to_owned(), attributes };
            span.events.push(event);
            span.attributes.push(("hopscope.retry.count".to_owned(), AnyValue::Int(1)));
        }
    }

    /// The span that this service sent last failed.
    pub(super) fn fail(&mut self, service: &'static str, reason: &'static str) {
        if let Some(span) = self.resource(service).spans.last_mut() {
            span.status = Status::Error;
            span.attributes.push(("error.type".to_owned(), text(reason)));
        }
    }
}

/// OTLP span flags: "is remote" is known, and true.
const REMOTE: u32 = 0x300;
/// "Is remote" is known, and false.
const LOCAL: u32 = 0x100;

/// What a span hangs under.
#[derive(Clone, Copy)]
pub(super) enum Under {
    /// Nothing: it begins this trace.
    Root(TraceId),
    /// A parent in its own process.
    Span(SpanContext),
    /// Only a link to the message's creation.
    Link(SpanContext),
    /// Link and parent alike: a single message without an ambient span.
    Both(SpanContext),
    /// A parent in its own process and a link to the message's creation.
    Handler(SpanContext, SpanContext),
}
