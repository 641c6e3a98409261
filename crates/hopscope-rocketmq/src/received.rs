//! [`Reader`]: what a received message says about itself.

use crate::carrier::ReadHeaders;
use crate::names;
use crate::origin::{copied_from, property};
use hopscope_sdk::{Attribute, Body, Delivery, Details, Place, Server, Telemetry, Value, dead_letter};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use smallvec::SmallVec;
use std::fmt::Display;
use std::io::Write as _;

/// Most texts of these lists that need no allocation.
pub(crate) type Keys<'a> = SmallVec<[&'a str; 4]>;
pub(crate) type Attributes<'a> = SmallVec<[Attribute<'a>; 4]>;

/// Reads messages on behalf of one group.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub telemetry: Telemetry,
    pub group: String,
}

impl Reader {
    /// A message was handed over alone. The client shows the logical topic on a retry; `topic` is the physical one.
    pub fn receive(&self, operation: &'static str, topic: &str, message: &MessageExt) -> Delivery {
        let headers = ReadHeaders(message.get_properties());
        self.look(topic, message, |place, details| {
            self.telemetry.receive(operation, place, details, &headers)
        })
    }

    /// A message was handed over with others, or another step tells of it.
    pub fn delivered(&self, topic: &str, message: &MessageExt) -> Delivery {
        let headers = ReadHeaders(message.get_properties());
        self.look(topic, message, |place, details| self.telemetry.delivered(place, details, &headers))
    }

    /// A message of a transaction, that the broker asks about. It lies in a topic of the broker's own, of which this
    /// says nothing.
    pub fn checked(&self, message: &MessageExt) -> Delivery {
        let properties = message.get_properties();
        let details = Details { message_id: property(properties, names::UNIQ_KEY), ..Details::default() };
        self.telemetry.delivered(topic_alone(message.topic()), &details, &ReadHeaders(properties))
    }

    fn look<R>(
        &self,
        topic: &str,
        message: &MessageExt,
        tell: impl FnOnce(Place<'_>, &Details<'_>) -> R,
    ) -> R {
        let properties = message.get_properties();
        let place = place(topic, message);
        let reconsumed = u32::try_from(message.reconsume_times()).ok();
        // Only what our own headers are on is worth allocations.
        let ours = names::OUR_COPIES.iter().any(|name| properties.contains_key(*name));
        let ours = ours.then(|| dead_letter::read(topic, &ReadHeaders(properties))).flatten();
        let copied_from = match &ours {
            Some(original) => Some(original.copied_from()),
            None => copied_from(topic, properties, reconsumed),
        };
        let mut address = [0; ADDRESS_BYTES_MAX];
        let address = text(&mut address, message.store_host().ip());
        let keys = keys(property(properties, names::KEYS));
        let mut attributes = described(property(properties, names::TAGS), &keys);
        let offset_id = message.msg_id().as_str();
        if !offset_id.is_empty() {
            attributes.push(("messaging.rocketmq.offset_message_id", Value::Text(offset_id)));
        }
        let details = Details {
            server: Some(Server { address, port: message.store_host().port() }),
            group: &self.group,
            message_id: property(properties, names::UNIQ_KEY),
            correlation_id: property(properties, names::CORRELATION_ID),
            attempt: attempt(topic, reconsumed),
            body_bytes: message.get_body().map(|body| body.len() as u64),
            body: Body(message.get_body().map_or(&[], |body| body)),
            broker_time_ns: nanoseconds(message.store_timestamp()),
            origin_time_ns: nanoseconds(message.born_timestamp()),
            copied_from,
            attributes: &attributes,
            ..Details::default()
        };
        tell(place, &details)
    }
}

/// Where a received message lies.
pub(crate) fn place<'a>(topic: &'a str, message: &'a MessageExt) -> Place<'a> {
    Place::RocketMq {
        topic,
        logical_topic: if message.topic() == topic { "" } else { message.topic().as_str() },
        broker: message.broker_name(),
        queue: Some(message.queue_id()),
        offset: Some(message.queue_offset()),
    }
}

/// Where a message is to go, or will come to lie, as far as one knows.
pub(crate) fn topic_alone(topic: &str) -> Place<'_> {
    Place::RocketMq { topic, logical_topic: "", broker: "", queue: None, offset: None }
}

/// The message's keys, out of the property.
pub(crate) fn keys(property: &str) -> Keys<'_> {
    property.split_whitespace().collect()
}

/// Tag and keys, as the conventions name them.
pub(crate) fn described<'a>(tag: &'a str, keys: &'a [&'a str]) -> Attributes<'a> {
    let mut attributes = Attributes::new();
    if !tag.is_empty() {
        attributes.push(("messaging.rocketmq.message.tag", Value::Text(tag)));
    }
    if !keys.is_empty() {
        attributes.push(("messaging.rocketmq.message.keys", Value::Texts(keys)));
    }
    attributes
}

/// The broker counts attempts over all copies. On a dead-letter topic the count is still that of the group which gave
/// up; for its reader it is the first delivery.
fn attempt(physical_topic: &str, reconsumed: Option<u32>) -> Option<u32> {
    if physical_topic.starts_with(names::DEAD_LETTER_PREFIX) { Some(1) } else { reconsumed?.checked_add(1) }
}

/// Milliseconds since the Unix epoch to nanoseconds; zero is "not set".
fn nanoseconds(milliseconds: i64) -> Option<i64> {
    milliseconds.checked_mul(1_000_000).filter(|time| *time > 0)
}

/// The longest IP address.
const ADDRESS_BYTES_MAX: usize = 46;

/// In print, without an allocation; nothing where it does not fit.
fn text(buffer: &mut [u8], value: impl Display) -> &str {
    let mut rest = &mut *buffer;
    let size = rest.len();
    let left = match write!(rest, "{value}") {
        Ok(()) => rest.len(),
        Err(_) => size,
    };
    std::str::from_utf8(&buffer[..size - left]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn addresses_are_printed_where_they_fit() {
        let mut buffer = [0; ADDRESS_BYTES_MAX];
        let longest = Ipv6Addr::from([0xfffe_u16; 8]);
        assert_eq!(text(&mut buffer, longest), longest.to_string());
        assert_eq!(text(&mut [0; 3], longest), "");
    }

    #[test]
    fn attempts_count_over_all_copies_but_not_into_the_dead_letters() {
        assert_eq!(attempt("orders", Some(0)), Some(1));
        assert_eq!(attempt("%RETRY%payment", Some(2)), Some(3));
        assert_eq!(attempt("%DLQ%payment", Some(2)), Some(1));
        assert_eq!(attempt("orders", None), None);
        assert_eq!((nanoseconds(0), nanoseconds(2), nanoseconds(i64::MAX)), (None, Some(2_000_000), None));
    }
}
