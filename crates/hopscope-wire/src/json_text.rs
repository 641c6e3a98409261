//! Arrays and maps of attribute values as compact JSON text, which is how the model keeps them.

use crate::span::RetryView;
use std::fmt::Write as _;

/// Appends a JSON string; bytes that are not UTF-8 are replaced.
pub(crate) fn put_text(out: &mut String, text: &[u8]) {
    out.push('"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Appends a number; those that JSON has no digits for become text, as the JSON mapping of protobuf says.
pub(crate) fn put_double(out: &mut String, number: f64) {
    let _ = match number {
        n if n.is_nan() => write!(out, "\"NaN\""),
        f64::INFINITY => write!(out, "\"Infinity\""),
        f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
        n => write!(out, "{n:?}"),
    };
}

/// Appends an integer.
pub(crate) fn put_int(out: &mut String, number: i64) {
    let _ = write!(out, "{number}");
}

/// An array of texts.
pub(crate) fn texts(list: &[&[u8]]) -> String {
    let mut out = String::from("[");
    for (index, text) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put_text(&mut out, text);
    }
    out.push(']');
    out
}

/// Retries in place, as the model keeps them: an array of objects.
pub(crate) fn retries(list: &[RetryView<'_>]) -> String {
    let mut out = String::from("[");
    for (index, retry) in list.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(
            out,
            "{comma}{{\"attempt\":{},\"delay_ms\":{},\"error_type\":",
            retry.attempt, retry.delay_ms
        );
        put_text(&mut out, retry.error_type);
        out.push('}');
    }
    out.push(']');
    out
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json() {
        let mut out = texts(&[b"a\"\\\n\x01\xff", "订".as_bytes()]);
        assert_eq!(out, "[\"a\\\"\\\\\\n\\u0001\u{fffd}\",\"订\"]");
        assert_eq!(serde_json::from_str::<Vec<String>>(&out).map(|list| list.len()).ok(), Some(2));
        out.clear();
        for number in [1.0, 0.5, 1e300, f64::NAN, f64::NEG_INFINITY] {
            put_double(&mut out, number);
            out.push(' ');
        }
        assert_eq!(out, "1.0 0.5 1e300 \"NaN\" \"-Infinity\" ");
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
