//! The shared carrier kit on RocketMQ message properties.

use hopscope_rocketmq::RocketMqHeaders;
use hopscope_sdk::{CarrierMut, Headers, kit};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_single::Message;

/// A message of its own, because the carrier borrows the application's.
struct Owned(Message);

impl Headers for Owned {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        RocketMqHeaders(&mut self.0.clone()).each(visit);
    }
}

impl CarrierMut for Owned {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        RocketMqHeaders(&mut self.0).remove(is_named);
    }

    fn set(&mut self, name: &str, value: &str) {
        RocketMqHeaders(&mut self.0).set(name, value);
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        RocketMqHeaders(&mut self.0).set_bytes(name, value);
    }
}

/// Properties are text, never empty, each name once, 32 KiB in all.
fn make(pairs: &[(&str, Option<&[u8]>)]) -> Option<Owned> {
    let mut message = Message::builder().topic("t").body_slice(b"{}").build_unchecked();
    for (name, value) in pairs {
        let value = std::str::from_utf8((*value)?).ok()?;
        let is_new = message.get_property(&(*name).into()).is_none();
        if value.is_empty() || value.len() >= 32 * 1024 || !is_new {
            return None;
        }
        message.put_property((*name).into(), value.into());
    }
    Some(Owned(message))
}

/// Without the client's own.
fn dump(message: &Owned) -> kit::Pairs {
    let pairs = message.0.get_properties().iter().filter(|(key, _)| *key != "WAIT");
    pairs.map(|(key, value)| (key.to_string(), Some(value.as_bytes().to_vec()))).collect()
}

#[test]
fn carrier_kit() {
    kit::carrier(make, dump);
}

#[test]
fn what_the_protocol_cannot_carry_is_left_out() {
    let full = "x".repeat(32_000);
    for (has, value) in [("1", "a\u{1}b"), ("1", "a\u{2}b"), ("1", ""), (full.as_str(), &full)] {
        let mut message = make(&[("app", Some(has.as_bytes()))]).expect("a plain property");
        message.set("baggage", value);
        assert_eq!(dump(&message).len(), 1, "{} bytes on top of {}", value.len(), has.len());
    }
}
