//! Attributes as JSON text in a column: any engine that reads Parquet reads them too.
//!
//! Text, integers, truth values and finite doubles are themselves (doubles always with a point or an exponent);
//! `{"$bytes":"00ff"}`, `{"$json":"[1]"}` and `{"$double":"NaN"}` are what JSON has no form for. Order and
//! repeated names are kept.

use hopscope_model::query::text_fits;
use hopscope_model::{Attribute, Cell, Texts, Value};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Appends the attributes as one JSON object.
pub(crate) fn write(out: &mut String, texts: &Texts, attributes: &[Attribute]) {
    out.push('{');
    for (number, (key, cell)) in attributes.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        quote(out, texts.get(*key));
        out.push(':');
        match cell {
            Cell::Text(text) => quote(out, texts.get(*text)),
            Cell::Int(number) => push(out, format_args!("{number}")),
            Cell::Bool(truth) => push(out, format_args!("{truth}")),
            Cell::Double(number) if number.is_finite() => push(out, format_args!("{number:?}")),
            Cell::Double(number) => push(out, format_args!("{{\"$double\":\"{number}\"}}")),
            Cell::Bytes(text) => tagged(out, "$bytes", texts.get(*text)),
            Cell::Json(text) => tagged(out, "$json", texts.get(*text)),
        }
    }
    out.push('}');
}

fn push(out: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(arguments);
}

fn tagged(out: &mut String, tag: &str, text: &str) {
    push(out, format_args!("{{\"{tag}\":"));
    quote(out, text);
    out.push('}');
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push_str(text);
    } else {
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                control if control < ' ' => push(out, format_args!("\\u{:04x}", control as u32)),
                other => out.push(other),
            }
        }
    }
    out.push('"');
}

/// Appends the attributes that were written as that text; `None` where it is not one of ours.
pub(crate) fn read(json: &str, out: &mut Vec<(String, Value)>) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Object(out)).ok()?;
    deserializer.end().ok()
}

struct Object<'a>(&'a mut Vec<(String, Value)>);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
            let value = value_of(value).ok_or_else(|| serde::de::Error::custom("an odd value"))?;
            self.0.push((key, value));
        }
        Ok(())
    }
}

/// Whether an attribute of that name has a value of that text form, see [`text_fits`]; `None` where the JSON is none
/// of ours.
pub(crate) fn has(json: &str, name: &str, wanted: &str) -> Option<bool> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let has = deserializer.deserialize_map(Asked { name, wanted }).ok()?;
    deserializer.end().ok()?;
    Some(has)
}

/// Tokens one of which is in the JSON of everything that [`has`] such an attribute: see [`each_token`].
pub(crate) fn tokens(name: &str, wanted: &str) -> Vec<String> {
    let mut head = String::new();
    quote(&mut head, name);
    head.push(':');
    if wanted.ends_with('*') {
        return vec![head];
    }
    let mut text = String::new();
    quote(&mut text, wanted);
    let tagged = |tag: &str| format!("{head}{{\"{tag}\":{text}}}");
    let mut tokens = vec![format!("{head}{text}"), tagged("$bytes"), tagged("$json")];
    if wanted.parse::<i64>().is_ok() || wanted.parse::<bool>().is_ok() {
        tokens.push(format!("{head}{wanted}"));
    }
    if let Ok(number) = wanted.parse::<f64>() {
        tokens.push(if number.is_finite() { format!("{head}{number:?}") } else { tagged("$double") });
    }
    tokens
}

/// Calls `each` with every token of the JSON as it is written: `"name":` and `"name":value` of every attribute. `None`
/// where it is none of ours.
pub(crate) fn each_token(json: &str, mut each: impl FnMut(&[u8])) -> Option<()> {
    let bytes = json.as_bytes();
    if bytes == b"{}" {
        return Some(());
    }
    let mut at = expect(bytes, 0, b'{')?;
    loop {
        let begin = at;
        at = expect(bytes, after_text(bytes, at)?, b':')?;
        each(&bytes[begin..at]);
        at = match bytes.get(at)? {
            b'"' => after_text(bytes, at)?,
            b'{' => {
                let value = expect(bytes, after_text(bytes, at + 1)?, b':')?;
                expect(bytes, after_text(bytes, value)?, b'}')?
            }
            _ => at + bytes[at..].iter().position(|byte| matches!(byte, b',' | b'}'))?,
        };
        each(&bytes[begin..at]);
        if bytes.get(at) == Some(&b'}') {
            return (at + 1 == bytes.len()).then_some(());
        }
        at = expect(bytes, at, b',')?;
    }
}

fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

/// The place behind the text in quotes that begins there.
fn after_text(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(bytes, at, b'"')?;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

struct Asked<'a> {
    name: &'a str,
    wanted: &'a str,
}

impl<'de> Visitor<'de> for Asked<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has = false;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if key.0 == self.name {
                let value = value_of(map.next_value()?);
                let value = value.ok_or_else(|| serde::de::Error::custom("an odd value"))?;
                has |= text_fits(self.wanted, &value.to_string());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(has)
    }
}

/// A key without a copy, where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn value_of(json: serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Double(number.as_f64()?),
        },
        serde_json::Value::Object(map) => {
            let (tag, text) = map.into_iter().next()?;
            let serde_json::Value::String(text) = text else { return None };
            match tag.as_str() {
                "$bytes" => Value::Bytes(text),
                "$json" => Value::Json(text),
                "$double" => Value::Double(text.parse().ok()?),
                _ => return None,
            }
        }
        serde_json::Value::Null | serde_json::Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_model::{BatchBuilder, MessageEvent, Source, Stage, Tenant};
    use proptest::prelude::*;

    fn json_of(value: &Value) -> String {
        let attributes = vec![("before".to_owned(), Value::Int(5)), ("a \"name\"".to_owned(), value.clone())];
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 0);
        builder.push_event(&MessageEvent { attributes, ..MessageEvent::new(Stage::Work) });
        let batch = builder.finish();
        let mut json = String::new();
        write(&mut json, batch.texts(), batch.event(0).own_attributes());
        json
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = || prop_oneof!["[a-f0-9]{0,4}", "\\PC{0,6}", "[\"\\\\{\\[,:\n]{0,4}"];
        prop_oneof![
            text().prop_map(Value::Text),
            text().prop_map(Value::Bytes),
            text().prop_map(Value::Json),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Double),
            prop::sample::select(vec![1.0, -0.0, 1e21, 1e300, f64::NAN, f64::INFINITY])
                .prop_map(Value::Double),
            any::<bool>().prop_map(Value::Bool),
        ]
    }

    proptest! {
        #[test]
        fn reading_tokens_is_total(json in "[\\{\\}\":,a1\\\\]{0,20}") {
            let _ = each_token(&json, |_| ());
        }

        #[test]
        fn what_has_a_value_holds_a_token_of_it(value in any_value()) {
            let (json, wanted) = (json_of(&value), value.to_string());
            let mut held: Vec<String> = Vec::new();
            let read = each_token(&json, |token| held.push(String::from_utf8_lossy(token).into_owned()));
            prop_assert_eq!((read, held.len()), (Some(()), 4), "{}", json);
            prop_assert_eq!(has(&json, "a \"name\"", &wanted), Some(true));
            let holds = |wanted: &str| tokens("a \"name\"", wanted).iter().any(|token| held.contains(token));
            prop_assert!(holds(&wanted) && holds("*"), "{}", json);
            prop_assert_eq!(has(&json, "name", &wanted), Some(false));
            prop_assert_eq!(has(&json, "a \"name\"", &format!("{wanted}?")), Some(false));
        }
    }
}
