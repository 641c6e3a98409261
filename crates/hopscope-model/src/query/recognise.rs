//! Free text, recognised: whatever a person has in the clipboard.
//!
//! Where a text may be two things (32 hexadecimal digits are a trace id, and RocketMQ's message ids look the
//! same) both are given: guessing would hide what was looked for.

use super::{Free, Term};
use crate::context::Format;
use crate::reference::{context_from_text, decode, whole_number};
use crate::{MessageRef, Position, SpanContext, SpanId, TraceId, context, system};

/// What a piece of text without blanks or in quotes is. Never fails: at the least it is a word.
pub(super) fn recognise(text: &str) -> Term {
    special(text).or_else(|| special(strip(text))).unwrap_or_else(|| {
        let stripped = strip(text);
        Term::Free(Free::Word(if stripped.is_empty() { text } else { stripped }.to_owned()))
    })
}

/// As [`recognise`], for text that is more than a word.
pub(super) fn special(text: &str) -> Option<Term> {
    None.or_else(|| url(text))
        .or_else(|| context_alternatives(text))
        .or_else(|| hexadecimal(text))
        .or_else(|| reference(text))
        .or_else(|| place(text))
}

/// Systems that a reference in the search box may begin with `id:` for: any other `id:a:b:c` is the field
/// `id:` with a message id that has colons, as JMS makes them.
const KNOWN_SYSTEMS: [&str; 4] = [system::KAFKA, system::RABBITMQ, system::NATS, system::ROCKETMQ];

/// Quotes, brackets and punctuation that surround an id in prose, code and logs.
fn strip(text: &str) -> &str {
    text.trim_matches(surrounds).trim_end_matches('.')
}

pub(super) fn surrounds(c: char) -> bool {
    let ascii = "\"'`()[]{}<>,;!?";
    ascii.contains(c) || is_chinese_punctuation(c) || c.is_whitespace()
}

/// Full-width punctuation that separates words where blanks would.
pub(super) fn is_chinese_punctuation(c: char) -> bool {
    matches!(
        c,
        '，' | '。'
            | '、'
            | '；'
            | '！'
            | '？'
            | '「'
            | '」'
            | '『'
            | '』'
            | '【'
            | '】'
            | '（'
            | '）'
            | '《'
            | '》'
            | '“'
            | '”'
            | '‘'
            | '’'
    )
}

/// `http://host:7400/m/<reference>`, `/t/<trace>`, a page of another tracing tool with a trace id in its path.
fn url(text: &str) -> Option<Term> {
    let (_, rest) = text.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let path = path.strip_prefix("#/").unwrap_or(path);
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    for prefix in ["m/", "api/v1/messages/"] {
        if let Some(text) = path.strip_prefix(prefix) {
            // Escaped as a whole by a browser, or typed as it is.
            let whole = if text.contains(':') { text.to_owned() } else { decode(text)? };
            return whole.parse().ok().map(|reference| Term::Free(Free::of(reference)));
        }
    }
    path.split('/').find_map(trace_id).map(|trace| Term::Free(Free::Trace(trace)))
}

/// `traceparent`, and `trace-span` as we print contexts.
fn context_alternatives(text: &str) -> Option<Term> {
    let context = traceparent(text).or_else(|| context_from_text(text))?;
    Some(Term::AnyOf(vec![Free::Context(context), Free::Trace(context.trace)]))
}

/// The context of a `traceparent`.
pub(super) fn traceparent(text: &str) -> Option<SpanContext> {
    let read = context::read(&[context::Format::W3c], &[("traceparent", text)][..]);
    read.context.map(|context| context.context())
}

/// The context of headers that somebody has copied, as they are in a log, in JSON or in a request: `b3: ...`,
/// `"x-datadog-trace-id":"..."`. What W3C and the plain pairs write is recognised without the names, or with more
/// tolerance, elsewhere.
pub(super) fn headers(text: &str) -> Option<SpanContext> {
    const ELSEWHERE: [Format; 4] = [Format::W3c, Format::Kebab, Format::Snake, Format::Camel];
    let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(name_char) {
        rest = &rest[begin..];
        let (name, after) = rest.split_at(rest.find(|c| !name_char(c)).unwrap_or(rest.len()));
        rest = after;
        if !context::is_context_key(name.as_bytes()) {
            continue;
        }
        let after = after.trim_start_matches(['"', '\'']).trim_start();
        let Some(after) = after.strip_prefix(['=', ':']) else { continue };
        let after = after.trim_start();
        // In quotes up to the next one; else up to a blank, without the punctuation of prose.
        let value = match after.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split(['"', '\'']).next().unwrap_or_default(),
            None => {
                let bare = after.split(char::is_whitespace).next().unwrap_or_default();
                bare.trim_end_matches([',', ';', ')', ']', '}', '>', '.'])
            }
        };
        found.push((name, value));
        rest = &rest[rest.len() - after.len() + value.len()..];
    }
    let formats: Vec<Format> =
        Format::READ_ORDER.iter().copied().filter(|format| !ELSEWHERE.contains(format)).collect();
    context::read(&formats, found.as_slice()).context.map(|context| context.context())
}

/// 32 digits or a UUID: a trace id, or a message id. 16 digits: a span id, or a key.
fn hexadecimal(text: &str) -> Option<Term> {
    let id = if text.len() == 16 {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Free::Span(SpanId::from_hex(text).filter(|_| hex)?)
    } else {
        Free::Trace(trace_id(text)?)
    };
    Some(Term::AnyOf(vec![id, Free::Word(text.to_owned())]))
}

/// 32 digits of either case, with or without the dashes of a UUID.
pub(super) fn trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        32 => TraceId::from_hex(text),
        36 => {
            let parts: Vec<&str> = text.split('-').collect();
            let uuid = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
            if uuid { TraceId::from_hex(&parts.concat()) } else { None }
        }
        _ => None,
    }
}

/// A [`MessageRef`] with its system: `kafka:orders/0/15`, `ctx:...`, `id:rabbitmq:payments:abc`.
fn reference(text: &str) -> Option<Term> {
    let reference: MessageRef = text.parse().ok()?;
    let plausible = match &reference {
        MessageRef::Creation(_) => true,
        MessageRef::MessageId { system, .. } => KNOWN_SYSTEMS.contains(&system.as_str()),
        MessageRef::Position(at) => {
            let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            !super::parse::is_prefix(&at.system) && !at.system.is_empty() && at.system.chars().all(name)
        }
    };
    plausible.then(|| Term::Free(Free::of(reference)))
}

/// Coordinates without a system.
fn place(text: &str) -> Option<Term> {
    let at = |system: &str, destination: &str, lane: &str, position: &str| {
        let named = !destination.is_empty() && !destination.bytes().all(|byte| byte.is_ascii_digit());
        let plain = |c: char| !c.is_whitespace() && !matches!(c, ':' | '=' | '"' | '@' | '#' | '/');
        let position = whole_number(position).filter(|position| *position >= 0)?;
        (named && destination.chars().all(plain)).then(|| Position {
            system: system.to_owned(),
            cluster: String::new(),
            destination: destination.to_owned(),
            lane: lane.to_owned(),
            position,
        })
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let found = None
        // topic/3/12345, STREAM//12, topic/broker-a/0/12345
        .or_else(|| {
            let (destination, rest) = text.split_once('/')?;
            let (lane, position) = rest.rsplit_once('/')?;
            let lane_fits = lane.is_empty()
                || number(lane)
                || lane
                    .rsplit_once('/')
                    .is_some_and(|(broker, queue)| !broker.contains('/') && number(queue));
            at("", destination, lane, position).filter(|_| lane_fits)
        })
        // topic:3@12345, topic[3]@12345, topic-3@12345
        .or_else(|| {
            let (head, position) = text.rsplit_once('@')?;
            let (destination, lane) = match head.strip_suffix(']') {
                Some(head) => head.rsplit_once('[')?,
                None => head.rsplit_once([':', '-'])?,
            };
            at("", destination, lane, position).filter(|_| number(lane))
        })
        // STREAM#seq
        .or_else(|| {
            let (stream, sequence) = text.split_once('#')?;
            at(system::NATS, stream, "", sequence)
        })?;
    Some(Term::AnyOf(vec![Free::Position(found), Free::Word(text.to_owned())]))
}

impl Free {
    /// What a reference stands for in a query.
    pub(super) fn of(reference: MessageRef) -> Self {
        match reference {
            MessageRef::Position(at) => Self::Position(at),
            MessageRef::Creation(context) => Self::Context(context),
            MessageRef::MessageId { system, destination, id } => Self::MessageId { system, destination, id },
        }
    }
}
