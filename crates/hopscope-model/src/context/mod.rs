//! How message headers carry a trace context: reading and writing it in every format that an estate may use.
//!
//! Strict on write. On read tolerant where the meaning is beyond doubt (upper-case digits, blanks around),
//! and then it says so: [`Problem`]s are data, never errors. It is not: baggage, sampling decisions, or a
//! store of headers; other headers are never looked at.

mod b3;
mod jaeger;
mod pairs;
mod parts;
#[cfg(test)]
mod tests;
mod w3c;

use crate::event::vocabulary;
use crate::{SpanContext, SpanId, TraceId};
use parts::{Ids, Line};
use std::fmt;

vocabulary! {
    /// A way to write a context into headers.
    Format {
        /// W3C Trace Context: `traceparent`, `tracestate`.
        W3c = "tracecontext",
        /// B3 in one header: `b3`.
        B3Single = "b3",
        /// B3 in several headers: `x-b3-traceid`, `x-b3-spanid`, ...
        B3Multi = "b3multi",
        /// Jaeger: `uber-trace-id`.
        Jaeger = "jaeger",
        /// `trace-id` and `span-id`.
        Kebab = "trace-id",
        /// `trace_id` and `span_id`.
        Snake = "trace_id",
        /// `traceId`, `spanId` and, where there is one, `parentId`.
        Camel = "traceId",
    }
}

impl Format {
    /// The headers that this format writes, the deciding one first.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::W3c => &["traceparent", "tracestate"],
            Self::B3Single => &["b3"],
            Self::B3Multi => &b3::MULTI_KEYS,
            Self::Jaeger => &["uber-trace-id"],
            Self::Kebab => &["trace-id", "span-id"],
            Self::Snake => &["trace_id", "span_id"],
            Self::Camel => &["traceId", "spanId", "parentId"],
        }
    }
}

/// Headers to remove before a context is written, whatever its format, so that no reader finds an old one.
/// `parentId` is not among them: alone it says nothing, and applications have headers of that name.
pub const ALL_CONTEXT_KEYS: &[&str] = &[
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "trace-id",
    "span-id",
    "trace_id",
    "span_id",
    "traceId",
    "spanId",
];

/// Most problems that one read reports; what comes after is left out.
pub const PROBLEMS_MAX: usize = 16;

/// Longest `tracestate` that is kept, bytes; members that do not fit are dropped from the end (W3C Trace
/// Context §3.3.1.5).
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// The headers of one message, to read.
///
/// `get_all` calls `visit` once for each value of the header of that name, in the message's order, comparing
/// names without regard to ASCII case; a null value is `None`. It never panics, whatever the bytes.
pub trait Headers {
    /// Visits every value of that header.
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>));
}

impl<K: AsRef<str>, V: AsRef<[u8]>> Headers for [(K, V)] {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        for (key, value) in self {
            if key.as_ref().eq_ignore_ascii_case(name) {
                visit(Some(value.as_ref()));
            }
        }
    }
}

/// What was read out of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The context, where a valid one was found.
    pub context: Option<RemoteContext>,
    /// The format it was found in.
    pub format: Option<Format>,
    /// A sampling decision that came without a context (`b3: 0`).
    pub decision: Option<bool>,
    /// What was wrong on the way, in order, at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Values beyond the first of headers that should occur once.
    pub duplicates: usize,
}

/// The context of a message's sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// Trace; 64-bit ids are padded with zeros on the left.
    pub trace: TraceId,
    /// Span.
    pub span: SpanId,
    /// Parent of that span, in formats that carry it.
    pub parent: Option<SpanId>,
    /// `None` where the format leaves the decision open.
    pub sampled: Option<bool>,
    /// B3 and Jaeger: forced to be kept.
    pub debug: bool,
    /// `tracestate`, or empty.
    pub tracestate: String,
    /// True when the trace id was 64 bits wide.
    pub was_padded: bool,
    /// The span id as it was written, where it does not fit 64 bits (a UUID); `span` is derived from it then:
    /// the same text always gives the same id.
    pub raw_span: Option<String>,
}

impl RemoteContext {
    /// Trace and span.
    pub fn context(&self) -> SpanContext {
        SpanContext { trace: self.trace, span: self.span }
    }
}

/// A context to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextData<'a> {
    /// Trace.
    pub trace: TraceId,
    /// Span.
    pub span: SpanId,
    /// Its parent, for formats that carry one.
    pub parent: Option<SpanId>,
    /// `None` leaves the decision open where the format can say so, else it is written as "not sampled".
    pub sampled: Option<bool>,
    /// B3 and Jaeger: force it to be kept.
    pub debug: bool,
    /// `tracestate`, or empty; W3C only.
    pub tracestate: &'a str,
}

/// One thing that is wrong with one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The header.
    pub header: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Beginning of the value, printable; empty where there is none.
    pub value: String,
}

/// What can be wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Upper-case digits where the format has lower case. Tolerated.
    UpperCase,
    /// Blanks around the value. Tolerated.
    Blanks,
    /// Several values, which differ; the last valid one counts. Tolerated.
    Conflict,
    /// Longer than allowed; cut. Tolerated.
    TooLong,
    /// A null value.
    Null,
    /// Bytes that are no text of this format.
    NotText,
    /// Not the parts that the format has.
    Shape,
    /// A part that has the wrong number of digits.
    Length,
    /// A part that is not hexadecimal.
    NotHex,
    /// An id of zeros only.
    AllZero,
    /// A version that does not exist.
    Version,
    /// A sampling state or flags that the format does not know.
    Sampling,
    /// One half of a context that has two.
    Incomplete,
}

impl Flaw {
    /// True when the value was used all the same.
    pub fn is_tolerated(self) -> bool {
        matches!(self, Self::UpperCase | Self::Blanks | Self::Conflict | Self::TooLong)
    }

    fn says(self) -> &'static str {
        match self {
            Self::UpperCase => "has upper-case digits",
            Self::Blanks => "has blanks around its value",
            Self::Conflict => "occurs several times with different values",
            Self::TooLong => "is longer than allowed",
            Self::Null => "is null",
            Self::NotText => "is not text",
            Self::Shape => "does not have the parts of its format",
            Self::Length => "has an id of the wrong length",
            Self::NotHex => "has an id that is not hexadecimal",
            Self::AllZero => "has an id of zeros",
            Self::Version => "has a version that does not exist",
            Self::Sampling => "has an unknown sampling state",
            Self::Incomplete => "is there without its other half",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header {} {}", self.header, self.flaw.says())?;
        if self.value.is_empty() { Ok(()) } else { write!(f, " value={}", self.value) }
    }
}

/// Reads the context in the first of the formats that has a valid one. Of several values of one header the
/// last valid one counts.
pub fn read<H: Headers + ?Sized>(formats: &[Format], headers: &H) -> Read {
    let mut reader = Reader { headers, read: Read::default() };
    for &format in formats {
        let ids = match format {
            Format::W3c => w3c::read(&mut reader),
            Format::B3Single => b3::read_single(&mut reader),
            Format::B3Multi => b3::read_multi(&mut reader),
            Format::Jaeger => jaeger::read(&mut reader),
            Format::Kebab | Format::Snake | Format::Camel => pairs::read(&mut reader, format),
        };
        if let Some(ids) = ids {
            let tracestate = if format == Format::W3c { w3c::read_state(&mut reader) } else { String::new() };
            reader.read.context = Some(ids.with_state(tracestate));
            reader.read.format = Some(format);
            break;
        }
    }
    reader.read
}

/// The headers of that context: name and value. Nothing for a context whose trace or span is absent.
/// Whoever writes them removes [`ALL_CONTEXT_KEYS`] first.
pub fn write(format: Format, context: &ContextData<'_>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(2);
    write_to(format, context, &mut |name, value| headers.push((name, value.to_owned())));
    headers
}

/// As [`write`], without memory of its own: calls `set` once for each header.
pub fn write_to(format: Format, context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, &str)) {
    if context.trace.is_zero() || context.span.is_zero() {
        return;
    }
    match format {
        Format::W3c => w3c::write(context, set),
        Format::B3Single => b3::write_single(context, set),
        Format::B3Multi => b3::write_multi(context, set),
        Format::Jaeger => jaeger::write(context, set),
        Format::Kebab | Format::Snake | Format::Camel => pairs::write(format, context, set),
    }
}

struct Reader<'a, H: ?Sized> {
    headers: &'a H,
    read: Read,
}

impl<H: Headers + ?Sized> Reader<'_, H> {
    /// The last value of that header that `parse` takes. Counts duplicates and reports everything else.
    fn last_valid<T: PartialEq>(
        &mut self,
        header: &'static str,
        parse: impl Fn(&[u8]) -> Result<parts::Parsed<T>, Flaw>,
    ) -> Option<T> {
        let read = &mut self.read;
        let mut last: Option<T> = None;
        let mut values = 0usize;
        self.headers.get_all(header, &mut |value| {
            values += 1;
            let Some(value) = value else { return report(read, header, Flaw::Null, &[]) };
            let trimmed = value.trim_ascii();
            match parse(trimmed) {
                Ok(parsed) => {
                    if trimmed.len() != value.len() {
                        report(read, header, Flaw::Blanks, value);
                    }
                    if parsed.upper_case {
                        report(read, header, Flaw::UpperCase, value);
                    }
                    if last.as_ref().is_some_and(|before| *before != parsed.value) {
                        report(read, header, Flaw::Conflict, value);
                    }
                    last = Some(parsed.value);
                }
                Err(flaw) => report(read, header, flaw, value),
            }
        });
        read.duplicates += values.saturating_sub(1);
        last
    }

    fn report(&mut self, header: &'static str, flaw: Flaw) {
        report(&mut self.read, header, flaw, &[]);
    }
}

/// Longest beginning of a value in a [`Problem`], characters.
const PROBLEM_VALUE_CHARS_MAX: usize = 80;

fn report(read: &mut Read, header: &'static str, flaw: Flaw, value: &[u8]) {
    if read.problems.len() >= PROBLEMS_MAX {
        return;
    }
    // Four bytes a character at most: no need to look at the rest of a megabyte.
    let beginning = &value[..value.len().min(4 * PROBLEM_VALUE_CHARS_MAX)];
    let text = String::from_utf8_lossy(beginning);
    let value = text.chars().flat_map(char::escape_debug).take(PROBLEM_VALUE_CHARS_MAX).collect();
    read.problems.push(Problem { header, flaw, value });
}
