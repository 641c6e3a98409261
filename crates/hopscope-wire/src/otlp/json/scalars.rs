//! The scalars of the JSON mapping of protobuf, in every form that it allows.

use crate::span::{Kind, Status};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use std::borrow::Cow;
use std::fmt;

/// `null` is the default, as the JSON mapping of protobuf wants it.
#[derive(Default)]
pub(super) struct Absent<T>(pub T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Absent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| Self(value.unwrap_or_default()))
    }
}

impl<T> std::ops::Deref for Absent<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Text, borrowed from the input where it has no escapes.
#[derive(Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);
/// `uint64`, `fixed64`, `uint32`.
#[derive(Default)]
pub(super) struct Uint(pub u64);
/// `int64`.
pub(super) struct Int(pub i64);
/// `double`.
pub(super) struct Double(pub f64);
/// `bytes` outside of ids.
pub(super) struct Base64(pub Vec<u8>);
/// `SpanKind`.
#[derive(Default)]
pub(super) struct SpanKind(pub Kind);
/// `StatusCode`.
#[derive(Default)]
pub(super) struct StatusCode(pub Status);

/// What a scalar of the JSON mapping may be written as.
pub(super) enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Signed(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Unsigned(number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Double(number))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

macro_rules! scalar {
    ($ty:ty, $expected:literal, |$scalar:ident| $value:expr) => {
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $scalar = Scalar::deserialize(deserializer)?;
                let value = $value;
                value.ok_or_else(|| D::Error::invalid_value(Unexpected::Other("another value"), &$expected))
            }
        }
    };
}
pub(super) use scalar;

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Self(text)),
            Scalar::Null => Ok(Self::default()),
            _ => Err(D::Error::invalid_type(Unexpected::Other("a number"), &"text")),
        }
    }
}

scalar!(Uint, "an unsigned 64-bit integer, as digits or as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0)),
    Scalar::Text(text) => text.parse().ok().map(Self),
    Scalar::Unsigned(number) => Some(Self(number)),
    Scalar::Signed(number) => u64::try_from(number).ok().map(Self),
    // `1e18` is an integer; a float of 2^53 or more lost its last digits at the sender.
    Scalar::Double(number) =>
        (number.fract() == 0.0 && (0.0..1.8e19).contains(&number)).then_some(Self(number as u64)),
});

scalar!(Int, "a 64-bit integer, as digits or as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0)),
    Scalar::Text(text) => text.parse().ok().map(Self),
    Scalar::Unsigned(number) => i64::try_from(number).ok().map(Self),
    Scalar::Signed(number) => Some(Self(number)),
    Scalar::Double(number) => (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(Self(number as i64)),
});

scalar!(Double, "a number, or its name as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0.0)),
    Scalar::Text(text) => match text.as_ref() {
        "NaN" => Some(Self(f64::NAN)),
        "Infinity" => Some(Self(f64::INFINITY)),
        "-Infinity" => Some(Self(f64::NEG_INFINITY)),
        text => text.parse().ok().map(Self),
    },
    Scalar::Unsigned(number) => Some(Self(number as f64)),
    Scalar::Signed(number) => Some(Self(number as f64)),
    Scalar::Double(number) => Some(Self(number)),
});

scalar!(Base64, "base64", |scalar| match scalar {
    Scalar::Null => Some(Self(Vec::new())),
    Scalar::Text(text) => base64(&text).map(Self),
    _ => None,
});

scalar!(SpanKind, "a span kind", |scalar| match scalar {
    Scalar::Null => Some(Self::default()),
    Scalar::Text(name) => Some(Self(Kind::from_number(match name.as_ref() {
        "SPAN_KIND_INTERNAL" => 1,
        "SPAN_KIND_SERVER" => 2,
        "SPAN_KIND_CLIENT" => 3,
        "SPAN_KIND_PRODUCER" => 4,
        "SPAN_KIND_CONSUMER" => 5,
        digits => digits.parse().unwrap_or_default(),
    }))),
    Scalar::Unsigned(number) => Some(Self(Kind::from_number(number.min(99) as i64))),
    Scalar::Signed(number) => Some(Self(Kind::from_number(number))),
    Scalar::Double(_) => None,
});

scalar!(StatusCode, "a status code", |scalar| {
    let status = |number: u64| {
        Some(Self(match number {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        }))
    };
    match scalar {
        Scalar::Null | Scalar::Signed(_) => status(0),
        Scalar::Text(name) => match name.as_ref() {
            "STATUS_CODE_OK" => status(1),
            "STATUS_CODE_ERROR" => status(2),
            digits => status(digits.parse().unwrap_or_default()),
        },
        Scalar::Unsigned(number) => status(number),
        Scalar::Double(_) => None,
    }
});

/// Both alphabets, padded or not, as the JSON mapping of protobuf wants it.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - chunk.len() as u32);
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(1..chunk.len()).filter(|_| chunk.len() > 1)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGk=", Some(b"hi")),
            ("aGk", Some(b"hi")),
            ("+/-_", Some(&[0xfb, 0xff, 0xbf])),
            ("AAAA", Some(&[0, 0, 0])),
            ("a", None),
            ("a b=", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }
}
