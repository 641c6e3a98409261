//! What the formats have in common: ids out of hexadecimal digits, and a line to write them into.

use super::{Flaw, RemoteContext};
use crate::{SpanId, TraceId};

/// The ids and decisions of one context, before `tracestate` is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub trace: TraceId,
    pub span: SpanId,
    pub parent: Option<SpanId>,
    pub sampled: Option<bool>,
    pub debug: bool,
    pub was_padded: bool,
    pub raw_span: Option<String>,
}

impl Ids {
    pub fn with_state(self, tracestate: String) -> RemoteContext {
        let Self { trace, span, parent, sampled, debug, was_padded, raw_span } = self;
        RemoteContext { trace, span, parent, sampled, debug, tracestate, was_padded, raw_span }
    }
}

/// A value and whether it had upper-case digits.
pub(super) struct Parsed<T> {
    pub value: T,
    pub upper_case: bool,
}

/// Reads `digits` (at most `2 * N` of them) as a number of `N` bytes, big-endian; notes upper case.
fn number<const N: usize>(digits: &[u8], upper_case: &mut bool) -> Result<[u8; N], Flaw> {
    if digits.is_empty() || digits.len() > 2 * N {
        return Err(Flaw::Length);
    }
    let mut bytes = [0u8; N];
    for (index, digit) in digits.iter().rev().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => {
                *upper_case = true;
                digit - b'A' + 10
            }
            _ => return Err(Flaw::NotHex),
        };
        bytes[N - 1 - index / 2] |= value << (4 * (index % 2));
    }
    Ok(bytes)
}

/// A trace id of 1 to 32 digits.
pub(super) fn trace(digits: &[u8], upper_case: &mut bool) -> Result<TraceId, Flaw> {
    TraceId::from_bytes(&number::<16>(digits, upper_case)?).ok_or(Flaw::AllZero)
}

/// A span id of 1 to 16 digits.
pub(super) fn span(digits: &[u8], upper_case: &mut bool) -> Result<SpanId, Flaw> {
    SpanId::from_bytes(&number::<8>(digits, upper_case)?).ok_or(Flaw::AllZero)
}

/// One byte of exactly two digits.
pub(super) fn byte(digits: &[u8], upper_case: &mut bool) -> Result<u8, Flaw> {
    if digits.len() != 2 {
        return Err(Flaw::Length);
    }
    Ok(number::<1>(digits, upper_case)?[0])
}

/// `digits` if it has one of these lengths.
pub(super) fn of_length<'a>(digits: &'a [u8], lengths: &[usize]) -> Result<&'a [u8], Flaw> {
    if lengths.contains(&digits.len()) { Ok(digits) } else { Err(Flaw::Length) }
}

/// A line of text that is written without memory of its own.
pub(super) struct Line {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Line {
    /// The longest is Jaeger's: 32 + 16 + 16 + 1 digits and three colons.
    const BYTES_MAX: usize = 72;

    pub fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }

    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.push(byte);
        }
        self
    }

    pub fn hex(mut self, bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.push(DIGITS[usize::from(byte >> 4)]);
            self.push(DIGITS[usize::from(byte & 15)]);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is pushed")
    }
}
