//! Contexts into and out of message headers.

use crate::{Formats, baggage};
use hopscope_model::context::{self, ContextData, Flaw, Format, Headers, Written, is_context_key};
use hopscope_model::{SpanId, TraceId};
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use std::str::FromStr;

/// The headers of one message, to write.
///
/// Contract, checked by [`crate::kit::carrier`]: `set` and `set_bytes` compare names without regard to ASCII case; headers
/// of other names keep their bytes, their order and their number; headers that cannot be written (read-only, not
/// supported by the broker) make every call a silent no-op; no call panics, whatever the bytes in the message.
pub trait CarrierMut {
    /// Removes every header whose name, as it is written, is one of those. One call for many names, because some
    /// clients can only rebuild.
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool);

    /// Puts this header in place of every header of that name.
    fn set(&mut self, name: &str, value: &str);

    /// The same with a value that is no text. Where the client's headers are text (NATS, RocketMQ) it does nothing: a
    /// value in another form would be another value.
    fn set_bytes(&mut self, name: &str, value: &[u8]);

    /// The headers as they are, for those that are to be recorded ([`Capture`](crate::Capture)). `None` where they can
    /// only be written.
    fn as_headers(&self) -> Option<&dyn Headers> {
        None
    }
}

/// Where a message came from, as its headers say.
#[derive(Debug, Default)]
pub struct Origin {
    /// The context that made the message.
    pub context: Option<SpanContext>,
    /// The format it was found in.
    pub format: Option<Format>,
    /// A sampling decision that came without a context (`b3: 0`): it holds for whatever is begun for this message.
    pub decision: Option<bool>,
    /// True when the trace id was 64 bits wide: it stands for the same trace as one with other bits before them.
    pub was_padded: bool,
    /// The ids as they were written, where they are no numbers (SkyWalking, UUIDs) and `context` is derived from them.
    pub raw_trace: Option<String>,
    /// As [`raw_trace`](Self::raw_trace), of the span.
    pub raw_span: Option<String>,
    /// Its baggage.
    pub baggage: Baggage,
    /// What was wrong with the headers, for people: `hopscope.context.problems`.
    pub problems: Vec<String>,
}

impl Origin {
    /// As of a message without a context. What is empty already is not touched.
    pub(crate) fn clear(&mut self) {
        (self.context, self.format, self.decision, self.was_padded) = (None, None, None, false);
        (self.raw_trace, self.raw_span) = (None, None);
        if !self.baggage.is_empty() {
            self.baggage = Baggage::new();
        }
        self.problems.clear();
    }

    /// That context, with this origin in it as the current span and its baggage, as far as there is one.
    pub(crate) fn into_context(self, context: &Context) -> Context {
        let context = match self.context {
            Some(remote) => context.with_remote_span_context(remote),
            None => context.clone(),
        };
        if self.baggage.is_empty() { context } else { context.with_baggage(self.baggage) }
    }
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            format: self.format,
            decision: self.decision,
            was_padded: self.was_padded,
            raw_trace: self.raw_trace.clone(),
            raw_span: self.raw_span.clone(),
            baggage: baggage::copy(&self.baggage),
            problems: self.problems.clone(),
        }
    }
}

/// Reads context and baggage. A context whose sender left the sampling decision open counts as sampled: with
/// "not sampled" a parent-based sampler would never keep a message of such a sender.
pub(crate) fn extract(formats: &Formats, headers: &dyn Headers) -> Origin {
    let mut read = context::read(&formats.read, headers);
    let mut problems: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    if read.duplicates > 0 && !read.problems.iter().any(|problem| problem.flaw == Flaw::Conflict) {
        problems
            .push(format!("headers occur more than once, with the same value; extra={}", read.duplicates));
    }
    let baggage = match read.has_baggage && formats.baggage.is_on() {
        true => baggage::read(&formats.baggage, headers, &mut problems),
        false => Baggage::new(),
    };
    Origin {
        context: read.context.as_ref().map(span_context),
        format: read.format,
        decision: read.decision,
        was_padded: read.context.as_ref().is_some_and(|remote| remote.was_padded),
        raw_trace: read.context.as_mut().and_then(|remote| remote.raw_trace.take()),
        raw_span: read.context.as_mut().and_then(|remote| remote.raw_span.take()),
        baggage,
        problems,
    }
}

fn span_context(remote: &context::RemoteContext) -> SpanContext {
    let sampled = remote.sampled != Some(false) || remote.debug;
    let flags = u8::from(sampled) | if remote.random { RANDOM } else { 0 };
    let state = match remote.tracestate.as_str() {
        "" => TraceState::NONE,
        state => TraceState::from_str(state).unwrap_or_default(),
    };
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(remote.trace.0),
        opentelemetry::SpanId::from_bytes(remote.span.0),
        TraceFlags::new(flags),
        true,
        state,
    )
}

/// W3C level 2's flag for a trace id that was drawn at random.
const RANDOM: u8 = 2;

/// Writes the current span and the baggage of that context.
pub(crate) fn inject(formats: &Formats, context: &Context, headers: &mut dyn CarrierMut) {
    inject_span(formats, context.span().span_context(), context, headers);
}

/// Writes that span, and the baggage of the context around it. Without a valid span nothing is touched: a process that
/// does not trace hands on what it was given.
pub(crate) fn inject_span(
    formats: &Formats,
    span: &SpanContext,
    around: &Context,
    headers: &mut dyn CarrierMut,
) {
    if !span.is_valid() || formats.write.is_empty() {
        return;
    }
    headers.remove(&is_context_key);
    let state = span.trace_state();
    let tracestate = if *state == TraceState::NONE { String::new() } else { state.header() };
    let data = ContextData {
        trace: TraceId(span.trace_id().to_bytes()),
        span: SpanId(span.span_id().to_bytes()),
        sampled: Some(span.is_sampled()),
        random: span.trace_flags().to_u8() & RANDOM != 0,
        tracestate: &tracestate,
        ..ContextData::default()
    };
    for &format in &formats.write {
        context::write_to(format, &data, &mut |name, value| match value {
            Written::Text(text) => headers.set(name, text),
            Written::Bytes(bytes) => headers.set_bytes(name, bytes),
        });
    }
    if formats.baggage.is_on() && !around.baggage().is_empty() {
        let line = baggage::write(&formats.baggage, around.baggage());
        if !line.is_empty() {
            headers.set(baggage::HEADER, &line);
        }
    }
}
