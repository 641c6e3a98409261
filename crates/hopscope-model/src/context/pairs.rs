//! The plain pairs that people make by hand: `trace-id`/`span-id`, `trace_id`/`span_id`,
//! `traceId`/`spanId`(/`parentId`). A common recipe puts random UUIDs into both.

use super::parts::{self, Parsed, of_length};
use super::{ContextData, Flaw, Format, Headers, Ids, Line, Reader};
use crate::{SpanId, TraceId};
use xxhash_rust::xxh3::xxh3_64;

#[derive(PartialEq)]
struct Span {
    id: SpanId,
    raw: Option<String>,
}

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>, format: Format) -> Option<Ids> {
    let [trace_key, span_key, parent_key @ ..] = format.keys() else { return None };
    let trace = reader.last_valid(trace_key, parse_trace);
    let span = reader.last_valid(span_key, parse_span);
    let ((trace, was_padded), span) = reader.both((trace_key, trace), (span_key, span))?;
    let parent = parent_key.first().and_then(|key| reader.last_valid(key, parse_span));
    Some(Ids {
        trace,
        span: span.id,
        parent: parent.map(|parent| parent.id),
        was_padded,
        raw_span: span.raw,
        ..Ids::default()
    })
}

/// 32 digits, a UUID, or 16 digits.
fn parse_trace(value: &[u8]) -> Result<Parsed<(TraceId, bool)>, Flaw> {
    let mut upper_case = false;
    let mut digits = [0u8; 32];
    let trace = match without_dashes(value, &mut digits) {
        Some(digits) => parts::trace(digits, &mut upper_case)?,
        None => parts::trace(of_length(value, &[16])?, &mut upper_case)?,
    };
    Ok(Parsed { value: (trace, value.len() == 16), upper_case })
}

/// 16 digits; or 32 or a UUID, which a span id is derived from.
fn parse_span(value: &[u8]) -> Result<Parsed<Span>, Flaw> {
    let mut upper_case = false;
    let mut digits = [0u8; 32];
    let Some(wide) = without_dashes(value, &mut digits) else {
        let id = parts::span(of_length(value, &[16])?, &mut upper_case)?;
        return Ok(Parsed { value: Span { id, raw: None }, upper_case });
    };
    let number = parts::trace(wide, &mut upper_case)?;
    // Hashed, not cut: the halves of a UUID are not equally random. Zero would mean "absent".
    let id = SpanId(xxh3_64(&number.0).max(1).to_be_bytes());
    let raw = String::from_utf8_lossy(value).into_owned();
    Ok(Parsed { value: Span { id, raw: Some(raw) }, upper_case })
}

/// The 32 digits of a UUID (8-4-4-4-12) or of 32 digits without dashes.
pub(super) fn without_dashes<'a>(value: &'a [u8], digits: &'a mut [u8; 32]) -> Option<&'a [u8]> {
    if value.len() == 32 {
        return Some(value);
    }
    if value.len() != 36 || [8, 13, 18, 23].iter().any(|&at| value[at] != b'-') {
        return None;
    }
    let kept = value.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    for (slot, (_, digit)) in digits.iter_mut().zip(kept) {
        *slot = *digit;
    }
    Some(digits)
}

pub(super) fn write(format: Format, context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let [trace_key, span_key, parent_key @ ..] = format.keys() else { return };
    set(trace_key, Line::new().hex(&context.trace.0).as_str());
    set(span_key, Line::new().hex(&context.span.0).as_str());
    if let (Some(key), Some(parent)) = (parent_key.first(), context.parent.filter(|id| !id.is_zero())) {
        set(key, Line::new().hex(&parent.0).as_str());
    }
}
