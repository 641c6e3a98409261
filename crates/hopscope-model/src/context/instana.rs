//! Instana: `x-instana-t` (trace), `x-instana-s` (span), `x-instana-l` (level: 0 is "do not trace"). On Kafka, where it
//! writes the names with underscores, they are read as well.

use super::{ContextData, Flaw, Headers, Ids, Line, Reader, parts};

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    read_named(reader, ["x-instana-t", "x-instana-s", "x-instana-l"])
        .or_else(|| read_named(reader, ["x_instana_t", "x_instana_s", "x_instana_l_s"]))
}

fn read_named<H: Headers + ?Sized>(
    reader: &mut Reader<'_, H>,
    [trace_key, span_key, level_key]: [&'static str; 3],
) -> Option<Ids> {
    let trace = reader.last_valid(trace_key, parts::narrow_or_wide);
    let span = reader.last_valid(span_key, parts::whole_span);
    let sampled = reader.last_valid(level_key, parse_level);
    if trace.is_none() && span.is_none() {
        reader.read.decision = reader.read.decision.or(sampled);
    }
    let ((trace, was_padded), span) = reader.both((trace_key, trace), (span_key, span))?;
    Some(Ids { trace, span, sampled, was_padded, ..Ids::default() })
}

/// A level, and after a comma what correlates with a browser's page.
fn parse_level(value: &[u8]) -> Result<parts::Parsed<bool>, Flaw> {
    let level = value.split(|byte| *byte == b',').next().unwrap_or_default();
    parts::decision(level.trim_ascii())
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    set("x-instana-t", Line::new().hex(&context.trace.0).as_str());
    set("x-instana-s", Line::new().hex(&context.span.0).as_str());
    if let Some(sampled) = context.sampled.or(context.debug.then_some(true)) {
        set("x-instana-l", if sampled || context.debug { "1" } else { "0" });
    }
}
