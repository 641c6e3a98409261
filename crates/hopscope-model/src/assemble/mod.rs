//! From evidence to the story of one message: [`assemble`], [`messages`] and [`wants`].
//!
//! Pure and total: whatever the events say, the answer is a story, and what is missing or odd in it is a
//! [`Gap`](crate::Gap). The clock is an argument.

mod attempts;
mod causality;
mod copies;
mod gaps;
mod groups;
mod joining;
mod latencies;
mod naming;
mod states;
#[cfg(test)]
mod tests;
mod wants;
mod words;

use crate::{Evidence, Join, JoinedEvent, MessageEvent, MessageRef, Stage, Subject, Trajectory};
use joining::Joined;
use std::collections::HashSet;
pub use wants::{WANTED_KEYS_MAX, wants};

/// A group counts as alive for this long after its last sign: 15 minutes. Longer than the commit and
/// heartbeat intervals that people configure, short enough to see a group that went away.
pub const GROUP_LIVENESS_NS: i64 = 15 * 60 * 1_000_000_000;

/// A group whose last sign is this much older than a message has nothing to do with it: 7 days.
pub const GROUP_FORGOTTEN_NS: i64 = 7 * 24 * 3_600 * 1_000_000_000;

/// Evidence may be under way for this long: exporters batch for up to 10 seconds, twice.
pub const EVIDENCE_GRACE_NS: i64 = 20 * 1_000_000_000;

/// Evidence that arrives this long after the fact is late: 5 minutes.
pub const EVIDENCE_LATE_NS: i64 = 5 * 60 * 1_000_000_000;

/// Most causes, effects or copies of one message in its story.
pub const RELATED_MAX: usize = 1_000;

/// The story of one message, told at `as_of_ns` (ns since the epoch) out of evidence that may hold events of
/// many messages. `None` when no event of this message is in the evidence.
pub fn assemble(message: &MessageRef, evidence: &Evidence, as_of_ns: i64) -> Option<Trajectory> {
    let joined = joining::join(&evidence.events);
    let found = naming::find(&joined, message)?;
    let story = Story::new(&joined, found);
    let copies = copies::copies(&joined, found);
    let sends = latencies::sends(&story);
    let groups = groups::groups(&story, &copies, evidence, as_of_ns);
    let gaps = gaps::gaps(&story, &groups, evidence, as_of_ns);
    Some(Trajectory {
        subject: subject(&story),
        sends,
        causes: causality::causes(&joined, found),
        effects: causality::effects(&joined, found),
        copies: copies.into_edges(),
        groups,
        gaps,
        events: story.into_joined_events(),
        as_of_ns,
    })
}

/// The messages that the events of this evidence are of, newest first, each by its preferred reference:
/// coordinates where they name one message, else a message id that does, else the creation context.
pub fn messages(evidence: &Evidence) -> Vec<MessageRef> {
    let joined = joining::join(&evidence.events);
    let mut found: Vec<(i64, MessageRef)> = (0..joined.messages.len())
        .map(|message| (naming::sent_ns(&joined, message), naming::reference(&joined, message)))
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // Messages of one context that nothing but their destination tells apart have one reference.
    let mut seen = HashSet::new();
    found.retain(|(_, reference)| seen.insert(reference.clone()));
    found.into_iter().map(|(_, reference)| reference).collect()
}

/// One message and its events, in order of time: what the parts of a story are told from.
struct Story<'j, 'e> {
    joined: &'j Joined<'e>,
    message: usize,
    members: Vec<(usize, Join)>,
}

impl<'j, 'e> Story<'j, 'e> {
    fn new(joined: &'j Joined<'e>, message: usize) -> Self {
        Self { joined, message, members: joined.members(message) }
    }

    /// Its events with their index in [`Trajectory::events`].
    fn events(&self) -> impl Iterator<Item = (usize, &'e MessageEvent)> {
        let events = self.joined.events;
        self.members.iter().enumerate().map(move |(at, (index, _))| (at, &events[*index]))
    }

    fn sends(&self) -> impl Iterator<Item = (usize, &'e MessageEvent)> {
        self.events().filter(|(_, event)| event.stage == Stage::Send)
    }

    /// The send whose acknowledgement counts: the first that is known to have gone well, else the first.
    fn send(&self) -> Option<&'e MessageEvent> {
        let ok = self.sends().find(|(_, send)| send.outcome == crate::Outcome::Ok);
        ok.or_else(|| self.sends().next()).map(|(_, send)| send)
    }

    fn consumer_events(&self) -> impl Iterator<Item = (usize, &'e MessageEvent)> {
        self.events().filter(|(_, event)| is_consumer(event.stage))
    }

    fn into_joined_events(self) -> Vec<JoinedEvent> {
        let anchor = self.anchor();
        let clone = |(at, (index, by)): (usize, &(usize, Join))| JoinedEvent {
            event: self.joined.events[*index].clone(),
            by: if at == anchor { Join::Subject } else { *by },
        };
        self.members.iter().enumerate().map(clone).collect()
    }

    /// The event that the others were put to: the first send, else the first of all.
    fn anchor(&self) -> usize {
        let first = self.events().find(|(_, event)| matches!(event.stage, Stage::Create | Stage::Send));
        first.map_or(0, |(at, _)| at)
    }
}

fn is_consumer(stage: Stage) -> bool {
    matches!(stage, Stage::Receive | Stage::Process | Stage::Settle)
}

fn subject(story: &Story<'_, '_>) -> Subject {
    let of = &story.joined.messages[story.message];
    let mut subject = Subject {
        system: of.system.to_owned(),
        cluster: of.cluster.to_owned(),
        destination: of.destination.to_owned(),
        lane: of.lane.to_owned(),
        position: of.position,
        creation: of.class,
        sent_ns: naming::sent_ns(story.joined, story.message),
        ..Subject::default()
    };
    subject.traces.extend(of.class.map(|class| class.trace));
    for (_, event) in story.events() {
        push_new(&mut subject.message_ids, &event.message_id);
        push_new(&mut subject.correlation_ids, &event.correlation_id);
        event.keys.iter().for_each(|key| push_new(&mut subject.keys, key));
        if !event.trace.is_zero() && !subject.traces.contains(&event.trace) {
            subject.traces.push(event.trace);
        }
        for (known, said) in [(&mut subject.address, &event.address), (&mut subject.lane, &event.lane)] {
            if known.is_empty() {
                known.clone_from(said);
            }
        }
        if subject.sender.is_empty() && matches!(event.stage, Stage::Create | Stage::Send) {
            subject.sender.clone_from(&event.service);
        }
        subject.body_bytes = subject.body_bytes.or(event.body_bytes);
    }
    subject
}

fn push_new(list: &mut Vec<String>, text: &str) {
    if !text.is_empty() && !list.iter().any(|known| known == text) {
        list.push(text.to_owned());
    }
}
