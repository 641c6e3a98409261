//! Jaeger: `uber-trace-id`, `trace:span:parent:flags`, leading zeros stripped, sometimes URL-encoded.

use super::parts::{self, Parsed};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    reader.last_valid("uber-trace-id", parse)
}

fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    let mut rest = Some(value);
    let mut field = || {
        let (field, after) = split_colon(rest?);
        rest = after;
        Some(field)
    };
    let (Some(trace), Some(span), Some(parent), Some(flags), None) =
        (field(), field(), field(), field(), field())
    else {
        return Err(Flaw::Shape);
    };
    let mut upper_case = false;
    let flags = flags_of(flags)?;
    let ids = Ids {
        trace: parts::trace(trace, &mut upper_case)?,
        span: parts::span(span, &mut upper_case)?,
        // The field is deprecated; senders write 0 or nothing.
        parent: parts::span(parent, &mut upper_case).ok(),
        sampled: Some(flags & 1 == 1),
        debug: flags & 2 == 2,
        was_padded: trace.len() <= 16,
        ..Ids::default()
    };
    Ok(Parsed { value: ids, upper_case })
}

/// One or two digits. Some senders write decimal, some hexadecimal: the lowest bit is the same in both.
fn flags_of(digits: &[u8]) -> Result<u8, Flaw> {
    let mut upper_case = false;
    match digits {
        [digit] => parts::byte(&[b'0', *digit], &mut upper_case),
        _ => parts::byte(digits, &mut upper_case),
    }
    .map_err(|_| Flaw::Sampling)
}

/// The field up to the next colon, plain or as `%3A`, and what comes after it.
fn split_colon(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    for (at, byte) in value.iter().enumerate() {
        let after = match byte {
            b':' => at + 1,
            b'%' if value[at..].len() >= 3 && value[at + 1..at + 3].eq_ignore_ascii_case(b"3a") => at + 3,
            _ => continue,
        };
        return (&value[..at], Some(&value[after..]));
    }
    (value, None)
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let line = Line::new().hex(&context.trace.0).text(":").hex(&context.span.0).text(":");
    let line = match context.parent.filter(|parent| !parent.is_zero()) {
        Some(parent) => line.hex(&parent.0),
        None => line.text("0"),
    };
    let flags = match (context.debug, context.sampled) {
        (true, _) => ":3",
        (false, Some(true)) => ":1",
        (false, _) => ":0",
    };
    set("uber-trace-id", line.text(flags).as_str());
}
