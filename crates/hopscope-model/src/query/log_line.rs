//! A log line out of somebody's clipboard: the ids in it, whatever else it says.

use super::{Free, Query, Term, parse, recognise};
use crate::reference::whole_number;
use crate::{Position, SpanContext, SpanId, TraceId};

/// Most alternatives taken out of one line.
const ALTERNATIVES_MAX: usize = 8;

/// Words that no field explains, from which on a text reads like prose and not like a query.
const PROSE_WORDS_MIN: usize = 3;

/// True when several words stand beside what is a query's: a sentence, in which the words are only words.
pub(super) fn reads_like_prose(query: &Query) -> bool {
    query.terms.iter().filter(|term| matches!(term, Term::Free(Free::Word(_)))).count() >= PROSE_WORDS_MIN
}

/// The same for a text that is no query.
pub(super) fn has_many_words(text: &str) -> bool {
    text.split(parse::separates).filter(|word| !word.is_empty()).count() > PROSE_WORDS_MIN
}

/// The ids that are labelled beyond doubt (`trace_id=...`, `"traceId":"..."`, `topic=... partition=...
/// offset=...`) or a `traceparent`; `None` when there is none of them.
pub(super) fn labelled(text: &str) -> Option<Query> {
    if text.len() > parse::QUERY_BYTES_MAX {
        return None;
    }
    let line = normalised(text);
    let labels = labels(&line);
    // `trace_id` and the like are never fields of a query; a key alone may be.
    let certain = labels.iter().any(|(label, _)| label.is_certain());
    let place = position(&labels).is_some();
    let header = recognise::headers(&line);
    let context = header.or_else(|| tokens(&line).find_map(recognise::traceparent));
    let whole = text.trim().split(parse::separates).count() == 1 && labels.is_empty() && header.is_none();
    if whole || !(certain || place || context.is_some()) {
        return None;
    }
    query(alternatives(&labels, context))
}

/// The ids that can be seen without labels.
pub(super) fn bare(text: &str) -> Option<Query> {
    if text.len() > parse::QUERY_BYTES_MAX {
        return None;
    }
    let line = normalised(text);
    let mut found = alternatives(&labels(&line), None);
    for token in tokens(&line) {
        match recognise::special(token) {
            Some(Term::Free(free)) => found.push(free),
            Some(Term::AnyOf(several)) => found.extend(several),
            _ => {}
        }
    }
    query(found)
}

fn query(mut found: Vec<Free>) -> Option<Query> {
    let mut seen = Vec::new();
    found.retain(|free| {
        let new = !seen.contains(free);
        if new {
            seen.push(free.clone());
        }
        new
    });
    found.truncate(ALTERNATIVES_MAX);
    let term = match found.len() {
        0 => return None,
        1 => Term::Free(found.swap_remove(0)),
        _ => Term::AnyOf(found),
    };
    Some(Query { terms: vec![term], since: None, until: None })
}

/// Without the backslashes of JSON in JSON, with ASCII colons, and blanks for Chinese punctuation.
fn normalised(text: &str) -> String {
    let replaced = text.chars().filter(|c| *c != '\\').map(|c| match c {
        '：' => ':',
        c if recognise::is_chinese_punctuation(c) => ' ',
        c => c,
    });
    replaced.collect()
}

fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let edge = |c: char| matches!(c, '"' | '\'' | '`' | '(' | ')' | '{' | '}' | '<' | '>' | ',' | ';' | '=');
    let tokens = line.split(move |c: char| c.is_whitespace() || edge(c));
    tokens.map(|token| {
        let token = token.strip_prefix('[').unwrap_or(token);
        let token = token.trim_end_matches(['.', ':', '!', '?']);
        // `topic[3]@12345` keeps its brackets, `[id]` does not.
        if token.contains('[') { token } else { token.trim_end_matches(']') }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Trace,
    Span,
    Traceparent,
    MessageId,
    Correlation,
    Key,
    Destination,
    Lane,
    Position,
}

impl Label {
    /// Label of that name, whatever its case and joints.
    fn of(name: &str) -> Option<Self> {
        let name: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        Some(match name.as_str() {
            "traceid" | "xb3traceid" | "otraceid" | "uniqtraceid" => Self::Trace,
            "spanid" | "xb3spanid" => Self::Span,
            "traceparent" => Self::Traceparent,
            "messageid" | "msgid" | "natsmsgid" | "uniqkey" | "messagingmessageid" => Self::MessageId,
            "correlationid" | "conversationid" | "messagingmessageconversationid" => Self::Correlation,
            "key" | "messagekey" | "msgkey" | "recordkey" | "messagingkafkamessagekey" => Self::Key,
            "topic" | "destination" | "stream" | "messagingdestinationname" => Self::Destination,
            "partition" | "queueid" | "lane" | "messagingdestinationpartitionid" => Self::Lane,
            "offset" | "queueoffset" | "sequence" | "streamsequence" | "seq" | "messagingkafkaoffset" => {
                Self::Position
            }
            _ => return None,
        })
    }

    fn is_certain(self) -> bool {
        matches!(self, Self::Trace | Self::Span | Self::Traceparent | Self::MessageId | Self::Correlation)
    }
}

/// `name=value`, `name: value`, `"name":"value"`: every label that is known, with its value.
fn labels(line: &str) -> Vec<(Label, &str)> {
    let mut found = Vec::new();
    let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut rest = line;
    while let Some(begin) = rest.find(name_char) {
        rest = &rest[begin..];
        let end = rest.find(|c| !name_char(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let Some(label) = Label::of(name) else { continue };
        let after = after.trim_start_matches(['"', '\'']).trim_start();
        let Some(after) = after.strip_prefix(['=', ':']) else { continue };
        let after = after.trim_start().trim_start_matches(['"', '\'', '[', '<']);
        let edge =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ')' | ']' | '}' | '>' | '&');
        let value = &after[..after.find(edge).unwrap_or(after.len())];
        if !value.is_empty() {
            found.push((label, value));
            rest = &after[value.len()..];
        }
    }
    found
}

/// What the labels name, the narrowest first.
fn alternatives(labels: &[(Label, &str)], context: Option<SpanContext>) -> Vec<Free> {
    let values =
        |wanted: Label| labels.iter().filter(move |(label, _)| *label == wanted).map(|(_, value)| *value);
    let trace = values(Label::Trace).find_map(|value| {
        recognise::trace_id(value).or_else(|| TraceId::from_hex(value).filter(|_| value.len() == 16))
    });
    let span = values(Label::Span).filter(|value| value.len() == 16).find_map(SpanId::from_hex);
    let labelled = trace.zip(span).map(|(trace, span)| SpanContext { trace, span });
    let context = values(Label::Traceparent).find_map(recognise::traceparent).or(context).or(labelled);
    let words = |label: Label| values(label).map(|value| Free::Word(value.to_owned()));

    let mut found: Vec<Free> = position(labels).map(Free::Position).into_iter().collect();
    found.extend(words(Label::MessageId));
    found.extend(context.map(Free::Context));
    // A span whose trace is known is said by the context.
    found.extend(span.filter(|_| context.is_none()).map(Free::Span));
    found.extend(words(Label::Correlation));
    found.extend(words(Label::Key));
    found.extend(trace.or(context.map(|context| context.trace)).map(Free::Trace));
    found
}

/// A destination and a position; a partition too where there is one.
fn position(labels: &[(Label, &str)]) -> Option<Position> {
    let first = |wanted: Label| labels.iter().find(|(label, _)| *label == wanted).map(|(_, value)| *value);
    let position = whole_number(first(Label::Position)?).filter(|position| *position >= 0)?;
    Some(Position {
        system: String::new(),
        cluster: String::new(),
        destination: first(Label::Destination)?.to_owned(),
        lane: first(Label::Lane).unwrap_or_default().to_owned(),
        position,
    })
}
