//! Attributes as JSON text in a column: any engine that reads Parquet reads them too.
//!
//! Text, integers, truth values and finite doubles are themselves (doubles always with a point or an exponent);
//! `{"$bytes":"00ff"}`, `{"$json":"[1]"}` and `{"$double":"NaN"}` are what JSON has no form for. Order and
//! repeated names are kept.

use hopscope_model::{Attribute, Cell, Texts, Value};
use serde::de::{Deserializer, MapAccess, Visitor};
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
