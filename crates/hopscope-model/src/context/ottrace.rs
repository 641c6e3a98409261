//! OpenTracing's basic tracers, Lightstep's among them: `ot-tracer-traceid`, `ot-tracer-spanid`, `ot-tracer-sampled`.
//!
//! Some writers cut a trace id to its lower 64 bits. We write all of it, which every reader of today takes: a cut one
//! would be another trace.

use super::{ContextData, Headers, Ids, Line, Reader, parts};

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    let trace = reader.last_valid("ot-tracer-traceid", parts::narrow_or_wide);
    let span = reader.last_valid("ot-tracer-spanid", parts::whole_span);
    let sampled = reader.last_valid("ot-tracer-sampled", parts::decision);
    if trace.is_none() && span.is_none() {
        reader.read.decision = reader.read.decision.or(sampled);
    }
    let ((trace, was_padded), span) =
        reader.both(("ot-tracer-traceid", trace), ("ot-tracer-spanid", span))?;
    Some(Ids { trace, span, sampled, was_padded, ..Ids::default() })
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    set("ot-tracer-traceid", Line::new().hex(&context.trace.0).as_str());
    set("ot-tracer-spanid", Line::new().hex(&context.span.0).as_str());
    if let Some(sampled) = context.sampled.or(context.debug.then_some(true)) {
        set("ot-tracer-sampled", if sampled || context.debug { "true" } else { "false" });
    }
}
