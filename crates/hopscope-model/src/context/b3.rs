//! B3, in one header and in several (openzipkin/b3-propagation).

use super::parts::{self, Parsed, of_length};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};
use crate::SpanId;

pub(super) const MULTI_KEYS: [&str; 5] =
    ["x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"];

/// What `b3` may hold: a context, or a decision alone.
#[derive(PartialEq)]
enum Single {
    Context(Ids),
    Decision(bool),
}

#[derive(Clone, Copy, PartialEq)]
struct Sampling {
    sampled: bool,
    debug: bool,
}

pub(super) fn read_single<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    match reader.last_valid("b3", parse_single)? {
        Single::Context(ids) => Some(ids),
        Single::Decision(sampled) => {
            reader.read.decision = Some(sampled);
            None
        }
    }
}

/// `trace-span`, `trace-span-sampling`, `trace-span-sampling-parent`, or the sampling alone.
fn parse_single(value: &[u8]) -> Result<Parsed<Single>, Flaw> {
    if let Ok(Parsed { value: Sampling { sampled, .. }, .. }) = parse_sampling(value) {
        return Ok(Parsed { value: Single::Decision(sampled), upper_case: false });
    }
    let mut fields = value.split(|byte| *byte == b'-');
    let (Some(trace), Some(span)) = (fields.next(), fields.next()) else { return Err(Flaw::Shape) };
    let (sampling, parent) = (fields.next(), fields.next());
    if fields.next().is_some() {
        return Err(Flaw::Shape);
    }
    let mut upper_case = false;
    let sampling = sampling.map(parse_sampling).transpose()?.map(|parsed| parsed.value);
    let parent = parent.map(|digits| parts::span(of_length(digits, &[16])?, &mut upper_case)).transpose()?;
    let ids = Ids {
        trace: parts::trace(of_length(trace, &[16, 32])?, &mut upper_case)?,
        span: parts::span(of_length(span, &[16])?, &mut upper_case)?,
        parent,
        sampled: sampling.map(|sampling| sampling.sampled),
        debug: sampling.is_some_and(|sampling| sampling.debug),
        was_padded: trace.len() == 16,
        ..Ids::default()
    };
    Ok(Parsed { value: Single::Context(ids), upper_case })
}

/// `0`, `1`, `d`; the words are of old senders.
fn parse_sampling(value: &[u8]) -> Result<Parsed<Sampling>, Flaw> {
    let value = match value {
        b"0" | b"false" => Sampling { sampled: false, debug: false },
        b"1" | b"true" => Sampling { sampled: true, debug: false },
        b"d" => Sampling { sampled: true, debug: true },
        _ => return Err(Flaw::Sampling),
    };
    Ok(Parsed { value, upper_case: false })
}

pub(super) fn read_multi<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    let trace = reader.last_valid("x-b3-traceid", parts::narrow_or_wide);
    let span = reader.last_valid("x-b3-spanid", parts::whole_span);
    let sampled = reader.last_valid("x-b3-sampled", parse_sampling);
    let debug = reader.last_valid("x-b3-flags", |value| match value {
        b"1" => Ok(Parsed { value: true, upper_case: false }),
        b"0" => Ok(Parsed { value: false, upper_case: false }),
        _ => Err(Flaw::Sampling),
    });
    let debug = debug == Some(true) || sampled.is_some_and(|sampling| sampling.debug);
    let sampled = if debug { Some(true) } else { sampled.map(|sampling| sampling.sampled) };
    if trace.is_none() && span.is_none() {
        reader.read.decision = reader.read.decision.or(sampled);
    }
    let ((trace, was_padded), span) = reader.both(("x-b3-traceid", trace), ("x-b3-spanid", span))?;
    let parent = reader.last_valid("x-b3-parentspanid", parts::whole_span);
    Some(Ids { trace, span, parent, sampled, debug, was_padded, ..Ids::default() })
}

pub(super) fn write_single(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let mut line = Line::new().hex(&context.trace.0).text("-").hex(&context.span.0);
    let sampling = if context.debug { Some("d") } else { context.sampled.map(digit) };
    if let Some(sampling) = sampling {
        line = line.text("-").text(sampling);
        // A parent needs the sampling before it: without one it is left out.
        if let Some(parent) = parent(context) {
            line = line.text("-").hex(&parent.0);
        }
    }
    set("b3", line.as_str());
}

pub(super) fn write_multi(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    set("x-b3-traceid", Line::new().hex(&context.trace.0).as_str());
    set("x-b3-spanid", Line::new().hex(&context.span.0).as_str());
    if let Some(parent) = parent(context) {
        set("x-b3-parentspanid", Line::new().hex(&parent.0).as_str());
    }
    if context.debug {
        set("x-b3-flags", "1");
    } else if let Some(sampled) = context.sampled {
        set("x-b3-sampled", digit(sampled));
    }
}

fn parent(context: &ContextData<'_>) -> Option<SpanId> {
    context.parent.filter(|parent| !parent.is_zero())
}

fn digit(sampled: bool) -> &'static str {
    if sampled { "1" } else { "0" }
}
