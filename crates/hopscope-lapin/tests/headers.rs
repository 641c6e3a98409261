//! The shared carrier kit on AMQP header tables.

use hopscope_lapin::{AmqpHeaders, ReadHeaders};
use hopscope_sdk::{Headers, kit};
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};

/// A table has each key once; names that differ in case are two keys.
fn make(pairs: &[(&str, Option<&[u8]>)]) -> Option<AmqpHeaders> {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        if table.contains_key(name) {
            return None;
        }
        let value = value.map_or(AMQPValue::Void, |bytes| AMQPValue::LongString(bytes.to_vec().into()));
        table.insert(ShortString::from(*name), value);
    }
    Some(AmqpHeaders::from(Some(&table)))
}

fn dump(headers: &AmqpHeaders) -> kit::Pairs {
    let table = FieldTable::from(headers.clone());
    let pair = |(key, value): (&ShortString, &AMQPValue)| match value {
        AMQPValue::LongString(text) => (key.to_string(), Some(text.as_bytes().to_vec())),
        _ => (key.to_string(), None),
    };
    table.into_iter().map(pair).collect()
}

#[test]
fn carrier_kit() {
    kit::carrier(make, dump);
}

#[test]
fn every_string_type_and_number_is_read_and_other_values_are_null() {
    for (value, read) in [
        (AMQPValue::LongString("ab".into()), Some(&b"ab"[..])),
        (AMQPValue::ShortString("ab".into()), Some(b"ab")),
        (AMQPValue::ByteArray(ByteArray::from(&b"a\xff"[..])), Some(b"a\xff")),
        (AMQPValue::Boolean(true), Some(b"1")),
        (AMQPValue::LongLongInt(-7), Some(b"-7")),
        (AMQPValue::ShortShortUInt(1), Some(b"1")),
        (AMQPValue::Void, None),
        (AMQPValue::FieldTable(FieldTable::default()), None),
    ] {
        let mut table = FieldTable::default();
        table.insert("Trace-Id".into(), value.clone());
        let mut seen = Vec::new();
        ReadHeaders(Some(&table)).get_all("trace-id", &mut |bytes| seen.push(bytes.map(<[u8]>::to_vec)));
        assert_eq!(seen, [read.map(<[u8]>::to_vec)], "{value:?}");
    }
}
