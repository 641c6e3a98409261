//! What to ask a store next, so that one message can be told: breadth first from what is known already.
//!
//! It never asks for a whole trace: a message inside a trace of a million events needs a few of them.

use super::causality::{SPANS_MAX, STEPS_MAX};
use super::joining::{Joined, is_commit};
use super::{causality, copies, joining, naming};
use crate::{Evidence, Key, MessageEvent, MessageRef, Position, SpanContext, Stage, system};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// Most keys of one answer of [`wants`].
pub const WANTED_KEYS_MAX: usize = 64;

/// The keys to ask next for the story of this message; empty when nothing that could be asked would add to
/// it. `asked` are those that were asked before: the same evidence and the same set give the same answer.
pub fn wants(message: &MessageRef, evidence: &Evidence, asked: &BTreeSet<Key>) -> Vec<Key> {
    let mut wanted = Wanted { asked, keys: Vec::new() };
    wanted.want(match message {
        MessageRef::Position(at) => Key::Position(at.clone()),
        MessageRef::Creation(context) => Key::Creation(*context),
        MessageRef::MessageId { system, destination, id } => {
            Key::MessageId { system: system.clone(), destination: destination.clone(), id: id.clone() }
        }
    });
    let joined = joining::join(&evidence.events);
    if let Some(found) = naming::find(&joined, message) {
        itself(&joined, found, &mut wanted);
        settlements(&joined, found, &mut wanted);
        upward(&joined, found, &mut wanted);
        downward(&joined, found, &mut wanted);
    }
    wanted.keys
}

struct Wanted<'a> {
    asked: &'a BTreeSet<Key>,
    keys: Vec<Key>,
}

impl Wanted<'_> {
    fn want(&mut self, key: Key) {
        if self.keys.len() < WANTED_KEYS_MAX && !self.asked.contains(&key) && !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }
}

/// By everything that names it, where it was copied from, and where the groups stand.
fn itself(joined: &Joined<'_>, message: usize, wanted: &mut Wanted<'_>) {
    let of = &joined.messages[message];
    if let Some(position) = naming::position(joined, message) {
        wanted.want(Key::Position(position.clone()));
        wanted.want(Key::Progress(position));
    }
    let members = joined.members(message);
    let contexts: BTreeSet<SpanContext> = of
        .class
        .into_iter()
        .chain(members.iter().filter_map(|(index, _)| joined.events[*index].creation))
        .collect();
    contexts.into_iter().take(STEPS_MAX).for_each(|context| wanted.want(Key::Creation(context)));
    // Copies have the id of their original and lie elsewhere.
    let copied = matches!(of.system, system::RABBITMQ | system::ROCKETMQ);
    for id in &of.ids {
        let destination = if copied { String::new() } else { of.destination.to_owned() };
        wanted.want(Key::MessageId { system: of.system.to_owned(), destination, id: (*id).to_owned() });
    }
    if let Some(said) = of.copied_from.as_ref().filter(|said| !said.destination.is_empty()) {
        match said.position {
            Some(position) => wanted.want(Key::Position(Position {
                system: of.system.to_owned(),
                cluster: of.cluster.to_owned(),
                destination: said.destination.to_owned(),
                lane: said.lane.to_owned(),
                position,
            })),
            None if !said.message_id.is_empty() => wanted.want(Key::MessageId {
                system: of.system.to_owned(),
                destination: said.destination.to_owned(),
                id: said.message_id.to_owned(),
            }),
            None => {}
        }
    }
}

/// What its consumers did below the span that had it; and what became of its copies: those of the broker have its context,
/// those that a client sent have one of their own, by which their readers are found.
fn settlements(joined: &Joined<'_>, message: usize, wanted: &mut Wanted<'_>) {
    let root = copies::root(joined, message);
    let of_class = joined.messages[message].class.and_then(|class| joined.by_class.get(&class));
    let marked = joined.messages.iter().enumerate().filter(|(_, copy)| copy.copied_from.is_some());
    let marked = marked.map(|(copy, _)| copy);
    let copies: BTreeSet<usize> = of_class.into_iter().flatten().copied().chain(marked).collect();
    let copies = copies.into_iter().filter(|copy| *copy != message && copies::root(joined, *copy) == root);
    let copies: Vec<usize> = copies.take(STEPS_MAX).collect();
    for context in copies.iter().filter_map(|copy| joined.messages[*copy].class) {
        wanted.want(Key::Creation(context));
    }
    let all = std::iter::once(message).chain(copies);
    for (index, _) in all.flat_map(|message| joined.members(message)) {
        let event = &joined.events[index];
        if matches!(event.stage, Stage::Receive | Stage::Process) && !event.span.is_zero() {
            wanted.want(Key::Children(event.span));
        }
    }
}

/// From its sends through the spans above to the handler that caused them, and what names the message that
/// was handled.
fn upward(joined: &Joined<'_>, message: usize, wanted: &mut Wanted<'_>) {
    for (index, _) in joined.members(message) {
        let send = &joined.events[index];
        if !matches!(send.stage, Stage::Create | Stage::Send) {
            continue;
        }
        let mut above = SpanContext::new(send.trace, send.parent);
        let mut visited = HashSet::new();
        while let Some(context) =
            above.filter(|context| visited.len() < STEPS_MAX && visited.insert(*context))
        {
            wanted.want(Key::Span(context.span));
            let events = joined.by_span.get(&context).map(Vec::as_slice).unwrap_or_default();
            let handler = |event: &&MessageEvent| matches!(event.stage, Stage::Process | Stage::Receive);
            let handled: Vec<&MessageEvent> =
                events.iter().map(|index| &joined.events[*index]).filter(handler).take(STEPS_MAX).collect();
            let names_its_message =
                |event: &&MessageEvent| event.creation.is_some() || event.position.is_some();
            let unnamed = handled.iter().find(|event| !names_its_message(event) && !event.parent.is_zero());
            if let Some(unnamed) = unnamed {
                // A handler below its receive span: that one knows which message it is.
                wanted.want(Key::Span(unnamed.parent));
            }
            for creation in handled.iter().filter_map(|event| event.creation) {
                wanted.want(Key::Creation(creation));
            }
            if !handled.is_empty() {
                break;
            }
            let next = events.first().map(|index| joined.events[*index].parent);
            above = next.and_then(|parent| SpanContext::new(send.trace, parent));
        }
    }
}

/// From its handlers, and those of its retries, through the spans below to the sends that they caused.
fn downward(joined: &Joined<'_>, message: usize, wanted: &mut Wanted<'_>) {
    let below = causality::spans_below(joined);
    let handled = std::iter::once(message).chain(copies::retries(joined, message));
    let members: Vec<_> = handled.flat_map(|message| joined.members(message)).collect();
    let handlers = members.iter().map(|(index, _)| &joined.events[*index]);
    let handlers =
        handlers.filter(|event| matches!(event.stage, Stage::Process | Stage::Receive) && !is_commit(event));
    let mut queue: VecDeque<SpanContext> = handlers.filter_map(MessageEvent::context).collect();
    let mut visited = HashSet::new();
    while let Some(context) = queue.pop_front() {
        if visited.len() == SPANS_MAX {
            break;
        }
        if !visited.insert(context) {
            continue;
        }
        wanted.want(Key::Children(context.span));
        for &index in below.get(&context).into_iter().flatten() {
            let event = &joined.events[index];
            match event.stage {
                Stage::Work => queue.extend(event.context()),
                // Where it lies is said by the events that it made, not by the span that made it.
                Stage::Create => {
                    event.context().into_iter().for_each(|context| wanted.want(Key::Creation(context)))
                }
                _ => {}
            }
        }
    }
}
