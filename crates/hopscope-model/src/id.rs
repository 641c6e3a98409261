//! Identifiers: trace, span, span context, event.
//!
//! All-zero ids are "absent" on the wire (W3C Trace Context §2.2.2.2), so they never reach these types as
//! values: constructors that read foreign input return `None` for them.

use std::fmt;

/// 128-bit trace id. Narrower ids (64-bit B3, Jaeger) are left-padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// 64-bit span id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

/// A span named completely: the pair that links, parents and creation contexts carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanContext {
    /// Trace the span belongs to.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
}

/// Identity of one event: see [`MessageEvent::id`](crate::MessageEvent::id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u128);

impl TraceId {
    /// The absent id.
    pub const ZERO: Self = Self([0; 16]);

    /// Reads exactly 16 bytes that are not all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id = Self(bytes.try_into().ok()?);
        (!id.is_zero()).then_some(id)
    }

    /// Reads 1 to 32 hexadecimal digits of either case, left-padded with zeros; not all zero.
    pub fn from_hex(text: &str) -> Option<Self> {
        let id = Self(u128_from_hex(text, 32)?.to_be_bytes());
        (!id.is_zero()).then_some(id)
    }

    /// True for the absent id.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl SpanId {
    /// The absent id.
    pub const ZERO: Self = Self([0; 8]);

    /// Reads exactly 8 bytes that are not all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id = Self(bytes.try_into().ok()?);
        (!id.is_zero()).then_some(id)
    }

    /// Reads 1 to 16 hexadecimal digits of either case, left-padded with zeros; not all zero.
    pub fn from_hex(text: &str) -> Option<Self> {
        let wide = u128_from_hex(text, 16)?;
        let id = Self((wide as u64).to_be_bytes());
        (!id.is_zero()).then_some(id)
    }

    /// True for the absent id.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 8]
    }
}

impl SpanContext {
    /// `None` unless both ids are present.
    pub fn new(trace: TraceId, span: SpanId) -> Option<Self> {
        (!trace.is_zero() && !span.is_zero()).then_some(Self { trace, span })
    }

    /// True when trace or span is absent.
    pub fn is_zero(&self) -> bool {
        self.trace.is_zero() || self.span.is_zero()
    }
}

fn u128_from_hex(text: &str, digits_max: usize) -> Option<u128> {
    // `from_str_radix` takes a leading "+": the check on every byte keeps it out.
    if text.is_empty() || text.len() > digits_max || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// `trace-span`, 32 and 16 lower-case hexadecimal digits.
impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.trace, self.span)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

macro_rules! debug_as_display {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(TraceId, SpanId, SpanContext, EventId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_padded_and_strict() {
        assert_eq!(TraceId::from_hex("1").map(|id| id.to_string()), Some(format!("{:032x}", 1)));
        assert_eq!(
            SpanId::from_hex("B7AD6B7169203331").map(|id| id.to_string()),
            Some("b7ad6b7169203331".into())
        );
        for bad in
            ["", "0", "+1", "g", "00000000000000000000000000000000", "123456789012345678901234567890123"]
        {
            assert_eq!(TraceId::from_hex(bad), None, "{bad}");
        }
        assert_eq!(SpanId::from_hex("10000000000000000"), None);
    }
}
