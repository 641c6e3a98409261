//! AMQP header tables as carriers of context.

use hopscope_sdk::dead_letter::Edit;
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
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in self.0.into_iter().flatten() {
            read(key, value, visit);
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
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in &self.0 {
            read(key, value, visit);
        }
    }
}

impl CarrierMut for AmqpHeaders {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        self.0.retain(|key, _| !is_named(key.as_str().as_bytes()));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.set_bytes(name, value.as_bytes());
    }

    /// A long string holds any bytes.
    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        let Ok(key) = ShortString::try_new(name) else { return };
        self.remove(&|key| key.eq_ignore_ascii_case(name.as_bytes()));
        self.0.insert(key, AMQPValue::LongString(LongString::from(value)));
    }

    fn as_headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

impl AmqpHeaders {
    /// Makes that change: what goes, then what comes. Values are long strings, whatever their bytes.
    pub fn edit(&mut self, edit: &Edit) {
        self.remove_named(&edit.remove);
        for (name, value) in &edit.set {
            self.set_bytes(name, value);
        }
    }

    pub(crate) fn remove_named(&mut self, names: &[&str]) {
        self.remove(&|key| names.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes())));
    }
}

type Visit<'v> = dyn FnMut(&[u8], Option<&[u8]>) + 'v;

fn read(name: &ShortString, value: &AMQPValue, visit: &mut Visit<'_>) {
    let name = name.as_str().as_bytes();
    match value {
        AMQPValue::LongString(text) => visit(name, Some(text.as_bytes())),
        AMQPValue::ShortString(text) => visit(name, Some(text.as_str().as_bytes())),
        AMQPValue::ByteArray(bytes) => visit(name, Some(bytes.as_slice())),
        other => visit(name, scalar(other).as_deref().map(str::as_bytes)),
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
