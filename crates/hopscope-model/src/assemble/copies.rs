//! Copies: dead letters, retries, redrives. A copy is a message of its own with an edge, although it carries
//! the context of its original; to a person, the chain of retries that one group made is that group's attempts.

use super::joining::{CopiedFrom, Joined, copied_from, text};
use super::{RELATED_MAX, naming};
use crate::{Copy, CopyKind, MessageRef, Position, Value, system};

/// Longest chain of copies that is followed to its original.
const CHAIN_STEPS_MAX: usize = 64;

const RETRY_PREFIX: &str = "%RETRY%";
const DEAD_LETTER_PREFIX: &str = "%DLQ%";

/// What a message is a copy of, by its own headers or by where it lies.
struct Origin<'e> {
    kind: CopyKind,
    /// Group (queue) that made the copy.
    group: &'e str,
    /// What the headers say, where they say something.
    said: Option<CopiedFrom<'e>>,
    /// The original, where the evidence has it.
    message: Option<usize>,
}

/// The edges of one message, and the copies that count as its attempts.
pub(super) struct Copies {
    edges: Vec<Copy>,
    /// Retries of this message, in order of time.
    pub retries: Vec<CopyOf>,
    /// Dead letters of this message or of its retries.
    pub dead_letters: Vec<CopyOf>,
}

/// One copy in the evidence.
pub(super) struct CopyOf {
    pub message: usize,
    pub group: String,
    pub destination: String,
    pub reason: String,
}

impl Copies {
    pub fn into_edges(self) -> Vec<Copy> {
        self.edges
    }
}

/// The message this one is a copy of, and its copies.
pub(super) fn copies(joined: &Joined<'_>, message: usize) -> Copies {
    let mut found = Copies { edges: Vec::new(), retries: Vec::new(), dead_letters: Vec::new() };
    if let Some(origin) = origin(joined, message) {
        found.edges.push(to_original(joined, message, &origin));
    }
    for copy in candidates(joined, message) {
        let Some(origin) = origin(joined, copy).filter(|_| copy != message) else { continue };
        let direct = origin.message == Some(message);
        if !direct && root(joined, copy) != message {
            continue;
        }
        let edge = to_copy(joined, copy, &origin);
        let of = CopyOf {
            message: copy,
            group: edge.group.clone(),
            destination: edge.destination.clone(),
            reason: edge.reason.clone(),
        };
        match origin.kind {
            CopyKind::Retry => found.retries.push(of),
            CopyKind::DeadLetter => found.dead_letters.push(of),
            CopyKind::Redrive => {}
        }
        if found.edges.len() < RELATED_MAX {
            found.edges.push(edge);
        }
    }
    // Without coordinates and ids both have but their context for a name: a link to it would lead back here.
    let own = naming::reference(joined, message);
    for edge in found.edges.iter_mut().filter(|edge| edge.other.as_ref() == Some(&own)) {
        edge.other = None;
    }
    found.retries.sort_by_key(|copy| naming::sent_ns_of_copy(joined, copy.message));
    found
}

/// The copies that count as its attempts.
pub(super) fn retries(joined: &Joined<'_>, message: usize) -> Vec<usize> {
    copies(joined, message).retries.into_iter().map(|copy| copy.message).collect()
}

/// Messages that may be copies of this one: of its context, of its ids, or with headers that say so.
fn candidates(joined: &Joined<'_>, message: usize) -> Vec<usize> {
    let of = &joined.messages[message];
    let same_class = of.class.and_then(|class| joined.by_class.get(&class)).into_iter().flatten().copied();
    let marked = joined.messages.iter().enumerate().filter(|(_, copy)| {
        copy.copied_from.is_some() || copy.destination.starts_with('%') && shares_id(&copy.ids, &of.ids)
    });
    let mut candidates: Vec<usize> = same_class.chain(marked.map(|(index, _)| index)).collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

fn shares_id(a: &[&str], b: &[&str]) -> bool {
    a.iter().any(|id| b.contains(id))
}

/// The first message of the chain that this one is in.
pub(super) fn root(joined: &Joined<'_>, message: usize) -> usize {
    let mut root = message;
    for _ in 0..CHAIN_STEPS_MAX {
        match origin(joined, root).and_then(|origin| origin.message) {
            Some(next) if next != message => root = next,
            _ => break,
        }
    }
    root
}

/// True when this message is a copy of another.
pub(super) fn is_copy(joined: &Joined<'_>, message: usize) -> bool {
    origin(joined, message).is_some()
}

fn origin<'e>(joined: &Joined<'e>, message: usize) -> Option<Origin<'e>> {
    let of = &joined.messages[message];
    if let Some(said) = &of.copied_from {
        let group = said.group;
        return Some(Origin {
            kind: said.kind,
            group,
            message: original_said(joined, message, said),
            said: Some(said.clone()),
        });
    }
    if of.system != system::ROCKETMQ {
        return None;
    }
    let retry = of.destination.strip_prefix(RETRY_PREFIX).map(|group| (CopyKind::Retry, group));
    let dead = || of.destination.strip_prefix(DEAD_LETTER_PREFIX).map(|group| (CopyKind::DeadLetter, group));
    let (kind, group) = retry.or_else(dead)?;
    Some(Origin { kind, group, said: None, message: original_of_topic(joined, message) })
}

/// The message that headers name, by its place, its id, or as the one of the same context that lies there.
fn original_said(joined: &Joined<'_>, message: usize, said: &CopiedFrom<'_>) -> Option<usize> {
    let of = &joined.messages[message];
    let lies_there = |index: &usize| {
        let original = &joined.messages[*index];
        *index != message
            && original.system == of.system
            && original.destination == said.destination
            && said.position.is_none_or(|position| original.position.is_none_or(|own| own == position))
            && (said.position.is_none() || original.position.is_none() || original.lane == said.lane)
            && (said.message_id.is_empty()
                || original.ids.is_empty()
                || original.ids.contains(&said.message_id))
    };
    let first = |candidates: &mut dyn Iterator<Item = usize>| {
        // A redrive goes where its original lay: the original is the one that is no copy itself.
        let mut candidates: Vec<usize> = candidates.filter(lies_there).collect();
        candidates.sort_by_key(|&index| (joined.messages[index].copied_from.is_some(), index));
        candidates.first().copied()
    };
    let by_place = said.position.and_then(|position| {
        let place = |cluster| super::joining::Place {
            system: of.system,
            cluster,
            destination: said.destination,
            lane: said.lane,
            position,
        };
        joined.by_place.get(&place(of.cluster)).or_else(|| joined.by_place.get(&place("")))
    });
    let by_id = || {
        let id = if said.message_id.is_empty() { of.ids.first()? } else { &said.message_id };
        joined.by_id.get(&(of.system, said.destination, *id))
    };
    let by_class = || joined.by_class.get(&of.class?);
    let same_class = |index: &usize| joined.messages[*index].class == of.class;
    by_place
        .and_then(|there| {
            first(&mut there.iter().copied().filter(same_class)).or_else(|| first(&mut there.iter().copied()))
        })
        .or_else(|| first(&mut by_class()?.iter().copied()))
        .or_else(|| first(&mut by_id()?.iter().copied()))
}

/// The message on the logical topic, of the same context or the same id.
fn original_of_topic(joined: &Joined<'_>, message: usize) -> Option<usize> {
    let of = &joined.messages[message];
    let address = joined.members(message).iter().find_map(|(index, _)| {
        let address = joined.events[*index].address.as_str();
        (!address.is_empty()).then_some(address)
    });
    let fits = |index: &usize| {
        let original = &joined.messages[*index];
        *index != message
            && original.system == of.system
            && !original.destination.starts_with('%')
            && address.is_none_or(|address| address == original.destination)
    };
    let same_class = of.class.and_then(|class| joined.by_class.get(&class)).into_iter().flatten();
    let of_ids = address.into_iter().flat_map(|address| {
        of.ids.iter().filter_map(move |id| joined.by_id.get(&(of.system, address, *id))).flatten()
    });
    same_class.chain(of_ids).copied().find(fits)
}

fn to_original(joined: &Joined<'_>, message: usize, origin: &Origin<'_>) -> Copy {
    let of = &joined.messages[message];
    let named = origin.message.map(|original| naming::reference(joined, original));
    let said = origin.said.as_ref();
    let by_header = || {
        let said = said.filter(|said| !said.destination.is_empty())?;
        match said.position {
            Some(position) => Some(MessageRef::Position(Position {
                system: of.system.to_owned(),
                cluster: of.cluster.to_owned(),
                destination: said.destination.to_owned(),
                lane: said.lane.to_owned(),
                position,
            })),
            None => (!said.message_id.is_empty()).then(|| MessageRef::MessageId {
                system: of.system.to_owned(),
                destination: said.destination.to_owned(),
                id: said.message_id.to_owned(),
            }),
        }
    };
    let destination = match (origin.message, said) {
        (Some(original), _) => joined.messages[original].destination,
        (None, Some(said)) => said.destination,
        (None, None) => "",
    };
    Copy {
        other_is_original: true,
        other: named.or_else(by_header),
        destination: destination.to_owned(),
        ..edge(joined, message, origin)
    }
}

fn to_copy(joined: &Joined<'_>, copy: usize, origin: &Origin<'_>) -> Copy {
    Copy {
        other_is_original: false,
        other: Some(naming::reference(joined, copy)),
        destination: joined.messages[copy].destination.to_owned(),
        ..edge(joined, copy, origin)
    }
}

/// What both directions have in common, told by the copy.
fn edge(joined: &Joined<'_>, copy: usize, origin: &Origin<'_>) -> Copy {
    let members = joined.members(copy);
    let events = || members.iter().map(|(index, _)| &joined.events[*index]);
    let attempts = events().find_map(|event| match event.attribute("hopscope.copied_from.attempts") {
        Some(Value::Int(attempts)) => u32::try_from(*attempts).ok(),
        _ => None,
    });
    let said = |key: &str| {
        let marked = events().filter(|event| copied_from(event).is_some());
        marked.map(|event| text(event, key)).find(|said| !said.is_empty()).unwrap_or_default().to_owned()
    };
    Copy {
        kind: origin.kind,
        other_is_original: false,
        other: None,
        destination: String::new(),
        group: origin.group.to_owned(),
        attempts,
        reason: said("hopscope.copied_from.reason"),
        error_type: said("hopscope.copied_from.error_type"),
    }
}
