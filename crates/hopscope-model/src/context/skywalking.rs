//! Apache SkyWalking, propagation headers version 3: `sw8`, eight fields with dashes between them:
//! sampled, trace, segment, span index, service, instance, endpoint, peer; texts in base64, which has no dash.
//!
//! Its ids are any text. One that is 32 digits is taken as it is, any other is hashed: the same text gives the same id
//! wherever it is read. A span is its segment and its index in it; one of ours is written as a segment of its own.

use super::base64;
use super::pairs::without_dashes;
use super::parts::{self, Parsed};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};
use crate::{SpanId, TraceId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Longest value, bytes: "less than 2k".
const BYTES_MAX: usize = 2048;

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    reader.last_valid("sw8", parse)
}

fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    if value.len() >= BYTES_MAX {
        return Err(Flaw::Shape);
    }
    let fields: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let &[sampled, trace, segment, index, _service, _instance, _endpoint, _peer] = fields.as_slice() else {
        return Err(Flaw::Shape);
    };
    let sampled = match sampled {
        b"0" => false,
        b"1" => true,
        _ => return Err(Flaw::Sampling),
    };
    let (trace, segment) = (text(trace)?, text(segment)?);
    let index: u32 =
        std::str::from_utf8(index).ok().and_then(|index| index.parse().ok()).ok_or(Flaw::Shape)?;
    let (trace, raw_trace) = trace_of(&trace)?;
    let (span, raw_span) = span_of(&segment, index);
    let ids = Ids { trace, span, sampled: Some(sampled), raw_trace, raw_span, ..Ids::default() };
    Ok(Parsed { value: ids, upper_case: false })
}

fn text(field: &[u8]) -> Result<String, Flaw> {
    let bytes = base64::decode(field).filter(|bytes| !bytes.is_empty()).ok_or(Flaw::NotBase64)?;
    String::from_utf8(bytes).map_err(|_| Flaw::NotText)
}

/// The id, and the text where it is derived from it.
fn trace_of(text: &str) -> Result<(TraceId, Option<String>), Flaw> {
    let mut digits = [0; 32];
    let number = without_dashes(text.as_bytes(), &mut digits).map(|digits| parts::trace(digits, &mut false));
    match number {
        Some(Err(Flaw::AllZero)) => Err(Flaw::AllZero),
        Some(Ok(trace)) => Ok((trace, None)),
        // Zero would mean "absent".
        _ => Ok((TraceId(xxh3_128(text.as_bytes()).max(1).to_be_bytes()), Some(text.to_owned()))),
    }
}

fn span_of(segment: &str, index: u32) -> (SpanId, Option<String>) {
    if index == 0
        && segment.len() == 16
        && let Ok(span) = parts::span(segment.as_bytes(), &mut false)
    {
        return (span, None);
    }
    let raw = format!("{segment}-{index}");
    (SpanId(xxh3_64(raw.as_bytes()).max(1).to_be_bytes()), Some(raw))
}

/// What a context does not say, and the format wants: service, instance, endpoint and peer.
const UNKNOWN: &[u8] = b"unknown";

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let sampled = context.debug || context.sampled == Some(true);
    let mut line = String::from(if sampled { "1-" } else { "0-" });
    base64::encode(Line::new().hex(&context.trace.0).as_str().as_bytes(), &mut line);
    line.push('-');
    base64::encode(Line::new().hex(&context.span.0).as_str().as_bytes(), &mut line);
    line.push_str("-0");
    for _ in 0..4 {
        line.push('-');
        base64::encode(UNKNOWN, &mut line);
    }
    set("sw8", &line);
}
