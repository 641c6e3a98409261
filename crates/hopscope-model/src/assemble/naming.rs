//! How a message is asked for, and found again.

use super::joining::Joined;
use crate::{MessageRef, Position, SpanContext, Stage};

/// The message of that reference. Where several fit (a context that made a batch, a position used again) the
/// newest, because that is what people ask about.
pub(super) fn find(joined: &Joined<'_>, reference: &MessageRef) -> Option<usize> {
    let newest = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates.max_by_key(|&message| (sent_ns(joined, message), std::cmp::Reverse(message)))
    };
    match reference {
        MessageRef::Position(at) => {
            let matches = |message: &&super::joining::Message<'_>| {
                message.position == Some(at.position)
                    && message.destination == at.destination
                    && message.lane == at.lane
                    && (at.system.is_empty() || message.system == at.system)
                    && (at.cluster.is_empty() || message.cluster.is_empty() || message.cluster == at.cluster)
            };
            let all = joined.messages.iter().enumerate();
            newest(&mut all.filter(|(_, message)| matches(message)).map(|(index, _)| index))
        }
        MessageRef::Creation(context) => {
            let of_class = joined.by_class.get(&joined.resolve(*context))?;
            // Not a copy, if there is a choice.
            let original = |message: &usize| joined.messages[*message].copied_from.is_none();
            newest(&mut of_class.iter().copied().filter(original))
                .or_else(|| newest(&mut of_class.iter().copied()))
        }
        MessageRef::MessageId { system, destination, id } => {
            if !system.is_empty() && !destination.is_empty() {
                let known = joined.by_id.get(&(system.as_str(), destination.as_str(), id.as_str()))?;
                return newest(&mut known.iter().copied());
            }
            let matches = |message: &&super::joining::Message<'_>| {
                message.ids.contains(&id.as_str())
                    && (system.is_empty() || message.system == system)
                    && (destination.is_empty() || message.destination == destination)
            };
            let all = joined.messages.iter().enumerate();
            newest(&mut all.filter(|(_, message)| matches(message)).map(|(index, _)| index))
        }
    }
}

/// Its coordinates, where they name one message; else an id that does; else the context that made it.
pub(super) fn reference(joined: &Joined<'_>, message: usize) -> MessageRef {
    let of = &joined.messages[message];
    if !of.reused
        && let Some(position) = position(joined, message)
    {
        return MessageRef::Position(position);
    }
    let alone = |id: &&&str| {
        joined.by_id.get(&(of.system, of.destination, **id)).is_some_and(|messages| messages.len() == 1)
    };
    let id = of.ids.iter().find(alone).or_else(|| of.ids.first().filter(|_| of.class.is_none()));
    if let Some(id) = id {
        return MessageRef::MessageId {
            system: of.system.to_owned(),
            destination: of.destination.to_owned(),
            id: (*id).to_owned(),
        };
    }
    match (of.class, position(joined, message)) {
        (Some(class), _) => MessageRef::Creation(class),
        (None, Some(position)) => MessageRef::Position(position),
        // Nothing is made a message that has neither place, context nor id.
        (None, None) => MessageRef::Creation(SpanContext::default()),
    }
}

/// Its coordinates.
pub(super) fn position(joined: &Joined<'_>, message: usize) -> Option<Position> {
    let of = &joined.messages[message];
    Some(Position {
        system: of.system.to_owned(),
        cluster: of.cluster.to_owned(),
        destination: of.destination.to_owned(),
        lane: of.lane.to_owned(),
        position: of.position?,
    })
}

/// When it was sent: send start, else origin time, else broker time, else its first event.
pub(super) fn sent_ns(joined: &Joined<'_>, message: usize) -> i64 {
    let first = || {
        let own = joined.messages[message].members.iter();
        own.map(|(index, _)| joined.events[*index].start_ns).min()
    };
    made_ns(joined, message).or_else(first).unwrap_or_default()
}

/// The same, as far as its sender or its broker told it.
pub(super) fn made_ns(joined: &Joined<'_>, message: usize) -> Option<i64> {
    let members = joined.members(message);
    let events = || members.iter().map(|(index, _)| &joined.events[*index]);
    let of_stage =
        |stage: Stage| events().filter(move |event| event.stage == stage).map(|event| event.start_ns).min();
    of_stage(Stage::Send)
        .or_else(|| of_stage(Stage::Create))
        .or_else(|| events().filter_map(|event| event.origin_ns).min())
        .or_else(|| events().filter_map(|event| event.broker_ns).min())
}

/// When a copy began to exist, for the order of copies: its own times alone, since the send that it shares
/// its context with is its original's.
pub(super) fn sent_ns_of_copy(joined: &Joined<'_>, message: usize) -> i64 {
    let own = joined.messages[message].members.iter().map(|(index, _)| &joined.events[*index]);
    own.map(|event| event.broker_ns.unwrap_or(event.start_ns)).min().unwrap_or_default()
}
