//! Where a delivered message lay, and which message it is a copy of.

use crate::names;
use cheetah_string::CheetahString;
use hopscope_sdk::{CopiedFrom, CopyKind};
use std::collections::HashMap;

/// The value of that property, or empty.
pub(crate) fn property<'a>(properties: &'a HashMap<CheetahString, CheetahString>, name: &str) -> &'a str {
    properties.get(name).map(CheetahString::as_str).unwrap_or_default()
}

/// The original of a message found on a retry or dead-letter topic. The broker keeps the producer's id (UNIQ_KEY)
/// on its copies, and the topic in RETRY_TOPIC; ORIGIN_MESSAGE_ID is the first copy's offset id, an address on a
/// disk, and no message id. Where the original lay in its topic, no property says.
pub(crate) fn copied_from<'a>(
    physical_topic: &'a str,
    properties: &'a HashMap<CheetahString, CheetahString>,
    attempts: Option<u32>,
) -> Option<CopiedFrom<'a>> {
    let (kind, group) = if let Some(group) = physical_topic.strip_prefix(names::RETRY_PREFIX) {
        (CopyKind::Retry, group)
    } else {
        (CopyKind::DeadLetter, physical_topic.strip_prefix(names::DEAD_LETTER_PREFIX)?)
    };
    Some(CopiedFrom {
        kind,
        destination: property(properties, names::RETRY_TOPIC),
        message_id: property(properties, names::UNIQ_KEY),
        group,
        attempts,
        ..CopiedFrom::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_know_topic_group_and_id_of_the_original() {
        let pairs = [("RETRY_TOPIC", "orders"), ("UNIQ_KEY", "7F00"), ("ORIGIN_MESSAGE_ID", "AC11")];
        let properties = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        for (topic, kind, group) in [
            ("%RETRY%payment", CopyKind::Retry, "payment"),
            ("%DLQ%payment", CopyKind::DeadLetter, "payment"),
        ] {
            let from = copied_from(topic, &properties, Some(2)).expect("a copy");
            assert_eq!((from.kind, from.group, from.destination), (kind, group, "orders"));
            assert_eq!((from.message_id, from.attempts), ("7F00", Some(2)));
        }
        assert!(copied_from("orders", &properties, None).is_none());
    }
}
