//! From a query to the keys of a store, where it names something directly.

use super::{Comparison, Field, Free, Literal, Query, Term};
use crate::{Key, Position, system};

impl Query {
    /// Keys under which everything that the query can match is found without a time range; empty when it is a
    /// filter and only a scan answers it.
    ///
    /// They come from the one term that narrows most; the others still have to be compared
    /// ([`Query::matches`]). A word may also be the name of a destination or service: those are left to
    /// a scan, for when the keys find nothing.
    pub fn keys(&self) -> Vec<Key> {
        let ranked = self.terms.iter().filter_map(|term| Some((rank(term)?, term)));
        let Some((_, term)) = ranked.min_by_key(|(rank, _)| *rank) else { return Vec::new() };
        let mut keys = Vec::new();
        match term {
            Term::Free(free) => free.push_keys(&mut keys),
            Term::AnyOf(alternatives) => alternatives.iter().for_each(|free| free.push_keys(&mut keys)),
            Term::Field { field, value, .. } => {
                if let Literal::Text(text) = value {
                    keys.push(match field {
                        Field::MessageId => message_id(text),
                        _ => Key::Business(text.clone()),
                    });
                }
            }
            Term::Attribute { .. } => {}
        }
        keys
    }
}

/// How little a term leaves, the least first; `None` for a filter.
fn rank(term: &Term) -> Option<u8> {
    let of = |free: &Free| match free {
        Free::Position(_) | Free::Context(_) | Free::MessageId { .. } | Free::Span(_) => 0,
        Free::Word(_) => 2,
        Free::Trace(_) => 3,
    };
    match term {
        Term::Free(free) => Some(of(free)),
        Term::AnyOf(alternatives) => alternatives.iter().map(of).max(),
        Term::Field { negated: false, field: Field::MessageId | Field::Key, comparison, value } => {
            let whole = matches!(value, Literal::Text(text) if !text.ends_with('*'));
            (*comparison == Comparison::Equal && whole).then_some(1)
        }
        Term::Field { .. } | Term::Attribute { .. } => None,
    }
}

impl Free {
    fn push_keys(&self, keys: &mut Vec<Key>) {
        match self {
            Self::Trace(trace) => keys.push(Key::Trace(*trace)),
            Self::Span(span) => keys.push(Key::Span(*span)),
            Self::Context(context) => keys.extend([Key::Creation(*context), Key::Span(context.span)]),
            Self::Position(at) if at.system.is_empty() => {
                // Coordinates are sorted by system: "any" is each of those that have positions.
                let systems = [system::KAFKA, system::NATS, system::ROCKETMQ, system::RABBITMQ];
                keys.extend(
                    systems.map(|system| Key::Position(Position { system: system.to_owned(), ..at.clone() })),
                );
            }
            Self::Position(at) => keys.push(Key::Position(at.clone())),
            Self::MessageId { system, destination, id } => keys.push(Key::MessageId {
                system: system.clone(),
                destination: destination.clone(),
                id: id.clone(),
            }),
            Self::Word(word) => {
                keys.extend([message_id(word), Key::Correlation(word.clone()), Key::Business(word.clone())]);
            }
        }
    }
}

fn message_id(id: &str) -> Key {
    Key::MessageId { system: String::new(), destination: String::new(), id: id.to_owned() }
}
