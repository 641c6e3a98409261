//! AWS X-Ray: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`, in any order.

use super::parts::{self, Parsed, of_length};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader};

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    // The second name is that of queues, where the first one is no legal name.
    reader.last_valid("x-amzn-trace-id", parse).or_else(|| reader.last_valid("AWSTraceHeader", parse))
}

fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for field in value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|field| !field.is_empty()) {
        let at = field.iter().position(|byte| *byte == b'=').ok_or(Flaw::Shape)?;
        let (name, value) = (&field[..at], &field[at + 1..]);
        match name {
            b"Root" => root = Some(value),
            b"Parent" => parent = Some(value),
            b"Sampled" => sampled = parse_sampled(value)?,
            // `Self` of load balancers, `Lineage`, an application's own.
            _ => {}
        }
    }
    let (Some(root), Some(parent)) = (root, parent) else { return Err(Flaw::Incomplete) };
    let mut upper_case = false;
    let ids = Ids {
        trace: parts::trace(&root_digits(root)?, &mut upper_case)?,
        span: parts::span(of_length(parent, &[16])?, &mut upper_case)?,
        sampled,
        ..Ids::default()
    };
    Ok(Parsed { value: ids, upper_case })
}

/// `?` asks the receiver to decide.
fn parse_sampled(value: &[u8]) -> Result<Option<bool>, Flaw> {
    match value {
        b"1" => Ok(Some(true)),
        b"0" => Ok(Some(false)),
        b"?" => Ok(None),
        _ => Err(Flaw::Sampling),
    }
}

/// The 32 digits of `1-<8>-<24>`: the seconds of its birth, and the rest.
fn root_digits(root: &[u8]) -> Result<[u8; 32], Flaw> {
    let rest = root.strip_prefix(b"1-").ok_or(Flaw::Version)?;
    if rest.len() != 33 || rest[8] != b'-' {
        return Err(Flaw::Length);
    }
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&rest[..8]);
    digits[8..].copy_from_slice(&rest[9..]);
    Ok(digits)
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let [a, b, c, d, rest @ ..] = context.trace.0;
    let line = Line::new().text("Root=1-").hex(&[a, b, c, d]).text("-").hex(&rest);
    let line = line.text(";Parent=").hex(&context.span.0);
    let line = match (context.debug, context.sampled) {
        (true, _) | (false, Some(true)) => line.text(";Sampled=1"),
        (false, Some(false)) => line.text(";Sampled=0"),
        (false, None) => line,
    };
    set("x-amzn-trace-id", line.as_str());
}
