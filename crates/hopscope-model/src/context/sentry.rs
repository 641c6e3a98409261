//! Sentry: `sentry-trace`, `trace-span` or `trace-span-sampled`.

use super::parts::{self, Parsed, of_length};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    reader.last_valid("sentry-trace", parse)
}

fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    let fields: Vec<&[u8]> = value.splitn(4, |byte| *byte == b'-').collect();
    let (trace, span, sampled) = match *fields.as_slice() {
        [trace, span] => (trace, span, None),
        // An empty one is left open, as an absent one is.
        [trace, span, b""] => (trace, span, None),
        [trace, span, sampled] => (trace, span, Some(parts::decision(sampled)?.value)),
        _ => return Err(Flaw::Shape),
    };
    let mut upper_case = false;
    let ids = Ids {
        trace: parts::trace(of_length(trace, &[32])?, &mut upper_case)?,
        span: parts::span(of_length(span, &[16])?, &mut upper_case)?,
        sampled,
        ..Ids::default()
    };
    Ok(Parsed { value: ids, upper_case })
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let line = Line::new().hex(&context.trace.0).text("-").hex(&context.span.0);
    let line = match (context.debug, context.sampled) {
        (true, _) | (false, Some(true)) => line.text("-1"),
        (false, Some(false)) => line.text("-0"),
        (false, None) => line,
    };
    set("sentry-trace", line.as_str());
}
