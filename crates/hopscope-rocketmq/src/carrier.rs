//! Message properties as carriers of context.

use cheetah_string::CheetahString;
use hopscope_sdk::{CarrierMut, Headers};
use rocketmq_model::common::message::MessageTrait;
use std::collections::HashMap;

/// Most bytes that a message's properties may have: the protocol gives their length in 16 bits, signed. A send of
/// more is refused by the client, so a context that would not fit is left out.
pub const PROPERTIES_BYTES_MAX: usize = 32_767;

/// The properties of a received message, to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadHeaders<'a>(pub &'a HashMap<CheetahString, CheetahString>);

impl Headers for ReadHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        pairs(self.0).for_each(|(name, value)| visit(name, value));
    }
}

/// The properties of a message to send, to write. A value that the protocol cannot carry (with its separators in
/// it, empty, or too long) is left out.
#[derive(Debug)]
pub struct RocketMqHeaders<'a, M>(pub &'a mut M);

impl<M: MessageTrait> Headers for RocketMqHeaders<'_, M> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        pairs(self.0.get_properties()).for_each(|(name, value)| visit(name, value));
    }
}

impl<M: MessageTrait> CarrierMut for RocketMqHeaders<'_, M> {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        let named = |key: &&CheetahString| is_named(key.as_bytes());
        let keys: Vec<CheetahString> = self.0.get_properties().keys().filter(named).cloned().collect();
        keys.iter().for_each(|key| self.0.clear_property(key));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(&|key| key.eq_ignore_ascii_case(name.as_bytes()));
        let has = self.0.get_properties().iter().map(|(key, value)| bytes(key, value)).sum::<usize>();
        if name.is_empty() || value.is_empty() || [name, value].iter().any(|text| text.contains(SEPARATORS)) {
            return;
        }
        if has + bytes(name, value) <= PROPERTIES_BYTES_MAX - RESERVE_BYTES {
            self.0.put_property(CheetahString::from_slice(name), CheetahString::from_slice(value));
        }
    }

    /// Properties are text.
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}

    fn as_headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

/// What stands between name and value, and between properties.
const SEPARATORS: [char; 2] = ['\u{1}', '\u{2}'];

/// Room for what client and broker add themselves (UNIQ_KEY, WAIT, region, cluster, ...).
const RESERVE_BYTES: usize = 512;

fn bytes(name: &str, value: &str) -> usize {
    name.len() + value.len() + SEPARATORS.len()
}

/// Names and values as bytes; no property is null.
fn pairs(properties: &HashMap<CheetahString, CheetahString>) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    properties.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
}
