//! Datadog: ids in decimal, 64 bits each; the upper half of a trace id of 128 bits is one of the tags, in hexadecimal.

use super::parts::{self, Parsed, of_length};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};
use crate::{SpanId, TraceId};

pub(super) const KEYS: [&str; 4] =
    ["x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-tags"];

const UPPER_HALF: &[u8] = b"_dd.p.tid=";

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    let trace = reader.last_valid("x-datadog-trace-id", number);
    let span = reader.last_valid("x-datadog-parent-id", number);
    let priority = reader.last_valid("x-datadog-sampling-priority", parse_priority);
    if trace.is_none() && span.is_none() {
        reader.read.decision = reader.read.decision.or(priority.map(|priority| priority > 0));
    }
    let (trace, span) = reader.both(("x-datadog-trace-id", trace), ("x-datadog-parent-id", span))?;
    let upper = reader.last_valid("x-datadog-tags", parse_tags).flatten();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&upper.unwrap_or_default());
    bytes[8..].copy_from_slice(&trace.to_be_bytes());
    Some(Ids {
        trace: TraceId(bytes),
        span: SpanId(span.to_be_bytes()),
        sampled: priority.map(|priority| priority > 0),
        was_padded: upper.is_none(),
        ..Ids::default()
    })
}

fn number(digits: &[u8]) -> Result<Parsed<u64>, Flaw> {
    // `parse` alone would take a sign.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Flaw::NotDecimal);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Flaw::NotText)?;
    match text.parse() {
        Ok(0) => Err(Flaw::AllZero),
        Ok(value) => Ok(Parsed { value, upper_case: false }),
        Err(_) => Err(Flaw::NotDecimal),
    }
}

/// -1 and 0: the user and the sampler said no; 1 and 2: the sampler and the user said yes.
fn parse_priority(value: &[u8]) -> Result<Parsed<i8>, Flaw> {
    let text = std::str::from_utf8(value).map_err(|_| Flaw::NotText)?;
    let value = text.parse().map_err(|_| Flaw::Sampling)?;
    Ok(Parsed { value, upper_case: false })
}

/// The upper half of the trace id out of `key=value,key=value`. Zeros there mean that there is none.
fn parse_tags(value: &[u8]) -> Result<Parsed<Option<[u8; 8]>>, Flaw> {
    let mut tags = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let Some(digits) = tags.find_map(|tag| tag.strip_prefix(UPPER_HALF)) else {
        return Ok(Parsed { value: None, upper_case: false });
    };
    let mut upper_case = false;
    let half = match parts::span(of_length(digits, &[16])?, &mut upper_case) {
        Ok(half) => Some(half.0),
        Err(Flaw::AllZero) => None,
        Err(flaw) => return Err(flaw),
    };
    Ok(Parsed { value: half, upper_case })
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let (upper, lower) = halves(context.trace);
    // Zero is the lower half of one trace in 2^64, and an absent one to every reader: nothing else can be said.
    set("x-datadog-trace-id", Line::new().decimal(u64::from_be_bytes(lower)).as_str());
    set("x-datadog-parent-id", Line::new().decimal(u64::from_be_bytes(context.span.0)).as_str());
    let priority =
        if context.debug { Some("2") } else { context.sampled.map(|yes| if yes { "1" } else { "0" }) };
    if let Some(priority) = priority {
        set("x-datadog-sampling-priority", priority);
    }
    if upper != [0; 8] {
        set("x-datadog-tags", Line::new().text("_dd.p.tid=").hex(&upper).as_str());
    }
}

fn halves(trace: TraceId) -> ([u8; 8], [u8; 8]) {
    let number = u128::from_be_bytes(trace.0);
    (((number >> 64) as u64).to_be_bytes(), (number as u64).to_be_bytes())
}
