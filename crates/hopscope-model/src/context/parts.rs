//! What the formats have in common: ids out of hexadecimal digits, and a line to write them into.

use super::{Flaw, RemoteContext};
use crate::{SpanId, TraceId};

/// The ids and decisions of one context, before `tracestate` is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub trace: TraceId,
    pub span: SpanId,
    pub parent: Option<SpanId>,
    pub sampled: Option<bool>,
    pub debug: bool,
    pub random: bool,
    pub was_padded: bool,
    pub raw_trace: Option<String>,
    pub raw_span: Option<String>,
}

impl Ids {
    pub fn with_state(self, tracestate: String) -> RemoteContext {
        let Self { trace, span, parent, sampled, debug, random, was_padded, raw_trace, raw_span } = self;
        RemoteContext {
            trace,
            span,
            parent,
            sampled,
            debug,
            random,
            tracestate,
            was_padded,
            raw_trace,
            raw_span,
        }
    }
}

/// A value and whether it had upper-case digits.
pub(super) struct Parsed<T> {
    pub value: T,
    pub upper_case: bool,
}

/// Value of each digit; [`UPPER`] beside it for `A` to `F`, [`NO_DIGIT`] for everything else.
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        if value < 10 {
            table[b'0' as usize + value] = value as u8;
        } else {
            table[b'a' as usize + value - 10] = value as u8;
            table[b'A' as usize + value - 10] = value as u8 | UPPER;
        }
        value += 1;
    }
    table
};
const UPPER: u8 = 0x40;
const NO_DIGIT: u8 = 0x80;

/// Reads `digits` (at most `2 * N` of them) as a number of `N` bytes, big-endian; notes upper case.
#[inline]
fn number<const N: usize>(digits: &[u8], upper_case: &mut bool) -> Result<[u8; N], Flaw> {
    if digits.is_empty() || digits.len() > 2 * N {
        return Err(Flaw::Length);
    }
    if let Some(bytes) = exact(digits) {
        return Ok(bytes);
    }
    let mut bytes = [0u8; N];
    // What was not a digit or was upper case is gathered on the way and looked at once.
    let mut marks = 0;
    let mut pairs = digits.rchunks_exact(2);
    for (byte, pair) in bytes.iter_mut().rev().zip(&mut pairs) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        marks |= high | low;
        *byte = high << 4 | low & 15;
    }
    if let [single] = pairs.remainder() {
        let value = DIGITS[usize::from(*single)];
        marks |= value;
        bytes[N - 1 - digits.len() / 2] = value & 15;
    }
    if marks & NO_DIGIT != 0 {
        return Err(Flaw::NotHex);
    }
    *upper_case |= marks & UPPER != 0;
    Ok(bytes)
}

/// The number of exactly `2 * N` lower-case digits, as nearly every id is written: eight digits at a time, each in a
/// byte of one word.
#[inline]
fn exact<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let (chunks, rest) = digits.as_chunks::<8>();
    if digits.len() != 2 * N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0u8; N];
    for (four, eight) in bytes.chunks_exact_mut(4).zip(chunks) {
        let text = u64::from_le_bytes(*eight);
        // Letters have bit 6, and their low bits count from 1.
        let values = (text & each(0x0f)) + 9 * (text >> 6 & each(1));
        // Letters after `f` are more than a digit; anything else but a lower-case digit comes back as another byte. None
        // of these sums leaves its byte: 24 + 0x30 + 39.
        let again = values + each(b'0') + 39 * ((values + each(6)) >> 4 & each(1));
        if again != text || values & each(0xf0) != 0 {
            return None;
        }
        let pairs = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
        let halves = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        four.copy_from_slice(&((halves | halves >> 16) as u32).to_le_bytes());
    }
    Some(bytes)
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

/// A decision, and that there is no other: `0` and `1`, or in words.
pub(super) fn decision(value: &[u8]) -> Result<Parsed<bool>, Flaw> {
    match value {
        b"1" | b"true" => Ok(Parsed { value: true, upper_case: false }),
        b"0" | b"false" => Ok(Parsed { value: false, upper_case: false }),
        _ => Err(Flaw::Sampling),
    }
}

/// A trace id of 16 or 32 digits, and whether it was the short one.
pub(super) fn narrow_or_wide(value: &[u8]) -> Result<Parsed<(TraceId, bool)>, Flaw> {
    let mut upper_case = false;
    let trace = trace(of_length(value, &[16, 32])?, &mut upper_case)?;
    Ok(Parsed { value: (trace, value.len() == 16), upper_case })
}

/// A span id of exactly 16 digits.
pub(super) fn whole_span(value: &[u8]) -> Result<Parsed<SpanId>, Flaw> {
    let mut upper_case = false;
    let value = span(of_length(value, &[16])?, &mut upper_case)?;
    Ok(Parsed { value, upper_case })
}

/// A line of text that is written without memory of its own.
pub(super) struct Line {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Line {
    /// The longest is X-Ray's: 33 + 16 + 1 characters and the names before them.
    const BYTES_MAX: usize = 80;

    pub fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }

    pub fn text(mut self, text: &str) -> Self {
        if let Some(slots) = self.bytes.get_mut(self.len..self.len + text.len()) {
            slots.copy_from_slice(text.as_bytes());
            self.len += text.len();
        }
        self
    }

    pub fn hex<const N: usize>(mut self, bytes: &[u8; N]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if let Some(slots) = self.bytes.get_mut(self.len..self.len + 2 * N) {
            for (pair, byte) in slots.chunks_exact_mut(2).zip(bytes) {
                pair[0] = DIGITS[usize::from(byte >> 4)];
                pair[1] = DIGITS[usize::from(byte & 15)];
            }
            self.len += 2 * N;
        }
        self
    }

    /// In decimal, without zeros in front.
    pub fn decimal(self, mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text(std::str::from_utf8(&digits[at..]).expect("only digits"))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is pushed")
    }
}
