//! [`Query`]: what a person looks for, as data. One AST, one text form, one parser, shared by UI, CLI and API.
//!
//! ```text
//! service:checkout dest:orders* -outcome:ok duration>250ms since:15m "an order key"
//! ```
//!
//! Words are separated by blanks and must all hold; `"..."` with backslash escapes keeps blanks together; a
//! field with `-` before it must not hold. `attr.NAME:value` is an attribute of any name. Text without a field is *recognised*: trace ids, span ids,
//! `topic/partition/offset`, ... [`Query::parse_input`] also takes a whole log line.

mod attribute;
mod keys;
mod log_line;
mod parse;
mod print;
mod recognise;
#[cfg(test)]
mod tests;
mod time;

use crate::event::vocabulary;
use crate::{EventRef, Position, SpanContext, SpanId, State, TraceId};
pub use parse::ParseError;
pub use time::instant_text;

/// A conjunction of terms in a range of event time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// All of them must hold.
    pub terms: Vec<Term>,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// Free text that was recognised.
    Free(Free),
    /// Free text that may be several things, the likeliest first: one of them must hold. Never empty.
    AnyOf(Vec<Free>),
    /// `field:value`, `field>value`, with `-` before it for "not".
    Field {
        /// True for "not".
        negated: bool,
        /// Field.
        field: Field,
        /// Comparison.
        comparison: Comparison,
        /// What it is compared with.
        value: Literal,
    },
    /// `attr.name:value`: an attribute of the event or of its resource.
    Attribute {
        /// True for "not": no attribute of that name has that value.
        negated: bool,
        /// Its whole name.
        name: String,
        /// The text form of its value, compared as [`Literal::Text`] is: `*` alone is any value.
        value: String,
    },
}

/// Free text, recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Free {
    /// A trace id.
    Trace(TraceId),
    /// A span id.
    Span(SpanId),
    /// A whole context (`traceparent`).
    Context(SpanContext),
    /// Coordinates; an empty system means any.
    Position(Position),
    /// A message id with where it belongs; empty system or destination means any.
    MessageId {
        /// `messaging.system`, or empty.
        system: String,
        /// Destination, or empty.
        destination: String,
        /// The id.
        id: String,
    },
    /// Anything else: a message id, correlation id or business key.
    Word(String),
}

vocabulary! {
    /// Fields of a query.
    Field {
        /// `service:`
        Service = "service",
        /// `dest:`
        Destination = "dest",
        /// `system:`
        System = "system",
        /// `group:`
        Group = "group",
        /// `key:`
        Key = "key",
        /// `id:` (message id)
        MessageId = "id",
        /// `outcome:` ok, failed, unknown
        Outcome = "outcome",
        /// `state:` of the message for any of its groups
        State = "state",
        /// `stage:`
        Stage = "stage",
        /// `duration`
        Duration = "duration",
        /// `attempt`
        Attempt = "attempt",
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Text, compared whole and case-sensitively; a `*` at the end makes it a prefix.
    Text(String),
    /// A duration in ns.
    Duration(u64),
    /// A number.
    Number(i64),
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// ns since the epoch.
    At(i64),
    /// That many ns before now.
    Ago(u64),
}

impl Time {
    /// The instant, at `now_ns`.
    pub fn resolve(self, now_ns: i64) -> i64 {
        match self {
            Self::At(ns) => ns,
            Self::Ago(ns) => now_ns.saturating_sub_unsigned(ns),
        }
    }
}

impl Query {
    /// The range of event time, `[since, until)`, at `now_ns`.
    pub fn range(&self, now_ns: i64) -> (i64, i64) {
        let since = self.since.map_or(i64::MIN, |time| time.resolve(now_ns));
        (since, self.until.map_or(i64::MAX, |time| time.resolve(now_ns)))
    }

    /// The states it asks for; empty when it asks for none. States are of trajectories, not of events:
    /// [`Query::matches`] leaves them out, and whoever assembles compares them.
    pub fn states(&self) -> Vec<(bool, State)> {
        let state = |term: &Term| match term {
            Term::Field { negated, field: Field::State, value: Literal::Text(name), .. } => {
                State::from_name(name).map(|state| (*negated, state))
            }
            _ => None,
        };
        self.terms.iter().filter_map(state).collect()
    }

    /// Whether this event satisfies every term but those on states.
    pub fn matches(&self, event: EventRef<'_>, now_ns: i64) -> bool {
        let (since, until) = self.range(now_ns);
        (since..until).contains(&event.start_ns()) && self.terms.iter().all(|term| term.matches(event))
    }
}

impl Term {
    fn matches(&self, event: EventRef<'_>) -> bool {
        match self {
            Self::Free(free) => free.matches(event),
            Self::AnyOf(alternatives) => alternatives.iter().any(|free| free.matches(event)),
            Self::Field { negated, field, comparison, value } => {
                matches!(field, Field::State) || field_matches(*field, *comparison, value, event) != *negated
            }
            Self::Attribute { negated, name, value } => attribute::matches(name, value, event) != *negated,
        }
    }
}

impl Free {
    /// What it was recognised as, a stable name: `trace_id`, `span_id`, `context`, `position`, `message_id`,
    /// `word`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trace(_) => "trace_id",
            Self::Span(_) => "span_id",
            Self::Context(_) => "context",
            Self::Position(_) => "position",
            Self::MessageId { .. } => "message_id",
            Self::Word(_) => "word",
        }
    }

    fn matches(&self, event: EventRef<'_>) -> bool {
        match self {
            Self::Trace(trace) => {
                event.trace() == *trace || event.creation().is_some_and(|creation| creation.trace == *trace)
            }
            Self::Span(span) => {
                event.span() == *span || event.creation().is_some_and(|creation| creation.span == *span)
            }
            Self::Context(context) => {
                SpanContext::new(event.trace(), event.span()) == Some(*context)
                    || event.creation() == Some(*context)
            }
            Self::Position(at) => {
                event.position() == Some(at.position)
                    && event.destination() == at.destination
                    && event.lane() == at.lane
                    && (at.system.is_empty() || event.system() == at.system)
                    && (at.cluster.is_empty() || event.cluster().is_empty() || event.cluster() == at.cluster)
            }
            Self::MessageId { system, destination, id } => {
                event.message_id() == id
                    && (system.is_empty() || event.system() == system)
                    && (destination.is_empty() || event.destination() == destination)
            }
            Self::Word(word) => {
                event.message_id() == word
                    || event.correlation_id() == word
                    || event.keys().any(|key| key == word)
                    || event.destination() == word
                    || event.service() == word
            }
        }
    }
}

fn field_matches(field: Field, comparison: Comparison, value: &Literal, event: EventRef<'_>) -> bool {
    let text = |actual: &str| matches!(value, Literal::Text(wanted) if text_fits(wanted, actual));
    let number =
        |actual: Option<i64>, wanted: i64| actual.is_some_and(|actual| comparison.holds(actual, wanted));
    match (field, value) {
        (Field::Service, _) => text(event.service()),
        (Field::Destination, _) => text(event.destination()) || text(event.address()),
        (Field::System, _) => text(event.system()),
        (Field::Group, _) => text(event.group()),
        (Field::Key, _) => event.keys().any(text),
        (Field::MessageId, _) => text(event.message_id()),
        (Field::Outcome, _) => text(event.outcome_name()),
        (Field::Stage, _) => text(event.stage().name()),
        (Field::Duration, Literal::Duration(ns)) => {
            number(event.duration_ns(), i64::try_from(*ns).unwrap_or(i64::MAX))
        }
        (Field::Attempt, Literal::Number(wanted)) => number(event.attempt().map(i64::from), *wanted),
        (Field::Duration | Field::Attempt, _) => false,
        (Field::State, _) => true,
    }
}

/// Whether a text is what was asked for: see [`Literal::Text`].
pub fn text_fits(wanted: &str, actual: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => actual.starts_with(prefix),
        None => actual == wanted,
    }
}

impl Comparison {
    fn holds(self, actual: i64, wanted: i64) -> bool {
        match self {
            Self::Equal => actual == wanted,
            Self::Less => actual < wanted,
            Self::LessOrEqual => actual <= wanted,
            Self::Greater => actual > wanted,
            Self::GreaterOrEqual => actual >= wanted,
        }
    }
}
