//! Elastic: `elasticapmtraceparent`, W3C's context in 29 bytes: a version, then each part after its number:
//! 0 and the trace, 1 and the span, 2 and the flags. Before W3C's name was settled its text was in
//! `elastic-apm-traceparent`.

use super::{ContextData, Flaw, Headers, Ids, Reader, w3c};
use crate::{SpanId, TraceId};

const LENGTH: usize = 29;

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    // A number may well be a blank: nothing is trimmed off bytes.
    let mut ids = None;
    let binary = "elasticapmtraceparent";
    let mut values = 0;
    let read = &mut *reader.read;
    reader.headers.get_all(binary, &mut |value| {
        values += 1;
        match value.ok_or(Flaw::Null).and_then(parse) {
            Ok(new) => {
                if ids.as_ref().is_some_and(|before| *before != new) {
                    super::report(read, binary, Flaw::Conflict, &[]);
                }
                ids = Some(new);
            }
            Err(flaw) => super::report(read, binary, flaw, value.unwrap_or_default()),
        }
    });
    read.duplicates += usize::saturating_sub(values, 1);
    ids.or_else(|| reader.last_valid("elastic-apm-traceparent", w3c::parse))
}

fn parse(value: &[u8]) -> Result<Ids, Flaw> {
    let Ok(&[version, zero, ref rest @ ..]) = <&[u8; LENGTH]>::try_from(value) else {
        return Err(Flaw::Length);
    };
    let Some((trace, &[one, ref rest @ ..])) = rest.split_first_chunk::<16>() else {
        return Err(Flaw::Length);
    };
    let Some((span, &[two, flags])) = rest.split_first_chunk::<8>() else { return Err(Flaw::Length) };
    if version == 0xff {
        return Err(Flaw::Version);
    }
    if [zero, one, two] != [0, 1, 2] {
        return Err(Flaw::Shape);
    }
    let trace = TraceId::from_bytes(trace).ok_or(Flaw::AllZero)?;
    let span = SpanId::from_bytes(span).ok_or(Flaw::AllZero)?;
    Ok(Ids { trace, span, sampled: Some(flags & 1 == 1), ..Ids::default() })
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &[u8])) {
    let mut value = [0; LENGTH];
    value[2..18].copy_from_slice(&context.trace.0);
    value[18] = 1;
    value[19..27].copy_from_slice(&context.span.0);
    value[27] = 2;
    value[28] = u8::from(context.debug || context.sampled == Some(true));
    set("elasticapmtraceparent", &value);
}
