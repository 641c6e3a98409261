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
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        visit_all(self.0, name, visit);
    }
}

/// The properties of a message to send, to write. A value that the protocol cannot carry (with its separators in
/// it, empty, or too long) is left out.
#[derive(Debug)]
pub struct RocketMqHeaders<'a, M>(pub &'a mut M);

impl<M: MessageTrait> Headers for RocketMqHeaders<'_, M> {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        visit_all(self.0.get_properties(), name, visit);
    }
}

impl<M: MessageTrait> CarrierMut for RocketMqHeaders<'_, M> {
    fn remove(&mut self, names: &[&str]) {
        let named = |key: &&CheetahString| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        let keys: Vec<CheetahString> = self.0.get_properties().keys().filter(named).cloned().collect();
        keys.iter().for_each(|key| self.0.clear_property(key));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(&[name]);
        let has = self.0.get_properties().iter().map(|(key, value)| bytes(key, value)).sum::<usize>();
        if name.is_empty() || value.is_empty() || [name, value].iter().any(|text| text.contains(SEPARATORS)) {
            return;
        }
        if has + bytes(name, value) <= PROPERTIES_BYTES_MAX - RESERVE_BYTES {
            self.0.put_property(CheetahString::from_slice(name), CheetahString::from_slice(value));
        }
    }
}

/// What stands between name and value, and between properties.
const SEPARATORS: [char; 2] = ['\u{1}', '\u{2}'];

/// Room for what client and broker add themselves (UNIQ_KEY, WAIT, region, cluster, ...).
const RESERVE_BYTES: usize = 512;

fn bytes(name: &str, value: &str) -> usize {
    name.len() + value.len() + SEPARATORS.len()
}

fn visit_all(
    properties: &HashMap<CheetahString, CheetahString>,
    name: &str,
    visit: &mut dyn FnMut(Option<&[u8]>),
) {
    for (key, value) in properties {
        if key.eq_ignore_ascii_case(name) {
            visit(Some(value.as_bytes()));
        }
    }
}
