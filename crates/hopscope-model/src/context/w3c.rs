//! W3C Trace Context, level 2: `traceparent` and `tracestate`.

use super::parts::{self, Parsed};
use super::{ContextData, Flaw, Headers, Ids, Line, Reader, TRACESTATE_BYTES_MAX};
use crate::{SpanId, TraceId};

/// Where the state is.
pub(super) const STATE: &str = "tracestate";

/// Most members of a `tracestate` (W3C Trace Context §3.3.1.1).
const MEMBERS_MAX: usize = 32;

pub(super) fn read<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> Option<Ids> {
    reader.last_valid("traceparent", parse)
}

/// As [`parent_of`], for headers of other names that hold the same.
pub(super) fn parse(value: &[u8]) -> Result<Parsed<Ids>, Flaw> {
    let Parsed { value, upper_case } = parent_of(value)?;
    Ok(Parsed { value: value.into(), upper_case })
}

/// What a `traceparent` says: small, because every message has one.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    trace: TraceId,
    span: SpanId,
    flags: u8,
}

impl From<Parent> for Ids {
    fn from(Parent { trace, span, flags }: Parent) -> Self {
        Self { trace, span, sampled: Some(flags & 1 == 1), random: flags & 2 == 2, ..Self::default() }
    }
}

/// `version-trace-span-flags`. Lengths are exact, because wider readers silently pad what was cut. A later
/// version may have more fields (§3.2.4), version 00 may not.
pub(super) fn parent_of(value: &[u8]) -> Result<Parsed<Parent>, Flaw> {
    const LENGTH: usize = 55;
    let Some(head) = value.first_chunk::<LENGTH>() else { return Err(Flaw::Shape) };
    if [head[2], head[35], head[52]] != *b"---" {
        return Err(Flaw::Shape);
    }
    let mut upper_case = false;
    let version = parts::byte(&head[..2], &mut upper_case)?;
    if version == 0xff {
        return Err(Flaw::Version);
    }
    if value.len() > LENGTH && (version == 0 || value[LENGTH] != b'-') {
        return Err(Flaw::Shape);
    }
    let parent = Parent {
        trace: parts::trace(&head[3..35], &mut upper_case)?,
        span: parts::span(&head[36..52], &mut upper_case)?,
        flags: parts::byte(&head[53..], &mut upper_case)?,
    };
    Ok(Parsed { value: parent, upper_case })
}

/// All `tracestate` headers as one list (§3.3.1.1); empty when any part of it is not one. A bad state never
/// costs the context.
pub(super) fn read_state<H: Headers + ?Sized>(reader: &mut Reader<'_, H>) -> String {
    let mut state = String::new();
    let (mut flaw, mut members) = (None, 0);
    reader.headers.get_all(STATE, &mut |value| {
        let Some(value) = value else { return flaw = Some(Flaw::Null) };
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.trim_ascii(),
            Err(_) => return flaw = Some(Flaw::NotText),
        };
        for member in text.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()) {
            members += 1;
            if !is_member(member) || members > MEMBERS_MAX {
                return flaw = Some(Flaw::Shape);
            }
            if state.len() + 1 + member.len() > TRACESTATE_BYTES_MAX {
                return flaw = flaw.or(Some(Flaw::TooLong));
            }
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    });
    if let Some(flaw) = flaw {
        reader.report(STATE, flaw);
        if !flaw.is_tolerated() {
            return String::new();
        }
    }
    state
}

/// `key=value` (§3.3.1.3). A bad member makes the whole list bad: nobody knows what else is cut or mixed up in it.
fn is_member(member: &str) -> bool {
    member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value))
}

/// `key` or `tenant@system`.
fn is_key(key: &str) -> bool {
    let (tenant, system) = key.split_once('@').map_or((key, None), |(tenant, system)| (tenant, Some(system)));
    let letter = |byte: u8| byte.is_ascii_lowercase();
    let rest = |byte: u8| letter(byte) || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let named = |part: &str, first: &dyn Fn(u8) -> bool, bytes_max: usize| {
        part.len() <= bytes_max && part.bytes().next().is_some_and(first) && part.bytes().all(rest)
    };
    let tenant_bytes_max = if system.is_some() { 241 } else { 256 };
    named(tenant, &|byte| letter(byte) || byte.is_ascii_digit(), tenant_bytes_max)
        && system.is_none_or(|system| named(system, &letter, 14))
}

/// Printable, without comma and equals sign, not empty, no blank at the end.
fn is_value(value: &str) -> bool {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(printable) && !value.ends_with(' ')
}

/// The value of `traceparent`.
pub(super) fn parent(context: &ContextData<'_>) -> Line {
    let sampled = context.sampled == Some(true) || context.debug;
    let flags = match (context.random, sampled) {
        (false, false) => "-00",
        (false, true) => "-01",
        (true, false) => "-02",
        (true, true) => "-03",
    };
    Line::new().text("00-").hex(&context.trace.0).text("-").hex(&context.span.0).text(flags)
}

pub(super) fn write(context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    set("traceparent", parent(context).as_str());
    let state = context.tracestate.trim_ascii();
    // What came from elsewhere must not end the header, or make the next reader drop all of it.
    let is_list = || {
        state.len() <= TRACESTATE_BYTES_MAX
            && state.split(',').take(MEMBERS_MAX + 1).count() <= MEMBERS_MAX
            && state.split(',').all(is_member)
    };
    if !state.is_empty() && is_list() {
        set(STATE, state);
    }
}
