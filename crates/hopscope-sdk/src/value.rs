//! [`Value`]: an attribute's value, borrowed.

use opentelemetry::{Array, KeyValue, StringValue};

/// An attribute's value. Borrowed, so that describing a message that nobody will look at costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Whole number.
    Int(i64),
    /// Truth value.
    Bool(bool),
    /// Floating-point number.
    Double(f64),
    /// List of texts.
    Texts(&'a [&'a str]),
}

/// An attribute: its name and its value.
pub type Attribute<'a> = (&'static str, Value<'a>);

impl Value<'_> {
    /// As OpenTelemetry's own type.
    pub(crate) fn to_key_value(self, key: &'static str) -> KeyValue {
        let value = match self {
            Self::Text(text) => text.to_owned().into(),
            Self::Int(number) => number.into(),
            Self::Bool(truth) => truth.into(),
            Self::Double(number) => number.into(),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|text| StringValue::from((*text).to_owned())).collect();
                opentelemetry::Value::Array(Array::String(texts))
            }
        };
        KeyValue::new(key, value)
    }

    /// Whether OpenTelemetry's value says the same.
    pub(crate) fn equals(self, other: &opentelemetry::Value) -> bool {
        match (self, other) {
            (Self::Text(text), opentelemetry::Value::String(other)) => text == other.as_str(),
            (Self::Int(number), opentelemetry::Value::I64(other)) => number == *other,
            (Self::Bool(truth), opentelemetry::Value::Bool(other)) => truth == *other,
            _ => false,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Takes attributes one by one.
pub(crate) trait Sink {
    fn put(&mut self, key: &'static str, value: Value<'_>);

    /// Puts a text, where there is one.
    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.put(key, Value::Text(value));
        }
    }

    /// Puts a number, where there is one.
    fn int(&mut self, key: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.put(key, Value::Int(value));
        }
    }
}

impl<F: FnMut(&'static str, Value<'_>)> Sink for F {
    fn put(&mut self, key: &'static str, value: Value<'_>) {
        self(key, value);
    }
}
