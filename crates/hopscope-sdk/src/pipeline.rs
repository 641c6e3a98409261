//! [`Pipeline`]: from a step that has ended to the export queue, or to the ring, or to nothing.

use crate::conventions::Conventions;
use crate::export::otlp::{SpanWriter, span_flags};
use crate::export::{Outlet, Worth};
use crate::keep::Ring;
use crate::progress::Floors;
use crate::record::{Ended, Record};
use crate::value::Value;
use crate::{Keep, Limits, Sampling};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanId;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What our own set-up makes of steps.
#[derive(Debug)]
pub(crate) struct Pipeline {
    sampling: Sampling,
    ring: Ring,
    /// None: commits are thinned as everything else.
    floors: Option<Floors>,
    outlet: Arc<dyn Outlet>,
    conventions: Conventions,
    limits: Limits,
    started: AtomicU64,
    /// Ended, and sampled.
    sampled: AtomicU64,
    /// Ended, and not sampled.
    sampled_away: AtomicU64,
    kept: AtomicU64,
}

/// What a pipeline has seen, beside the counts of its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Started and not yet ended.
    pub open: u64,
    /// Ended, and not exported because the head of the trace said so.
    pub sampled_away: u64,
    /// Of those, exported later all the same.
    pub kept: u64,
}

impl Pipeline {
    pub fn new(
        sampling: Sampling,
        keep: Keep,
        outlet: Arc<dyn Outlet>,
        conventions: Conventions,
        limits: Limits,
    ) -> Self {
        Self {
            sampling,
            ring: Ring::new(keep),
            floors: keep.progress.then(Floors::default),
            outlet,
            conventions,
            limits,
            started: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            sampled_away: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        }
    }

    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    pub fn steps(&self) -> Steps {
        // What has ended is read first: a step that ends meanwhile counts as open once more, and never as less than none.
        let sampled_away = self.sampled_away.load(Ordering::Acquire);
        let ended = self.sampled.load(Ordering::Acquire) + sampled_away;
        Steps {
            open: self.started.load(Ordering::Acquire).saturating_sub(ended),
            sampled_away,
            kept: self.kept.load(Ordering::Relaxed),
        }
    }

    pub fn opened(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Exports the record, or holds it, or lets it go. Each part of a step that is written as several is
    /// [`opened`](Self::opened) too.
    pub fn ended(&self, record: Box<Record>) {
        if record.context.is_sampled() {
            self.sampled.fetch_add(1, Ordering::Release);
            let worth = if self.ring.matters(&record) { Worth::Kept } else { Worth::Ordinary };
            self.export(&record, None, worth);
            return record.spare();
        }
        self.sampled_away.fetch_add(1, Ordering::Release);
        let record = match &self.floors {
            Some(floors) if !self.ring.matters(&record) => floors.hold(record),
            _ => Some(record),
        };
        let Some(record) = record else { return };
        self.ring.settle(record, &mut |kept, reason| {
            self.kept.fetch_add(1, Ordering::Relaxed);
            self.export(kept, Some(reason), Worth::Kept);
        });
    }

    /// Exports the commits that are held; to be called once in a [`RELEASE_EVERY`](crate::progress::RELEASE_EVERY).
    pub fn release_progress(&self) {
        for record in self.floors.iter().flat_map(Floors::take) {
            self.kept.fetch_add(1, Ordering::Relaxed);
            self.export(&record, Some("progress"), Worth::Kept);
            record.spare();
        }
    }

    fn export(&self, record: &Record, kept: Option<&'static str>, worth: Worth) {
        if !self.outlet.takes_any() {
            return;
        }
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // A thread that is about to end has no buffer any more.
        let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
        buffer.clear();
        self.write(record, kept, &mut buffer);
        self.outlet.push(&buffer, worth);
        // One huge span must not be remembered for ever.
        buffer.shrink_to(BUFFER_BYTES_KEPT);
        let _ = BUFFER.try_with(|kept| kept.replace(buffer));
    }

    fn write(&self, record: &Record, kept: Option<&'static str>, out: &mut Vec<u8>) {
        let (system, operation_type) = (record.facts.place().system(), record.stage.operation_type());
        let mut span = SpanWriter::new(out);
        let parent = (record.parent != SpanId::INVALID).then(|| record.parent.to_bytes());
        let context = &record.context;
        let state = context.trace_state().header();
        let flags = span_flags(context.is_sampled(), record.is_parent_remote);
        span.ids(context.trace_id().to_bytes(), context.span_id().to_bytes(), parent, flags, &state);
        match self.conventions {
            Conventions::Old => {
                span.name(&self.conventions.span_name(record.operation, operation_type, &record.name()), "");
            }
            Conventions::Current | Conventions::Both => span.name(record.operation, &record.name()),
        }
        span.kind(&self.conventions.kind(record.stage.kind(), operation_type));
        span.times(record.start_ns(), record.end_ns());
        // Links tell what differs from these, so they are remembered where there are links with attributes.
        let mut of_span: Vec<(&'static str, KeyValue)> = Vec::new();
        let has_members = record.members.iter().any(|member| member.facts.is_some());
        {
            let mut put = |key: &'static str, value: Value<'_>| {
                if has_members {
                    of_span.push((key, value.to_key_value(key)));
                }
                span.attribute(key, value);
            };
            record.write(&mut self.conventions.translate(system, &mut put));
            if let Some(reason) = kept {
                put("hopscope.kept", Value::Text(reason));
            }
        }
        let (attributes, events) = (self.limits.attributes_max as usize, self.limits.events_max as usize);
        record.attributes.iter().take(attributes).for_each(|set| span.key_value(set));
        for event in record.events.iter().take(events) {
            span.event(event);
        }
        span.dropped(
            record.attributes.len().saturating_sub(attributes) as u32,
            record.events.len().saturating_sub(events) as u32,
            0,
        );
        for member in &record.members {
            let (trace, id) = (member.context.trace_id().to_bytes(), member.context.span_id().to_bytes());
            let flags = span_flags(member.context.is_sampled(), member.context.is_remote());
            let state = member.context.trace_state().header();
            span.link(trace, id, flags, &state, &mut |link| {
                let mut put = |key: &'static str, value: Value<'_>| link.attribute(key, value);
                member.write(&of_span, &mut self.conventions.translate(system, &mut put));
            });
        }
        if let Ended::Failed(failure) = &record.ended {
            span.failed(failure.message());
        }
    }
}

/// Bytes of the buffer that a thread keeps between two spans.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;
