//! What one event says of itself that matters for joining.

use super::CopiedFrom;
use crate::{CopyKind, MessageEvent, Stage, Value, system};

/// The names of an event's destination. NATS senders without JetStream know the subject where consumers know
/// the stream too; elsewhere an address is no other name (a RocketMQ retry has its original's topic in it).
pub(super) fn names_of(event: &MessageEvent) -> impl Iterator<Item = &str> {
    let address =
        (event.system == system::NATS && !event.address.is_empty()).then_some(event.address.as_str());
    [event.destination.as_str()].into_iter().chain(address)
}

pub(super) fn same_destination(a: &MessageEvent, b: &MessageEvent) -> bool {
    a.destination.is_empty()
        || b.destination.is_empty()
        || (a.system == b.system
            && (a.destination == b.destination
                || names_of(a).any(|name| names_of(b).any(|other| name == other))))
}

/// A cumulative acknowledgement: it has a lane and says where the group stands, not which message it is of.
pub(in crate::assemble) fn is_commit(event: &MessageEvent) -> bool {
    event.stage == Stage::Settle
        && event.creation.is_none()
        && (event.system == system::KAFKA || event.attribute("hopscope.progress.next").is_some())
}

/// JetStream answered that it has this message id already: the position is that of the first publish.
pub(super) fn is_duplicate_publish(event: &MessageEvent) -> bool {
    event.stage == Stage::Send
        && event.system == system::NATS
        && event.attribute("messaging.nats.duplicate") == Some(&Value::Bool(true))
}

/// What the headers say of the original.
pub(in crate::assemble) fn copied_from(event: &MessageEvent) -> Option<CopiedFrom<'_>> {
    let kind = CopyKind::from_name(text(event, "hopscope.copied_from.kind"))?;
    Some(CopiedFrom {
        kind,
        destination: text(event, "hopscope.copied_from.destination"),
        lane: text(event, "hopscope.copied_from.lane"),
        position: match event.attribute("hopscope.copied_from.position") {
            Some(Value::Int(position)) => Some(*position),
            _ => None,
        },
        message_id: text(event, "hopscope.copied_from.message_id"),
        group: text(event, "hopscope.copied_from.group"),
    })
}

/// The text attribute of that name, or empty.
pub(in crate::assemble) fn text<'e>(event: &'e MessageEvent, name: &str) -> &'e str {
    match event.attribute(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}
