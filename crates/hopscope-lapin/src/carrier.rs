//! AMQP header tables as carriers of context.

use hopscope_sdk::{CarrierMut, Headers};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use std::collections::BTreeMap;

/// The headers of a received message, to read.
///
/// Values are read from long strings (what AMQP clients write), short strings and byte arrays; numbers and truth
/// values by their text. Void is a null value; tables and arrays are no text and count as null too.
#[derive(Clone, Copy, Debug)]
pub struct ReadHeaders<'a>(pub Option<&'a FieldTable>);

impl Headers for ReadHeaders<'_> {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        for (key, value) in self.0.into_iter().flatten() {
            if key.as_str().eq_ignore_ascii_case(name) {
                read(value, visit);
            }
        }
    }
}

/// The headers of a message to publish, to write: a copy, because a [`FieldTable`] cannot lose a key.
///
/// Values are written as long strings. A name that AMQP cannot carry (more than 255 bytes) is left out.
#[derive(Clone, Debug, Default)]
pub struct AmqpHeaders(BTreeMap<ShortString, AMQPValue>);

impl From<Option<&FieldTable>> for AmqpHeaders {
    fn from(table: Option<&FieldTable>) -> Self {
        Self(table.map(|table| table.inner().clone()).unwrap_or_default())
    }
}

impl From<AmqpHeaders> for FieldTable {
    fn from(headers: AmqpHeaders) -> Self {
        headers.0.into()
    }
}

impl Headers for AmqpHeaders {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        for (key, value) in &self.0 {
            if key.as_str().eq_ignore_ascii_case(name) {
                read(value, visit);
            }
        }
    }
}

impl CarrierMut for AmqpHeaders {
    fn remove(&mut self, names: &[&str]) {
        self.0.retain(|key, _| !names.iter().any(|name| key.as_str().eq_ignore_ascii_case(name)));
    }

    fn set(&mut self, name: &str, value: &str) {
        let Ok(key) = ShortString::try_new(name) else { return };
        self.remove(&[name]);
        self.0.insert(key, AMQPValue::LongString(LongString::from(value.as_bytes())));
    }
}

fn read(value: &AMQPValue, visit: &mut dyn FnMut(Option<&[u8]>)) {
    match value {
        AMQPValue::LongString(text) => visit(Some(text.as_bytes())),
        AMQPValue::ShortString(text) => visit(Some(text.as_str().as_bytes())),
        AMQPValue::ByteArray(bytes) => visit(Some(bytes.as_slice())),
        other => visit(scalar(other).as_deref().map(str::as_bytes)),
    }
}

/// The text of a number or truth value.
fn scalar(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::Boolean(truth) => Some(u8::from(*truth).to_string()),
        other => integer(other).map(|number| number.to_string()),
    }
}

/// Any integer type of AMQP.
pub(crate) fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortUInt(number) => i64::from(*number),
        AMQPValue::ShortInt(number) => i64::from(*number),
        AMQPValue::ShortUInt(number) => i64::from(*number),
        AMQPValue::LongInt(number) => i64::from(*number),
        AMQPValue::LongUInt(number) => i64::from(*number),
        AMQPValue::LongLongInt(number) => *number,
        _ => return None,
    })
}

/// Text of any AMQP string type, where it is UTF-8.
pub(crate) fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        AMQPValue::ByteArray(bytes) => std::str::from_utf8(bytes.as_slice()).ok(),
        _ => None,
    }
}
