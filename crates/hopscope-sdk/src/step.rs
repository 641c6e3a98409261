//! [`Step`]: one step from its start to its one end.
//!
//! With a tracer of the application's own ([`Telemetry::new`]) a step is a span of that tracer. With our set-up it is
//! a [`Record`], and what becomes of it is decided at its end: exported, held in the ring for a while, or nothing.

use crate::around::Around;
use crate::facts::Facts;
use crate::measure::measure;
use crate::notes::Notes;
use crate::pipeline::Pipeline;
use crate::record::{Ended, Member, Record, Stage};
use crate::telemetry::Path;
use crate::value::{Attribute, Value};
use crate::{CarrierMut, Details, Failure, Place, Telemetry};
use opentelemetry::trace::{
    Event, Link, SpanBuilder, SpanContext, Status, TraceContextExt, TraceFlags, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A step that ends exactly once: as declared, or, when dropped before, as unknown (as failed, in a panic).
#[derive(Debug)]
pub(crate) struct Step {
    telemetry: Telemetry,
    /// None when it has ended.
    record: Option<Box<Record>>,
    around: Around,
    work: Work,
    /// The first panic in the work, where it went on to somebody who may yet recover from it.
    panicked: OnceLock<Arc<OnceLock<Failure>>>,
}

/// The context that a step gives to what it covers.
#[derive(Debug)]
enum Work {
    Span(Box<TracerSpan>),
    /// Made when somebody asks: many steps cover nothing.
    Own {
        context: OnceLock<Context>,
        notes: OnceLock<Arc<Mutex<Notes>>>,
    },
}

/// A span of the application's tracer, and the attributes that it has already.
#[derive(Debug)]
struct TracerSpan {
    context: Context,
    written: SmallVec<[&'static str; 24]>,
}

/// What a step is started with.
pub(crate) struct Start {
    pub operation: &'static str,
    pub stage: Stage,
    pub around: Around,
    pub members: SmallVec<[Member; 1]>,
}

impl Step {
    pub fn start(telemetry: &Telemetry, facts: Arc<Facts>, start: Start) -> Self {
        let Start { operation, stage, around, members } = start;
        let parent = around.parent();
        let mut record = Record::start(stage, operation, facts);
        (record.parent, record.is_parent_remote) = (parent.span_id(), parent.is_remote());
        record.members = members;
        let work = match telemetry.path() {
            _ if around.ambient().is_telemetry_suppressed() => Work::own(),
            Path::Own(pipeline) => {
                record.context = new_context(pipeline, &record, parent);
                pipeline.opened();
                Work::own()
            }
            Path::Tracer(tracer) => Work::Span(start_span(telemetry, &**tracer, &mut record, &around)),
        };
        Self { telemetry: telemetry.clone(), record: Some(record), around, work, panicked: OnceLock::new() }
    }

    /// The context whose current span this is.
    pub fn context(&self) -> &Context {
        match &self.work {
            Work::Span(span) => &span.context,
            Work::Own { context, notes } => context.get_or_init(|| {
                let own = self.span_context();
                if own.is_sampled() {
                    let notes = Arc::clone(notes.get_or_init(Arc::default));
                    self.around.ambient().with_span(Notes::span(own, notes))
                } else if own.is_valid() {
                    self.around.ambient().with_remote_span_context(own)
                } else {
                    self.around.to_context()
                }
            }),
        }
    }

    /// Trace, span and flags, without a context around them.
    pub fn span_context(&self) -> SpanContext {
        self.record.as_ref().map_or(SpanContext::NONE, |record| record.context.clone())
    }

    /// What this step takes place in.
    pub fn around(&self) -> &Around {
        &self.around
    }

    /// What a step inside this one takes place in, also after its end.
    pub fn inside(&self) -> Around {
        let own = self.span_context();
        if own.is_valid() { Around::under(self.around.ambient().clone(), own) } else { self.around.clone() }
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Takes over what has become known.
    pub fn learn(&mut self, place: &Place<'_>, details: &Details<'_>) {
        if let Some(record) = &mut self.record {
            // Copied only where somebody else holds the facts too; a send is their only owner.
            Arc::make_mut(&mut record.facts).learn(place, details);
        }
    }

    pub fn edit(&mut self, edit: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            edit(record);
        }
    }

    /// Adds attributes of the application's.
    pub fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        match &self.work {
            Work::Span(span) => span.context.span().set_attributes(attributes),
            Work::Own { notes, .. } => {
                lock(notes.get_or_init(Arc::default)).attributes.extend(attributes);
            }
        }
    }

    /// Takes over those headers of a message to be sent that are to be recorded.
    pub fn capture(&self, headers: &dyn CarrierMut) {
        let capture = &self.telemetry.settings().capture;
        if let (true, Some(headers)) = (capture.has_headers(), headers.as_headers()) {
            let found = |attribute: &'static str, values: &[&str]| {
                self.set([Value::Texts(values).to_key_value(attribute)]);
            };
            capture.read(headers, &mut { found });
        }
    }

    /// Adds an event.
    pub fn add_event(&self, name: &'static str, attributes: &[Attribute<'_>]) {
        let attributes = attributes.iter().map(|(key, value)| value.to_key_value(key)).collect();
        match &self.work {
            Work::Span(span) => span.context.span().add_event(name, attributes),
            Work::Own { notes, .. } => {
                let event = Event::new(name, opentelemetry::time::now(), attributes, 0);
                lock(notes.get_or_init(Arc::default)).events.push(event);
            }
        }
    }

    /// For whoever catches a panic in work that this step covers.
    pub fn panic_watch(&self) -> PanicWatch {
        let panicked = Arc::clone(self.panicked.get_or_init(Arc::default));
        PanicWatch { context: self.context().clone(), panicked }
    }

    pub fn is_open(&self) -> bool {
        self.record.is_some()
    }

    /// The panic in the work, where one was seen or this thread is in one.
    pub fn panic(&self) -> Option<Failure> {
        let seen = self.panicked.get().and_then(|panicked| panicked.get()).cloned();
        seen.or_else(|| std::thread::panicking().then(|| Failure::new("panic", "")))
    }

    pub fn end(mut self, ended: Ended) {
        self.finish(ended);
    }

    /// As [`end`](Self::end), for whoever cannot give the step away. A second call does nothing.
    pub fn finish(&mut self, ended: Ended) {
        let Some(mut record) = self.record.take() else { return };
        if record.stage != Stage::Receive {
            record.duration = record.started.elapsed();
        }
        // The panic is what happened; a declared failure is mostly how a join told it.
        let panic = self.panicked.get().and_then(|panicked| panicked.get());
        record.ended = match (ended, panic) {
            (Ended::Failed(_), Some(panic)) => Ended::Failed(panic.clone()),
            (ended, _) => ended,
        };
        // An export is not itself a message.
        if let Some(meters) = self.telemetry.meters()
            && !self.around.ambient().is_telemetry_suppressed()
        {
            measure(&record, meters);
        }
        if let Work::Own { notes, .. } = &self.work
            && let Some(notes) = notes.get()
        {
            std::mem::take(&mut *lock(notes)).into_record(&mut record);
        }
        let parts = record.split(self.telemetry.settings().limits.links_max as usize);
        match (self.telemetry.path(), &self.work) {
            (Path::Tracer(tracer), work) => {
                if let Work::Span(span) = work {
                    end_span(&self.telemetry, span, &record);
                }
                for mut part in parts {
                    let span = start_span(&self.telemetry, &**tracer, &mut part, &self.around);
                    end_span(&self.telemetry, &span, &part);
                }
            }
            (Path::Own(pipeline), _) if record.context.is_valid() => {
                for mut part in parts {
                    part.context = sibling(&record.context);
                    pipeline.opened();
                    pipeline.ended(Box::new(part));
                }
                pipeline.ended(record);
            }
            (Path::Own(_), _) => {}
        }
    }
}

/// A span context beside that one.
fn sibling(of: &SpanContext) -> SpanContext {
    let id = RandomIdGenerator::default().new_span_id();
    SpanContext::new(of.trace_id(), id, of.trace_flags(), false, of.trace_state().clone())
}

impl Work {
    fn own() -> Self {
        Self::Own { context: OnceLock::new(), notes: OnceLock::new() }
    }
}

/// A span context of our own making, child of the parent's, with the head's decision.
fn new_context(pipeline: &Pipeline, record: &Record, of_parent: SpanContext) -> SpanContext {
    let ids = RandomIdGenerator::default();
    let (trace, state) = if of_parent.is_valid() {
        (of_parent.trace_id(), of_parent.trace_state().clone())
    } else {
        (ids.new_trace_id(), TraceState::NONE)
    };
    // A consumer whose trace is its own asks the message's context, or what its sender decided without one.
    let sender = || match record.members.first() {
        Some(member) if member.context.is_valid() => Some(member.context.is_sampled()),
        _ => record.facts.origin.decision,
    };
    let decided = if of_parent.is_valid() { Some(of_parent.is_sampled()) } else { sender() };
    let is_sampled = pipeline.sampling().keeps(&|| record.name(), trace, decided);
    let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(trace, ids.new_span_id(), flags, false, state)
}

fn start_span<T>(telemetry: &Telemetry, tracer: &T, record: &mut Record, around: &Around) -> Box<TracerSpan>
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let conventions = telemetry.conventions();
    let operation_type = record.stage.operation_type();
    let mut attributes = Vec::with_capacity(16);
    let mut written = SmallVec::new();
    let mut put = |key: &'static str, value: Value<'_>| {
        attributes.push(value.to_key_value(key));
        written.push(key);
    };
    record.write(&mut conventions.translate(record.facts.place().system(), &mut put));
    // Those with attributes of their own are added at the end, when these are known.
    let plain = record.members.iter().filter(|member| member.facts.is_none());
    let links = plain.map(|member| Link::with_context(member.context.clone())).collect();
    let span =
        SpanBuilder::from_name(conventions.span_name(record.operation, operation_type, &record.name()))
            .with_kind(conventions.kind(record.stage.kind(), operation_type))
            .with_start_time(record.started.wall())
            .with_attributes(attributes)
            .with_links(links)
            .start_with_context(tracer, &around.to_context());
    let context = around.ambient().with_span(span);
    record.context = context.span().span_context().clone();
    Box::new(TracerSpan { context, written })
}

/// Writes what has become known since the start, and ends the span.
fn end_span(telemetry: &Telemetry, work: &TracerSpan, record: &Record) {
    let span = work.context.span();
    if span.is_recording() {
        let mut all: Vec<(&'static str, KeyValue)> = Vec::new();
        let mut put = |key: &'static str, value: Value<'_>| all.push((key, value.to_key_value(key)));
        let system = record.facts.place().system();
        record.write(&mut telemetry.conventions().translate(system, &mut put));
        for member in record.members.iter().filter(|member| member.facts.is_some()) {
            let mut attributes = Vec::new();
            let mut put = |key: &'static str, value: Value<'_>| attributes.push(value.to_key_value(key));
            member.write(&all, &mut telemetry.conventions().translate(system, &mut put));
            span.add_link(member.context.clone(), attributes);
        }
        let new = all.into_iter().filter(|(key, _)| !work.written.contains(key)).map(|(_, set)| set);
        span.set_attributes(new.chain(record.attributes.iter().cloned()));
        if let Ended::Failed(failure) = &record.ended {
            span.set_status(Status::error(failure.message().to_owned()));
        }
    }
    span.end_with_timestamp(record.started.wall() + record.duration);
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.is_open() {
            self.finish(self.panic().map_or(Ended::Unknown("dropped".into()), Ended::Failed));
        }
    }
}

/// Notes a panic for a step that is still open.
#[derive(Clone, Debug)]
pub(crate) struct PanicWatch {
    context: Context,
    panicked: Arc<OnceLock<Failure>>,
}

impl PanicWatch {
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn panicked(&self, payload: &(dyn std::any::Any + Send)) {
        // The first one counts.
        let _ = self.panicked.set(Failure::panic(payload));
    }
}

fn lock(notes: &Mutex<Notes>) -> std::sync::MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
