//! From text to [`Query`].

use super::{Comparison, Field, Free, Literal, Query, Term, Time, attribute, log_line, recognise, time};
use crate::reference::context_from_text;
use crate::{Outcome, SpanId, Stage, State, TraceId};
use std::fmt;
use std::str::FromStr;

/// Most terms of one query; a longer text is no query.
pub(super) const TERMS_MAX: usize = 64;

/// Longest query text, bytes.
pub(super) const QUERY_BYTES_MAX: usize = 64 << 10;

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte of the text at which it begins to be wrong.
    pub at_byte: usize,
    /// One sentence, lower case, values last.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at_byte={}", self.message, self.at_byte)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"))
    }
}

impl std::error::Error for ParseError {}

/// Prefixes of free text that is to be taken as exactly one thing.
const EXACT: [&str; 5] = ["trace", "span", "ctx", "msg", "word"];

/// True for every name that may stand before a `:`.
pub(super) fn is_prefix(name: &str) -> bool {
    prefixes().any(|prefix| prefix == name)
}

fn prefixes() -> impl Iterator<Item = &'static str> {
    Field::ALL.iter().map(|field| field.name()).chain(["since", "until"]).chain(EXACT)
}

impl Query {
    /// What a person typed or pasted: query syntax, or a log line out of which the ids are taken.
    pub fn parse_input(text: &str) -> Result<Self, ParseError> {
        if let Some(query) = log_line::labelled(text) {
            return Ok(query);
        }
        match Self::from_str(text) {
            Ok(query) if !log_line::reads_like_prose(&query) => Ok(query),
            Ok(query) => Ok(log_line::bare(text).unwrap_or(query)),
            Err(error) => log_line::bare(text).filter(|_| log_line::has_many_words(text)).ok_or(error),
        }
    }
}

impl FromStr for Query {
    type Err = ParseError;

    /// The text form alone; for what people paste, see [`Query::parse_input`].
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor { text, at: 0 };
        if text.len() > QUERY_BYTES_MAX {
            return Err(cursor.error(format!("query is too long bytes_max={QUERY_BYTES_MAX}"), None));
        }
        let mut query = Self::default();
        while cursor.skip_blanks() {
            if query.terms.len() == TERMS_MAX {
                return Err(cursor.error(format!("query has too many terms terms_max={TERMS_MAX}"), None));
            }
            cursor.piece(&mut query)?;
        }
        Ok(query)
    }
}

/// True between words: blanks, and Chinese punctuation, which stands where blanks would.
pub(super) fn separates(c: char) -> bool {
    c.is_whitespace() || recognise::is_chinese_punctuation(c)
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, message: String, hint: Option<String>) -> ParseError {
        ParseError { at_byte: self.at, message, hint }
    }

    /// Skips what separates words; false at the end.
    fn skip_blanks(&mut self) -> bool {
        self.at = self.text.len() - self.rest().trim_start_matches(separates).len();
        self.at < self.text.len()
    }

    /// The text up to the next separator.
    fn bare(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(separates).unwrap_or(rest.len())]
    }

    fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// One term, or a bound of time.
    fn piece(&mut self, query: &mut Query) -> Result<(), ParseError> {
        if self.rest().starts_with('"') {
            let text = self.quoted()?;
            query.terms.push(recognise::recognise(&text));
            return Ok(());
        }
        if let Some(term) = self.attribute()? {
            query.terms.push(term);
            return Ok(());
        }
        let bare = self.bare();
        if let Some(term) = recognise::special(bare) {
            self.take(bare.len());
            query.terms.push(term);
            return Ok(());
        }
        let negated = bare.starts_with('-');
        let (name, operator) = head(&bare[usize::from(negated)..]);
        match (operator, name) {
            (Some((operator, comparison)), "since" | "until")
                if comparison == Comparison::Equal && !negated =>
            {
                self.take(name.len() + operator.len());
                self.bound(name, query)
            }
            (Some((":" | "：", _)), name) if EXACT.contains(&name) && !negated => {
                let term = self.exact_alternatives()?;
                query.terms.push(term);
                Ok(())
            }
            (Some((operator, comparison)), name) => match Field::from_name(name) {
                Some(field) => {
                    self.take(usize::from(negated) + name.len() + operator.len());
                    let value = self.value(field, comparison)?;
                    query.terms.push(Term::Field { negated, field, comparison, value });
                    Ok(())
                }
                None if looks_like_field(name, operator) && !bare.contains("://") => {
                    Err(self.unknown_field(name))
                }
                None => self.word(negated, query),
            },
            (None, _) => self.word(negated, query),
        }
    }

    /// `attr.name:value`, `-attr."a name":value`; `None` where nothing is compared.
    fn attribute(&mut self) -> Result<Option<Term>, ParseError> {
        let begin = self.at;
        let negated = self.rest().starts_with('-');
        let Some(after) = self.rest()[usize::from(negated)..].strip_prefix(attribute::PREFIX) else {
            return Ok(None);
        };
        self.at = self.text.len() - after.len();
        let name = if after.starts_with('"') {
            self.quoted()?
        } else {
            let ends = |c: char| separates(c) || matches!(c, ':' | '：' | '=' | '<' | '>' | '"');
            let name = &after[..after.find(ends).unwrap_or(after.len())];
            self.take(name.len());
            name.to_owned()
        };
        let Some((operator, comparison)) = operator(self.rest()) else {
            self.at = begin;
            return Ok(None);
        };
        let fail = |message: String, hint: Option<String>| ParseError { at_byte: begin, message, hint };
        if name.is_empty() {
            return Err(fail("no name of an attribute".to_owned(), Some("attr.name:value".to_owned())));
        }
        if comparison != Comparison::Equal {
            let hint = format!("attr.{name}:value");
            return Err(fail(format!("attributes have no order name={name:?}"), Some(hint)));
        }
        self.take(operator.len());
        let value = self.text_value()?;
        if value.is_empty() {
            return Err(fail(format!("no value field=attr.{name}"), Some(format!("attr.{name}:* for any"))));
        }
        Ok(Some(Term::Attribute { negated, name, value }))
    }

    fn word(&mut self, negated: bool, query: &mut Query) -> Result<(), ParseError> {
        let bare = self.bare();
        if negated && bare.len() > 1 {
            let hint = format!("to look for the text itself, quote it: {}", super::print::quoted(bare));
            return Err(self.error(format!("only a field can be negated text={bare:?}"), Some(hint)));
        }
        self.take(bare.len());
        // A comma between two words is no word.
        if bare.contains(|c| !recognise::surrounds(c)) {
            query.terms.push(recognise::recognise(bare));
        }
        Ok(())
    }

    fn unknown_field(&self, name: &str) -> ParseError {
        let hint = match nearest(name, prefixes()) {
            Some(nearest) => format!("did you mean {nearest}:?"),
            None => format!("to look for the text itself, quote it: {}", super::print::quoted(self.bare())),
        };
        self.error(format!("unknown field {name:?}"), Some(hint))
    }

    fn bound(&mut self, name: &str, query: &mut Query) -> Result<(), ParseError> {
        let begin = self.at;
        let text = self.text_value()?;
        let time = time::duration(&text).map(Time::Ago).or_else(|| time::instant(&text).map(Time::At));
        let Some(time) = time else {
            let hint = "15m, 2h, 3d, 2026-11-21 or 2026-11-21T08:15:00Z".to_owned();
            let message = format!("not a time field={name} value={text:?}");
            return Err(ParseError { at_byte: begin, message, hint: Some(hint) });
        };
        let slot = if name == "since" { &mut query.since } else { &mut query.until };
        if slot.replace(time).is_some() {
            let message = format!("given twice field={name}");
            return Err(ParseError { at_byte: begin, message, hint: None });
        }
        Ok(())
    }

    fn value(&mut self, field: Field, comparison: Comparison) -> Result<Literal, ParseError> {
        let begin = self.at;
        let text = self.text_value()?;
        let fail = |message: String, hint: Option<String>| ParseError { at_byte: begin, message, hint };
        let not = |what: &str, hint: &str| {
            let message = format!("not {what} field={field} value={text:?}");
            fail(message, Some(hint.to_owned()))
        };
        if text.is_empty() {
            return Err(fail(format!("no value field={field}"), None));
        }
        match field {
            Field::Duration => {
                let ns = time::duration(&text).ok_or_else(|| not("a duration", "250ms, 1.5s, 2m"))?;
                return Ok(Literal::Duration(ns));
            }
            Field::Attempt => {
                let number = text.parse().map_err(|_| not("a number", "attempt>=2"))?;
                return Ok(Literal::Number(number));
            }
            _ => {}
        }
        if comparison != Comparison::Equal {
            let hint = format!("{field}:value");
            return Err(fail(format!("this field has no order field={field}"), Some(hint)));
        }
        if let Some(names) = vocabulary_of(field)
            && !names.contains(&text.as_str())
        {
            let hint = match nearest(&text, names.iter().copied()) {
                Some(nearest) => format!("did you mean {field}:{nearest}?"),
                None => names.join(", "),
            };
            return Err(fail(format!("unknown value field={field} value={text:?}"), Some(hint)));
        }
        Ok(Literal::Text(text))
    }

    /// A value: quoted, or up to the next separator.
    fn text_value(&mut self) -> Result<String, ParseError> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let bare = self.bare();
        self.take(bare.len());
        Ok(bare.to_owned())
    }

    /// `"..."`: a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.take(at + 1);
                    return Ok(text);
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => text.push(character),
            }
        }
        Err(self.error("quote without end".to_owned(), Some("close it with \"".to_owned())))
    }

    /// `trace:...`, `word:...`, or several of them with `|` between.
    fn exact_alternatives(&mut self) -> Result<Term, ParseError> {
        let mut alternatives = vec![self.exact()?];
        while self.rest().starts_with('|') {
            self.take(1);
            alternatives.push(self.exact()?);
            if alternatives.len() > TERMS_MAX {
                return Err(self.error(format!("too many alternatives terms_max={TERMS_MAX}"), None));
            }
        }
        if alternatives.len() > 1 {
            return Ok(Term::AnyOf(alternatives));
        }
        Ok(Term::Free(alternatives.swap_remove(0)))
    }

    fn exact(&mut self) -> Result<Free, ParseError> {
        let begin = self.at;
        let (name, operator) = head(self.bare());
        let name = EXACT.iter().find(|exact| **exact == name);
        let (Some(name), Some((operator, _))) = (name, operator) else {
            let hint = format!("{}:", EXACT.join(":, "));
            return Err(self.error("not an alternative".to_owned(), Some(hint)));
        };
        self.take(name.len() + operator.len());
        let text = if self.rest().starts_with('"') {
            self.quoted()?
        } else {
            let bare = self.bare();
            let bare = &bare[..bare.find('|').unwrap_or(bare.len())];
            self.take(bare.len());
            bare.to_owned()
        };
        exactly(name, &text).ok_or_else(|| ParseError {
            at_byte: begin,
            message: format!("malformed value field={name} value={text:?}"),
            hint: Some(
                "trace:<32 hex>, span:<16 hex>, ctx:<trace>-<span>, msg:<reference>, word:<text>".into(),
            ),
        })
    }
}

fn exactly(name: &str, text: &str) -> Option<Free> {
    match name {
        "trace" => recognise::trace_id(text).or_else(|| TraceId::from_hex(text)).map(Free::Trace),
        "span" => SpanId::from_hex(text).map(Free::Span),
        "ctx" => context_from_text(text).map(Free::Context),
        "msg" => text.parse().ok().map(Free::of),
        _ => Some(Free::Word(text.to_owned())),
    }
}

/// The name at the beginning and the operator after it, with what it compares.
fn head(text: &str) -> (&str, Option<(&str, Comparison)>) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'));
    let Some(end) = end else { return (text, None) };
    let (name, rest) = text.split_at(end);
    (name, operator(rest))
}

/// The operator that the text begins with.
fn operator(text: &str) -> Option<(&str, Comparison)> {
    let operators = [
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
        (":", Comparison::Equal),
        ("：", Comparison::Equal),
    ];
    let found = operators.iter().find(|(operator, _)| text.starts_with(operator));
    found.map(|(operator, comparison)| (&text[..operator.len()], *comparison))
}

/// `name:value` with a lower-case name: a mistyped field. `ID:host-1`, `10:15` and `a=b` are words.
fn looks_like_field(name: &str, operator: &str) -> bool {
    let lower = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    !name.is_empty() && lower && matches!(operator, ":" | "：")
}

fn vocabulary_of(field: Field) -> Option<Vec<&'static str>> {
    match field {
        Field::State => Some(State::ALL.iter().map(|state| state.name()).collect()),
        Field::Stage => Some(Stage::ALL.iter().map(|stage| stage.name()).collect()),
        Field::Outcome => {
            let outcomes = [Outcome::Ok, Outcome::Failed { reason: String::new() }, Outcome::Unknown];
            Some(outcomes.iter().map(Outcome::name).collect())
        }
        _ => None,
    }
}

/// The candidate nearest to `text`, if one is near enough to be what was meant.
fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = text.chars().count() / 2;
    let by_distance = candidates.map(|candidate| (distance(text, candidate), candidate));
    by_distance.min().filter(|(distance, _)| *distance <= far.clamp(1, 3)).map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().take(40).collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}
