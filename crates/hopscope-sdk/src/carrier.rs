//! Contexts into and out of message headers.

use crate::baggage;
use hopscope_model::context::{self, ALL_CONTEXT_KEYS, ContextData, Flaw, Format, Headers};
use hopscope_model::{SpanId, TraceId};
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use std::str::FromStr;

/// The headers of one message, to write.
///
/// Contract, checked by [`crate::kit::carrier`]: names compare without regard to ASCII case; headers of other
/// names keep their bytes, their order and their number; headers that cannot be written (read-only, not supported
/// by the broker) make every call a silent no-op; no call panics, whatever the bytes in the message.
pub trait CarrierMut {
    /// Removes every header of these names. One call for many names, because some clients can only rebuild.
    fn remove(&mut self, names: &[&str]);

    /// Puts this header in place of every header of that name.
    fn set(&mut self, name: &str, value: &str);
}

/// How contexts are read and written: one setting for an estate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Tried in this order; the first that holds a valid context counts.
    pub read: Vec<Format>,
    /// All of them are written.
    pub write: Vec<Format>,
    /// W3C baggage is read and written too.
    pub baggage: bool,
}

/// Reads every format, W3C first; writes W3C.
impl Default for Formats {
    fn default() -> Self {
        Self { read: Format::ALL.to_vec(), write: vec![Format::W3c], baggage: true }
    }
}

/// Where a message came from, as its headers say.
#[derive(Debug, Default)]
pub struct Origin {
    /// The context that made the message.
    pub context: Option<SpanContext>,
    /// The format it was found in.
    pub format: Option<Format>,
    /// Its baggage.
    pub baggage: Baggage,
    /// What was wrong with the headers, for people: `hopscope.context.problems`.
    pub problems: Vec<String>,
}

/// Reads context and baggage. A context whose sender left the sampling decision open counts as sampled: with
/// "not sampled" a parent-based sampler would never keep a message of such a sender.
pub(crate) fn extract(formats: &Formats, headers: &dyn Headers) -> Origin {
    let read = context::read(&formats.read, headers);
    let mut problems: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    if read.duplicates > 0 && !read.problems.iter().any(|problem| problem.flaw == Flaw::Conflict) {
        problems
            .push(format!("headers occur more than once, with the same value; extra={}", read.duplicates));
    }
    let context = read.context.map(|remote| {
        let flags = if remote.sampled != Some(false) || remote.debug {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::NOT_SAMPLED
        };
        SpanContext::new(
            opentelemetry::TraceId::from_bytes(remote.trace.0),
            opentelemetry::SpanId::from_bytes(remote.span.0),
            flags,
            true,
            TraceState::from_str(&remote.tracestate).unwrap_or_default(),
        )
    });
    let baggage = if formats.baggage { baggage::read(headers, &mut problems) } else { Baggage::new() };
    Origin { context, format: read.format, baggage, problems }
}

/// Writes the current span and baggage of `context`. Without a valid span nothing is touched: a process that does
/// not trace hands on what it was given.
pub(crate) fn inject(formats: &Formats, context: &Context, headers: &mut dyn CarrierMut) {
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return;
    }
    headers.remove(ALL_CONTEXT_KEYS);
    let tracestate = span.trace_state().header();
    let data = ContextData {
        trace: TraceId(span.trace_id().to_bytes()),
        span: SpanId(span.span_id().to_bytes()),
        sampled: Some(span.is_sampled()),
        tracestate: &tracestate,
        ..ContextData::default()
    };
    for &format in &formats.write {
        context::write_to(format, &data, &mut |name, value| headers.set(name, value));
    }
    if formats.baggage && !context.baggage().is_empty() {
        headers.set(baggage::HEADER, &baggage::write(context.baggage()));
    }
}
