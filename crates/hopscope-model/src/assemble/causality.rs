//! One hop of causes and effects: the messages whose handling sent this one, and those that its handling sent.

use super::joining::Joined;
use super::{RELATED_MAX, copies, naming};
use crate::{MessageEvent, Related, SpanContext, Stage};
use std::collections::{HashMap, HashSet, VecDeque};

/// Longest chain of ordinary spans between handling and sending, upward.
pub(super) const STEPS_MAX: usize = 64;

/// Most ordinary spans of one handler that are searched for sends, downward.
pub(super) const SPANS_MAX: usize = 512;

/// The messages whose handling caused this one: up from its sends, through ordinary spans, to a handler.
pub(super) fn causes(joined: &Joined<'_>, message: usize) -> Vec<Related> {
    let mut causes = Vec::new();
    let mut seen = HashSet::from([message]);
    for (index, _) in joined.members(message) {
        let send = &joined.events[index];
        if !matches!(send.stage, Stage::Create | Stage::Send) {
            continue;
        }
        let (handlers, through) = handlers_above(joined, send);
        for handler in handlers {
            let handled = &joined.events[handler];
            // What a batch handler copied is one message of the batch; the others have no part in it.
            if is_copy_by(joined, handled, message) && !may_be_copy_of(joined, handled, message) {
                continue;
            }
            let Some(cause) = joined.message_of[handler].filter(|cause| seen.insert(*cause)) else {
                continue;
            };
            if causes.len() == RELATED_MAX {
                break;
            }
            causes.push(related(joined, cause, &handled.service, handled, send, through.clone()));
        }
    }
    sorted(causes)
}

/// The handlers nearest above a send, and the spans between, nearest first. A batch handler's span handles
/// several messages: all of them are causes.
fn handlers_above(joined: &Joined<'_>, send: &MessageEvent) -> (Vec<usize>, Vec<SpanContext>) {
    let mut through = Vec::new();
    let mut above = SpanContext::new(send.trace, send.parent);
    for _ in 0..STEPS_MAX {
        let Some(context) = above else { break };
        let events = joined.by_span.get(&context).map(Vec::as_slice).unwrap_or_default();
        let handler =
            |index: &&usize| matches!(joined.events[**index].stage, Stage::Process | Stage::Receive);
        let handlers: Vec<usize> = events.iter().filter(handler).copied().collect();
        if !handlers.is_empty() {
            return (handlers, through);
        }
        let Some(&first) = events.first() else { break };
        if through.contains(&context) {
            break;
        }
        through.push(context);
        above = SpanContext::new(send.trace, joined.events[first].parent);
    }
    (Vec::new(), through)
}

/// The messages that its handling caused, that of its retries too, which are attempts of it: down from its handlers,
/// through ordinary spans, to sends.
pub(super) fn effects(joined: &Joined<'_>, message: usize) -> Vec<Related> {
    let below = spans_below(joined);
    let mut effects = Vec::new();
    let retries = copies::retries(joined, message);
    let mut seen: HashSet<usize> = retries.iter().copied().chain([message]).collect();
    let handled = std::iter::once(message).chain(retries);
    for (index, _) in handled.flat_map(|message| joined.members(message)) {
        let handler = &joined.events[index];
        if !matches!(handler.stage, Stage::Process | Stage::Receive) {
            continue;
        }
        for (send_index, through) in sends_below(joined, &below, handler) {
            let send = &joined.events[send_index];
            for effect in joined.messages_of(send_index) {
                // What a handler sends on to a retry topic or dead-letter queue is a copy, not an effect: of this
                // message, or of another that it had in the same batch.
                let copied = is_copy_by(joined, handler, effect)
                    || copies::is_copy(joined, effect)
                        && copies::root(joined, effect) == copies::root(joined, message);
                if effects.len() < RELATED_MAX && !copied && seen.insert(effect) {
                    effects.push(related(joined, effect, &handler.service, handler, send, through.clone()));
                }
            }
        }
    }
    sorted(effects)
}

/// True where the handler's own group made that copy, of what it was given from there: of this message, or of another
/// one that it had in the same batch, which need not be in the evidence.
fn is_copy_by(joined: &Joined<'_>, handler: &MessageEvent, copy: usize) -> bool {
    joined.messages[copy].copied_from.as_ref().is_some_and(|said| {
        said.destination == handler.destination && (said.group.is_empty() || said.group == handler.group)
    })
}

/// Whether nothing that the copy says of its original speaks against this event.
fn may_be_copy_of(joined: &Joined<'_>, handled: &MessageEvent, copy: usize) -> bool {
    let Some(said) = &joined.messages[copy].copied_from else { return true };
    let same_position = said.position.zip(handled.position).is_none_or(|(said, own)| said == own);
    let same_lane = said.position.is_none() || said.lane == handled.lane;
    let is_unnamed = said.message_id.is_empty() || handled.message_id.is_empty();
    same_position && same_lane && (is_unnamed || said.message_id == handled.message_id)
}

/// Events by the span above them.
pub(super) fn spans_below(joined: &Joined<'_>) -> HashMap<SpanContext, Vec<usize>> {
    let mut below: HashMap<SpanContext, Vec<usize>> = HashMap::new();
    for events in joined.by_span.values() {
        for &index in events {
            let event = &joined.events[index];
            if let Some(parent) = SpanContext::new(event.trace, event.parent) {
                below.entry(parent).or_default().push(index);
            }
        }
    }
    for events in below.values_mut() {
        events.sort_by_key(|&index| (joined.events[index].start_ns, index));
    }
    below
}

/// The sends below a handler, breadth first, each with the spans between, nearest to the handler first.
fn sends_below(
    joined: &Joined<'_>,
    below: &HashMap<SpanContext, Vec<usize>>,
    handler: &MessageEvent,
) -> Vec<(usize, Vec<SpanContext>)> {
    let mut sends = Vec::new();
    let mut visited: HashSet<SpanContext> = HashSet::new();
    let mut queue: VecDeque<(SpanContext, Vec<SpanContext>)> =
        handler.context().map(|context| (context, Vec::new())).into_iter().collect();
    while let Some((context, through)) = queue.pop_front() {
        if visited.len() == SPANS_MAX || !visited.insert(context) {
            continue;
        }
        for &index in below.get(&context).into_iter().flatten() {
            let event = &joined.events[index];
            match event.stage {
                Stage::Send | Stage::Create => sends.push((index, through.clone())),
                Stage::Work if through.len() < STEPS_MAX => {
                    let mut through = through.clone();
                    through.extend(event.context());
                    queue.extend(event.context().map(|context| (context, through)));
                }
                _ => {}
            }
        }
    }
    sends
}

fn related(
    joined: &Joined<'_>,
    other: usize,
    service: &str,
    handler: &MessageEvent,
    send: &MessageEvent,
    through: Vec<SpanContext>,
) -> Related {
    let of = &joined.messages[other];
    Related {
        message: naming::reference(joined, other),
        creation: of.class,
        system: of.system.to_owned(),
        destination: of.destination.to_owned(),
        service: service.to_owned(),
        sent_ns: naming::sent_ns(joined, other),
        after_ns: (handler.service == send.service).then(|| send.start_ns.saturating_sub(handler.start_ns)),
        through,
    }
}

fn sorted(mut related: Vec<Related>) -> Vec<Related> {
    related.sort_by(|a, b| a.sent_ns.cmp(&b.sent_ns).then_with(|| a.message.cmp(&b.message)));
    related
}
