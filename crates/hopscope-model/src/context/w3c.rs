//! W3C Trace Context, level 2: `traceparent` and `tracestate`.

use super::parts::{self, Parsed};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader, TRACESTATE_BYTES_MAX};

/// Most members of a `tracestate` (W3C Trace Context §3.3.1.1).
const TRACESTATE_MEMBERS_MAX: usize = 32;

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    reader.last_valid("traceparent", parse)
}

/// `version-trace-span-flags`. Lengths are exact, because wider readers silently pad what was cut. A later
/// version may have more fields (§3.2.4), version 00 may not.
pub(super) fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    const LENGTH: usize = 55;
    if value.len() < LENGTH || [2, 35, 52].iter().any(|&at| value[at] != b'-') {
        return Err(Flaw::Shape);
    }
    let mut upper_case = false;
    let version = parts::byte(&value[..2], &mut upper_case)?;
    if version == 0xff {
        return Err(Flaw::Version);
    }
    if value.len() > LENGTH && (version == 0 || value[LENGTH] != b'-') {
        return Err(Flaw::Shape);
    }
    let ids = Ids {
        trace: parts::trace(&value[3..35], &mut upper_case)?,
        span: parts::span(&value[36..52], &mut upper_case)?,
        parent: None,
        sampled: Some(parts::byte(&value[53..LENGTH], &mut upper_case)? & 1 == 1),
        debug: false,
        was_padded: false,
        raw_span: None,
    };
    Ok(Parsed { value: ids, upper_case })
}

/// All `tracestate` headers as one list (§3.3.1.1); empty when any part of it is not one. A bad state never
/// costs the context.
pub(super) fn read_state<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> String {
    let mut state = String::new();
    let mut flaw = None;
    reader.headers.get_all("tracestate", &mut |value| {
        let Some(value) = value else { return flaw = Some(Flaw::Null) };
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.trim_ascii(),
            Err(_) => return flaw = Some(Flaw::NotText),
        };
        for member in text.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()) {
            if !is_member(member) {
                return flaw = Some(Flaw::Shape);
            }
            let members = if state.is_empty() { 0 } else { 1 + state.matches(',').count() };
            if state.len() + 1 + member.len() > TRACESTATE_BYTES_MAX || members == TRACESTATE_MEMBERS_MAX {
                return flaw = flaw.or(Some(Flaw::TooLong));
            }
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    });
    if let Some(flaw) = flaw {
        reader.report("tracestate", flaw);
        if !flaw.is_tolerated() {
            return String::new();
        }
    }
    state
}

fn is_member(member: &str) -> bool {
    let printable = member.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    printable && member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.contains('='))
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    let flags = if context.sampled == Some(true) || context.debug { "-01" } else { "-00" };
    let line = Line::new().text("00-").hex(&context.trace.0).text("-").hex(&context.span.0).text(flags);
    set("traceparent", line.as_str());
    let state = context.tracestate.trim_ascii();
    let fits = state.len() <= TRACESTATE_BYTES_MAX && state.split(',').all(is_member);
    if !state.is_empty() && fits {
        set("tracestate", state);
    }
}
