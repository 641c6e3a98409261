//! From [`Query`] to text. What is printed reads back as the same query: each term is printed in the shortest
//! form that does.

use super::{Comparison, Free, Literal, Query, Term, Time, attribute, time};
use crate::MessageRef;
use std::fmt;

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(ToString::to_string);
        let since = self.since.map(|time| format!("since:{time}"));
        let until = self.until.map(|time| format!("until:{time}"));
        let pieces: Vec<String> = terms.chain(since).chain(until).collect();
        f.write_str(&pieces.join(" "))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(ns) => f.write_str(&time::instant_text(*ns)),
            Self::Ago(ns) => f.write_str(&time::duration_text(*ns)),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free(free) => free.fmt(f),
            Self::AnyOf(alternatives) => {
                // The last is the text as it was typed, where it was taken for several things.
                let typed = match alternatives.last() {
                    Some(Free::Word(word)) => shortest(word, self),
                    Some(Free::Trace(_)) => match alternatives.first() {
                        Some(Free::Context(context)) => shortest(&context.to_string(), self),
                        _ => None,
                    },
                    _ => None,
                };
                let exact = || alternatives.iter().map(Free::exact).collect::<Vec<_>>().join("|");
                f.write_str(&typed.unwrap_or_else(exact))
            }
            Self::Field { negated, field, comparison, value } => {
                let minus = if *negated { "-" } else { "" };
                let operator = match comparison {
                    Comparison::Equal if matches!(value, Literal::Text(_)) => ":",
                    Comparison::Equal => "=",
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                };
                let head = format!("{minus}{field}{operator}");
                let text = match value {
                    Literal::Text(text) => text.clone(),
                    Literal::Duration(ns) => time::duration_text(*ns),
                    Literal::Number(number) => number.to_string(),
                };
                let plain = format!("{head}{text}");
                if reads_as(&plain, self) {
                    f.write_str(&plain)
                } else {
                    write!(f, "{head}{}", quoted(&text))
                }
            }
            Self::Attribute { negated, name, value } => {
                let head = format!("{}{}", if *negated { "-" } else { "" }, attribute::PREFIX);
                let forms = [(name.clone(), value.clone()), (name.clone(), quoted(value))];
                let mut forms = forms.map(|(name, value)| format!("{head}{name}:{value}")).into_iter();
                let plain = forms.find(|form| reads_as(form, self));
                f.write_str(&plain.unwrap_or_else(|| format!("{head}{}:{}", quoted(name), quoted(value))))
            }
        }
    }
}

/// The shortest text that is recognised as this and nothing else.
impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self {
            Self::Word(word) => Some(word.clone()),
            Self::Position(at) => Some(MessageRef::Position(at.clone()).to_string()),
            _ => None,
        };
        let term = Term::Free(self.clone());
        let short = plain.and_then(|plain| shortest(&plain, &term));
        f.write_str(&short.unwrap_or_else(|| self.exact()))
    }
}

impl Free {
    /// With the prefix that makes it exactly this.
    pub(super) fn exact(&self) -> String {
        let message = |reference: MessageRef| format!("msg:{}", bare_or_quoted(&reference.to_string()));
        match self {
            Self::Trace(trace) => format!("trace:{trace}"),
            Self::Span(span) => format!("span:{span}"),
            Self::Context(context) => format!("ctx:{context}"),
            Self::Position(at) => message(MessageRef::Position(at.clone())),
            Self::MessageId { system, destination, id } => message(MessageRef::MessageId {
                system: system.clone(),
                destination: destination.clone(),
                id: id.clone(),
            }),
            Self::Word(word) => format!("word:{}", bare_or_quoted(word)),
        }
    }
}

fn bare_or_quoted(text: &str) -> String {
    let plain =
        text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '%' | '@'));
    if plain && !text.is_empty() { text.to_owned() } else { quoted(text) }
}

/// In quotes, with a backslash before quotes and backslashes.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// `text` plain or in quotes, whichever reads back as this term.
fn shortest(text: &str, term: &Term) -> Option<String> {
    let plain = reads_as(text, term).then(|| text.to_owned());
    plain.or_else(|| Some(quoted(text)).filter(|quoted| reads_as(quoted, term)))
}

fn reads_as(text: &str, term: &Term) -> bool {
    let read: Result<Query, _> = text.parse();
    read.is_ok_and(|query| query.terms == [term.clone()] && query.since.is_none() && query.until.is_none())
}
