//! W3C Baggage in one header: `key=value;property,key=value`, values percent-encoded.

use crate::BaggageRules;
use hopscope_model::context::Headers;
use opentelemetry::baggage::{Baggage, BaggageMetadata};
use std::fmt::Write as _;

/// The header.
pub(crate) const HEADER: &str = "baggage";

/// OpenTelemetry's baggage has no clone of its own.
pub(crate) fn copy(baggage: &Baggage) -> Baggage {
    let mut copy = Baggage::new();
    for (key, (value, metadata)) in baggage {
        copy.insert_with_metadata(key.clone(), value.clone(), metadata.clone());
    }
    copy
}

/// Reads all baggage headers as one list. A member that is none, or too much, is left out and reported; one that is not
/// allowed is left out in silence, because nothing is wrong with it.
pub(crate) fn read(rules: &BaggageRules, headers: &dyn Headers, problems: &mut Vec<String>) -> Baggage {
    let mut baggage = Baggage::new();
    let mut bytes = 0;
    headers.get_all(HEADER, &mut |value| {
        let Some(Ok(text)) = value.map(std::str::from_utf8) else {
            return problems.push("header baggage is not text".to_owned());
        };
        bytes += text.len();
        if bytes > rules.bytes_max {
            return problems.push("header baggage is longer than allowed".to_owned());
        }
        for member in text.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()) {
            match Member::read(member) {
                None => problems.push("header baggage has a member that is none".to_owned()),
                Some(member) if !rules.allows(member.key) => {}
                Some(_) if baggage.len() >= rules.members_max => {
                    return problems.push("header baggage has more members than allowed".to_owned());
                }
                Some(member) => {
                    let metadata = BaggageMetadata::from(member.properties);
                    baggage.insert_with_metadata(member.key.to_owned(), member.value, metadata);
                }
            }
        }
    });
    baggage
}

struct Member<'a> {
    key: &'a str,
    value: String,
    properties: &'a str,
}

impl<'a> Member<'a> {
    fn read(member: &'a str) -> Option<Self> {
        let (pair, properties) = member.split_once(';').unwrap_or((member, ""));
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim_ascii(), percent_decode(value.trim_ascii())?);
        (!key.is_empty()).then_some(Self { key, value, properties: properties.trim_ascii() })
    }
}

/// Writes as many of the allowed members as fit.
pub(crate) fn write(rules: &BaggageRules, baggage: &Baggage) -> String {
    let mut line = String::new();
    let allowed = baggage.iter().filter(|(key, _)| rules.allows(key.as_str()));
    for (key, (value, metadata)) in allowed.take(rules.members_max) {
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
        if line.len() > rules.bytes_max {
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
        (read(&BaggageRules::default(), &headers, &mut problems), problems)
    }

    fn write(baggage: &Baggage) -> String {
        super::write(&BaggageRules::default(), baggage)
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
        assert!(line.len() <= 8192 && line.len() > 4096, "{}", line.len());
        assert!(read_text(&line).1.is_empty());
    }

    #[test]
    fn only_what_is_allowed_passes_in_either_direction() {
        let rules = BaggageRules::of(["tenant", "app.*"]);
        let headers = crate::kit::MapHeaders(vec![(
            "baggage".to_owned(),
            Some(b"tenant=a,secret=b,app.x=c,app=d".to_vec()),
        )]);
        let mut problems = Vec::new();
        let taken = read(&rules, &headers, &mut problems);
        assert!(problems.is_empty(), "nothing is wrong with what is not for us: {problems:?}");
        let mut keys: Vec<_> = taken.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["app.x", "tenant"]);

        let (all, _) = read_text("tenant=a,secret=b");
        assert_eq!(super::write(&rules, &all), "tenant=a");
    }

    #[test]
    fn members_are_capped_in_either_direction() {
        let rules = BaggageRules { members_max: 2, ..BaggageRules::default() };
        let headers = crate::kit::MapHeaders(vec![("baggage".to_owned(), Some(b"a=1,b=2,c=3,d=4".to_vec()))]);
        let mut problems = Vec::new();
        assert_eq!(read(&rules, &headers, &mut problems).len(), 2);
        assert_eq!(problems, ["header baggage has more members than allowed"], "told once");
        let (all, _) = read_text("a=1,b=2,c=3");
        assert_eq!(super::write(&rules, &all).matches(',').count(), 1);
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
