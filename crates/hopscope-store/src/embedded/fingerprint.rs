//! Fingerprints: 64-bit hashes of keys. An index maps them to rows; what the row holds then decides.

use hopscope_model::query::{Comparison, Field, Free, Literal, Term};
use hopscope_model::{EventId, EventRef, Key, SpanContext, SpanId, TraceId};

/// What kind of key a fingerprint is of. The codes are in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The trace of the event and that of the creation context.
    Trace = 0,
    /// The span of the event and that of the creation context: they are mostly in the same run of rows. For
    /// events without a span, their identity, so that this kind finds every identity.
    Span = 1,
    Parent = 2,
    /// Coordinates, hashed: of what is in memory, and of segments from before there was `Place`.
    Position = 3,
    MessageId = 4,
    Correlation = 5,
    Business = 6,
    /// Coordinates, so that those of one lane are in order: rows are too, and an entry takes a third of the bits.
    Place = 7,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Trace,
        Self::Span,
        Self::Parent,
        Self::Position,
        Self::MessageId,
        Self::Correlation,
        Self::Business,
        Self::Place,
    ];
}

fn hash_one(kind: Kind, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, kind as u64 + 1)
}

pub(crate) fn of_trace(trace: TraceId) -> u64 {
    hash_one(Kind::Trace, &trace.0)
}

pub(crate) fn of_span(span: SpanId) -> u64 {
    hash_one(Kind::Span, &span.0)
}

pub(crate) fn of_parent(span: SpanId) -> u64 {
    hash_one(Kind::Parent, &span.0)
}

/// System and cluster are left out: a key may leave them open.
pub(crate) fn of_position(destination: &str, lane: &str, position: i64) -> u64 {
    let parts = [
        hash_one(Kind::Position, destination.as_bytes()),
        hash_one(Kind::Position, lane.as_bytes()),
        position as u64,
    ];
    let mut bytes = [0; 24];
    for (eight, part) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(parts) {
        *eight = part.to_le_bytes();
    }
    hash_one(Kind::Position, &bytes)
}

/// Lanes lie anywhere in the range of fingerprints, positions of one lane are next to each other in it. What
/// counts is in the upper 56 bits.
pub(crate) fn of_place(destination: &str, lane: &str, position: i64) -> u64 {
    let names = [destination, lane].map(|name| hash_one(Kind::Place, name.as_bytes()));
    names[0].rotate_left(1).wrapping_add(names[1]).wrapping_add((position as u64) << 8)
}

pub(crate) fn of_text(kind: Kind, text: &str) -> u64 {
    hash_one(kind, text.as_bytes())
}

/// The fingerprint by which an event's identity is found among others: of its span, else of itself.
pub(crate) fn of_identity(span: SpanId, id: EventId) -> u64 {
    if span == SpanId::ZERO { hash_one(Kind::Span, &id.0.to_le_bytes()) } else { of_span(span) }
}

/// Kind and fingerprint of what a key asks for; `None` for progress, which is not of events.
pub(crate) fn of_key(key: &Key) -> Option<(Kind, u64)> {
    Some(match key {
        Key::Trace(trace) => (Kind::Trace, of_trace(*trace)),
        Key::Span(span) => (Kind::Span, of_span(*span)),
        Key::Children(parent) => (Kind::Parent, of_parent(*parent)),
        Key::Creation(context) => (Kind::Span, of_span(context.span)),
        Key::Position(at) => (Kind::Position, of_position(&at.destination, &at.lane, at.position)),
        Key::MessageId { id, .. } => (Kind::MessageId, of_text(Kind::MessageId, id)),
        Key::Correlation(id) => (Kind::Correlation, of_text(Kind::Correlation, id)),
        Key::Business(key) => (Kind::Business, of_text(Kind::Business, key)),
        Key::Progress(_) => return None,
    })
}

/// The same for segments. The older ones know coordinates by another kind; in the newer ones a child of the span
/// that created its message is found by that span alone.
pub(crate) fn in_segments(key: &Key) -> impl Iterator<Item = (Kind, u64)> {
    let other = match key {
        Key::Position(at) => Some((Kind::Place, of_place(&at.destination, &at.lane, at.position))),
        Key::Children(parent) => Some((Kind::Span, of_span(*parent))),
        _ => None,
    };
    of_key(key).into_iter().chain(other)
}

/// What an event is found by. Absent ids are zeros, absent texts are empty.
pub(crate) trait Keyed<'a> {
    fn trace(&self) -> TraceId;
    fn span(&self) -> SpanId;
    fn parent(&self) -> SpanId;
    fn creation(&self) -> Option<SpanContext>;
    fn position(&self) -> Option<i64>;
    fn destination(&self) -> &'a str;
    fn lane(&self) -> &'a str;
    fn message_id(&self) -> &'a str;
    fn correlation_id(&self) -> &'a str;
    fn keys(&self) -> impl Iterator<Item = &'a str>;
}

macro_rules! keyed_by_its_own {
    ($($name:ident: $ty:ty,)*) => {
        impl<'a> Keyed<'a> for EventRef<'a> {
            $(fn $name(&self) -> $ty {
                EventRef::$name(self)
            })*

            fn keys(&self) -> impl Iterator<Item = &'a str> {
                EventRef::keys(self)
            }
        }
    };
}

keyed_by_its_own! {
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
    creation: Option<SpanContext>,
    position: Option<i64>,
    destination: &'a str,
    lane: &'a str,
    message_id: &'a str,
    correlation_id: &'a str,
}

/// Calls `each` with every key that an event is found by in a segment. `id` is asked for where the event has
/// no span.
pub(crate) fn each_key_in_segment<'a>(
    event: &impl Keyed<'a>,
    id: impl FnOnce() -> EventId,
    mut each: impl FnMut(Kind, u64),
) {
    each_key_of_both(event, id, &mut each);
    // Most children are: they then lie with the span, and need no entry of their own.
    let of_creator = event.creation().is_some_and(|creation| creation.span == event.parent());
    if !event.parent().is_zero() && !of_creator {
        each(Kind::Parent, of_parent(event.parent()));
    }
    if let Some(position) = event.position() {
        each(Kind::Place, of_place(event.destination(), event.lane(), position));
    }
}

/// Calls `each` with every key that an event in memory is found by.
pub(crate) fn each_key<'a>(event: &impl Keyed<'a>, id: EventId, mut each: impl FnMut(Kind, u64)) {
    each_key_of_both(event, || id, &mut each);
    if !event.parent().is_zero() {
        each(Kind::Parent, of_parent(event.parent()));
    }
    if let Some(position) = event.position() {
        each(Kind::Position, of_position(event.destination(), event.lane(), position));
    }
}

fn each_key_of_both<'a>(
    event: &impl Keyed<'a>,
    id: impl FnOnce() -> EventId,
    each: &mut impl FnMut(Kind, u64),
) {
    let (trace, span) = (event.trace(), event.span());
    if !trace.is_zero() {
        each(Kind::Trace, of_trace(trace));
    }
    each(Kind::Span, if span == SpanId::ZERO { of_identity(span, id()) } else { of_span(span) });
    if let Some(creation) = event.creation() {
        if creation.trace != trace {
            each(Kind::Trace, of_trace(creation.trace));
        }
        if creation.span != span {
            each(Kind::Span, of_span(creation.span));
        }
    }
    for (kind, text) in [(Kind::MessageId, event.message_id()), (Kind::Correlation, event.correlation_id())] {
        if !text.is_empty() {
            each(kind, of_text(kind, text));
        }
    }
    for key in event.keys() {
        each(Kind::Business, of_text(Kind::Business, key));
    }
}

/// Fingerprints of which an event has at least one, if it satisfies the term; `None` where no index tells.
/// A word may also be the name of a destination or a service: those are the caller's to rule out.
pub(crate) fn of_term(term: &Term) -> Option<Vec<(Kind, u64)>> {
    let texts = |text: &str| {
        [Kind::MessageId, Kind::Correlation, Kind::Business].map(|kind| (kind, of_text(kind, text))).to_vec()
    };
    match term {
        Term::Free(Free::Trace(trace)) => Some(vec![(Kind::Trace, of_trace(*trace))]),
        Term::Free(Free::Span(span)) => Some(vec![(Kind::Span, of_span(*span))]),
        Term::Free(Free::Context(context)) => Some(vec![(Kind::Span, of_span(context.span))]),
        Term::Free(Free::Position(at)) => {
            let at = (&at.destination, &at.lane, at.position);
            Some(vec![
                (Kind::Position, of_position(at.0, at.1, at.2)),
                (Kind::Place, of_place(at.0, at.1, at.2)),
            ])
        }
        Term::Free(Free::Word(word)) if !word.is_empty() => Some(texts(word)),
        Term::Field { negated: false, field, comparison: Comparison::Equal, value: Literal::Text(text) }
            if !text.is_empty() && !text.ends_with('*') =>
        {
            let kind = match field {
                Field::Key => Kind::Business,
                Field::MessageId => Kind::MessageId,
                _ => return None,
            };
            Some(vec![(kind, of_text(kind, text))])
        }
        _ => None,
    }
}
