//! How message headers carry a trace context: reading and writing it in every format that an estate may use.
//!
//! Strict on write. On read tolerant where the meaning is beyond doubt (upper-case digits, blanks around),
//! and then it says so: [`Problem`]s are data, never errors. It is not: baggage, sampling decisions, or a
//! store of headers; the values of other headers are never looked at.
//!
//! Left out, because there is nothing to continue in them: userver's `u-trace-id` on RabbitMQ (a trace without a
//! span), Instana's older binary `X_INSTANA_C` and `X_INSTANA_L` (its own senders have gone over to the text), Datadog's
//! `dd-pathway-ctx` (a pipeline's latency, no trace), SkyWalking's `sw8-correlation` (an application's own values), and
//! MassTransit's envelope, which is a message's body.

mod b3;
mod base64;
mod datadog;
mod elastic;
mod format;
mod instana;
mod jaeger;
mod ottrace;
mod pairs;
mod parts;
mod problem;
mod sentry;
mod skywalking;
#[cfg(test)]
mod tests;
mod w3c;
mod xray;

use crate::{SpanContext, SpanId, TraceId};
use format::Seen;
use parts::{Ids, Line};

pub use format::{ALL_CONTEXT_KEYS, Format, is_context_key};
pub use problem::{Flaw, Problem};

/// Most problems that one read reports; what comes after is left out.
pub const PROBLEMS_MAX: usize = 16;

/// Longest `tracestate` that is kept, bytes; members that do not fit are dropped from the end (W3C Trace
/// Context §3.3.1.5).
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// The headers of one message, to read.
///
/// `each` calls `visit` once for each value of each header, in the message's order, with its name as it is written; a
/// null value is `None`. It may be called several times for one read. It never panics, whatever the bytes.
pub trait Headers {
    /// Visits every header.
    #[expect(clippy::type_complexity, reason = "an alias would hide the contract from whoever implements it")]
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>));

    /// Visits every value of the header of that name, comparing names without regard to ASCII case.
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        self.each(&mut |key, value| {
            if key.eq_ignore_ascii_case(name.as_bytes()) {
                visit(value);
            }
        });
    }
}

impl<K: AsRef<str>, V: AsRef<[u8]>> Headers for [(K, V)] {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in self {
            visit(key.as_ref().as_bytes(), Some(value.as_ref()));
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
    /// A sampling decision that came without a context (`b3: 0`, `x-instana-l: 0`).
    pub decision: Option<bool>,
    /// What was wrong on the way, in order, at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Values beyond the first of headers that should occur once.
    pub duplicates: usize,
    /// True where there is a header `baggage` too, whatever is in it.
    pub has_baggage: bool,
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
    /// W3C level 2: at least the last seven bytes of the trace id were drawn at random.
    pub random: bool,
    /// `tracestate`, or empty.
    pub tracestate: String,
    /// True when the trace id was 64 bits wide.
    pub was_padded: bool,
    /// The trace id as it was written, where it is no number of 128 bits (SkyWalking); `trace` is derived from it then:
    /// the same text always gives the same id.
    pub raw_trace: Option<String>,
    /// The same for a span id that is no number of 64 bits (a UUID, SkyWalking's segment and index) and `span`.
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
    /// B3, Jaeger and Datadog: force it to be kept.
    pub debug: bool,
    /// W3C level 2: at least the last seven bytes of the trace id were drawn at random.
    pub random: bool,
    /// `tracestate`, or empty; W3C only.
    pub tracestate: &'a str,
}

/// The value of a header to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// ASCII text.
    Text(&'a str),
    /// Bytes that are no text: only [`Format::Elastic`] has them.
    Bytes(&'a [u8]),
}

impl<'a> Written<'a> {
    /// Its bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Reads the context in the first of the formats that has a valid one. Of several values of one header the
/// last valid one counts. Allocates only for what a context has beside its ids, and for problems.
pub fn read<H: Headers + ?Sized>(formats: &[Format], headers: &H) -> Read {
    let seen = Seen::of(headers);
    let mut read = Read { has_baggage: seen.has_baggage, ..Read::default() };
    let mut reader = Reader { headers, read: &mut read };
    for &format in formats {
        if !seen.has(format) {
            continue;
        }
        let ids = match format {
            Format::W3c => seen.clean().or_else(|| w3c::read(&mut reader)),
            Format::B3Single => b3::read_single(&mut reader),
            Format::B3Multi => b3::read_multi(&mut reader),
            Format::Jaeger => jaeger::read(&mut reader),
            Format::Kebab | Format::Snake | Format::Camel => pairs::read(&mut reader, format),
            Format::Datadog => datadog::read(&mut reader),
            Format::XRay => xray::read(&mut reader),
            Format::SkyWalking => skywalking::read(&mut reader),
            Format::Elastic => elastic::read(&mut reader),
            Format::OtTrace => ottrace::read(&mut reader),
            Format::Sentry => sentry::read(&mut reader),
            Format::Instana => instana::read(&mut reader),
            Format::MassTransit => reader.last_valid("MT-Activity-Id", w3c::parse),
        };
        if let Some(ids) = ids {
            let has_state = format == Format::W3c && seen.has_state();
            let tracestate = if has_state { w3c::read_state(&mut reader) } else { String::new() };
            reader.read.context = Some(ids.with_state(tracestate));
            reader.read.format = Some(format);
            break;
        }
    }
    read
}

/// The headers of that context: name and value. Nothing for a context whose trace or span is absent.
/// Whoever writes them removes every [context key](is_context_key) first.
pub fn write(format: Format, context: &ContextData<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = Vec::with_capacity(2);
    write_to(format, context, &mut |name, value| headers.push((name, value.as_bytes().to_vec())));
    headers
}

/// As [`write`], without memory of its own (but for SkyWalking's long line): calls `set` once for each header.
pub fn write_to(format: Format, context: &ContextData<'_>, set: &mut dyn FnMut(&'static str, Written<'_>)) {
    if context.trace.is_zero() || context.span.is_zero() {
        return;
    }
    let text = &mut |name, value: &str| set(name, Written::Text(value));
    match format {
        Format::W3c => w3c::write(context, text),
        Format::B3Single => b3::write_single(context, text),
        Format::B3Multi => b3::write_multi(context, text),
        Format::Jaeger => jaeger::write(context, text),
        Format::Kebab | Format::Snake | Format::Camel => pairs::write(format, context, text),
        Format::Datadog => datadog::write(context, text),
        Format::XRay => xray::write(context, text),
        Format::SkyWalking => skywalking::write(context, text),
        Format::Elastic => elastic::write(context, &mut |name, value| set(name, Written::Bytes(value))),
        Format::OtTrace => ottrace::write(context, text),
        Format::Sentry => sentry::write(context, text),
        Format::Instana => instana::write(context, text),
        Format::MassTransit => text("MT-Activity-Id", w3c::parent(context).as_str()),
    }
}

struct Reader<'a, H: ?Sized> {
    headers: &'a H,
    read: &'a mut Read,
}

impl<H: Headers + ?Sized> Reader<'_, H> {
    /// The last value of that header that `parse` takes. Counts duplicates and reports everything else.
    fn last_valid<T: PartialEq>(
        &mut self,
        header: &'static str,
        parse: impl Fn(&[u8]) -> Result<parts::Parsed<T>, Flaw>,
    ) -> Option<T> {
        let read = &mut *self.read;
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
        report(self.read, header, flaw, &[]);
    }

    /// Both halves of a context; else the one that is without the other is reported.
    fn both<T, S>(
        &mut self,
        trace: (&'static str, Option<T>),
        span: (&'static str, Option<S>),
    ) -> Option<(T, S)> {
        match (trace, span) {
            ((_, Some(trace)), (_, Some(span))) => return Some((trace, span)),
            ((header, Some(_)), (_, None)) | ((_, None), (header, Some(_))) => {
                self.report(header, Flaw::Incomplete);
            }
            ((_, None), (_, None)) => {}
        }
        None
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
