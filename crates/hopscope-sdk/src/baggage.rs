//! W3C Baggage in one header: `key=value;property,key=value`, values percent-encoded.

use hopscope_model::context::Headers;
use opentelemetry::baggage::{Baggage, BaggageMetadata};
use std::fmt::Write as _;

/// The header.
pub(crate) const HEADER: &str = "baggage";

/// Longest header that is written or read, bytes: what every platform must pass on (W3C Baggage §3.3.2).
const BYTES_MAX: usize = 8192;

/// Reads all baggage headers as one list. A member that is none is left out and reported.
pub(crate) fn read(headers: &dyn Headers, problems: &mut Vec<String>) -> Baggage {
    let mut baggage = Baggage::new();
    let mut bytes = 0;
    headers.get_all(HEADER, &mut |value| {
        let Some(Ok(text)) = value.map(std::str::from_utf8) else {
            return problems.push("header baggage is not text".to_owned());
        };
        bytes += text.len();
        if bytes > BYTES_MAX {
            return problems.push("header baggage is longer than allowed".to_owned());
        }
        for member in text.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()) {
            if read_member(member, &mut baggage).is_none() {
                problems.push("header baggage has a member that is none".to_owned());
            }
        }
    });
    baggage
}

fn read_member(member: &str, baggage: &mut Baggage) -> Option<()> {
    let (pair, properties) = member.split_once(';').unwrap_or((member, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (key.trim_ascii(), percent_decode(value.trim_ascii())?);
    if key.is_empty() {
        return None;
    }
    baggage.insert_with_metadata(key.to_owned(), value, BaggageMetadata::from(properties.trim_ascii()));
    Some(())
}

/// Writes as many members as fit into [`BYTES_MAX`].
pub(crate) fn write(baggage: &Baggage) -> String {
    let mut line = String::new();
    for (key, (value, metadata)) in baggage {
        let before = line.len();
        if before > 0 {
            line.push(',');
        }
        line.push_str(key.as_str());
        line.push('=');
        percent_encode(value.as_str(), &mut line);
        let metadata = metadata.as_str();
        // What came from elsewhere must not end the member, the list or the header.
        if !metadata.is_empty() && metadata.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            line.push(';');
            line.push_str(metadata);
        }
        if line.len() > BYTES_MAX {
            line.truncate(before);
        }
    }
    line
}

fn percent_encode(value: &str, line: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte) {
            line.push(char::from(byte));
        } else {
            let _ = write!(line, "%{byte:02X}");
        }
    }
}

fn percent_decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped =
            || std::str::from_utf8(tail.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, escaped()) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::StringValue;
    use proptest::prelude::*;

    fn read_text(text: &str) -> (Baggage, Vec<String>) {
        let mut problems = Vec::new();
        let headers = crate::kit::MapHeaders(vec![("Baggage".to_owned(), Some(text.into()))]);
        (read(&headers, &mut problems), problems)
    }

    #[test]
    fn members_with_blanks_escapes_and_properties() {
        let (baggage, problems) = read_text("a=1 , b=x%20y;ttl=3,, c = %E4%B8%AD");
        assert_eq!(baggage.get("a"), Some(&StringValue::from("1")));
        assert_eq!(baggage.get("b"), Some(&StringValue::from("x y")));
        assert_eq!(baggage.get("c"), Some(&StringValue::from("中")));
        assert!(problems.is_empty());
        assert!(write(&baggage).contains("b=x%20y;ttl=3"), "{}", write(&baggage));
    }

    #[test]
    fn bad_members_are_left_out_and_reported() {
        let (baggage, problems) = read_text("a=1,novalue,=x,b=%FF");
        assert_eq!(baggage.len(), 1);
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn a_line_never_exceeds_the_cap() {
        let mut baggage = Baggage::new();
        for n in 0..60 {
            baggage.insert(format!("k{n}"), "中".repeat(30));
        }
        let line = write(&baggage);
        assert!(line.len() <= BYTES_MAX && line.len() > BYTES_MAX / 2, "{}", line.len());
        assert!(read_text(&line).1.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_reads_and_what_was_read_round_trips(text in "\\PC{0,200}") {
            let (baggage, _) = read_text(&text);
            let (again, problems) = read_text(&write(&baggage));
            prop_assert!(problems.is_empty(), "{problems:?}");
            prop_assert_eq!(baggage.len(), again.len());
        }

        #[test]
        fn any_value_round_trips(value in any::<String>()) {
            let mut baggage = Baggage::new();
            baggage.insert("k", value.clone());
            let (again, _) = read_text(&write(&baggage));
            prop_assert_eq!(again.get("k").map(|value| value.as_str().to_owned()), Some(value));
        }
    }
}
