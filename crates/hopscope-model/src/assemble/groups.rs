//! One story per group: who the groups are, what they did, where they stand.

use super::attempts::{self, At, Delivery};
use super::copies::{Copies, CopyOf};
use super::joining::Joined;
use super::latencies::{self, Stored};
use super::{GROUP_FORGOTTEN_NS, Story, naming, states};
use crate::{Attempt, Evidence, GroupStory, Latency, MessageEvent, Point, Progress, ProgressKind, Stage};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known of one group with respect to one message.
pub(super) struct Standing<'a> {
    /// Newest floor on the message's lane.
    pub floor: Option<&'a Progress>,
    /// This very position, settled by itself.
    pub settled: Option<&'a Progress>,
    /// Newest sign of it on the destination.
    pub last_seen_ns: Option<i64>,
    /// It tells of what it does with single messages, at least with others.
    pub reports: bool,
}

/// The groups that have to do with the message, in order of name. Without any, one story of the group
/// without name says how far the message itself came.
pub(super) fn groups(
    story: &Story<'_, '_>,
    copies: &Copies,
    evidence: &Evidence,
    as_of_ns: i64,
) -> Vec<GroupStory> {
    let mut events_of: BTreeMap<String, Vec<At<'_>>> = BTreeMap::new();
    let named = GroupNames::new(story);
    for at in story.consumer_events() {
        events_of.entry(named.of(at.1).to_owned()).or_default().push(at);
    }
    let standings = standings(story, evidence);
    let mut names: BTreeSet<&str> =
        events_of.keys().map(String::as_str).chain(standings.keys().copied()).collect();
    names.extend(copies.retries.iter().chain(&copies.dead_letters).map(|copy| copy.group.as_str()));
    if names.len() > 1 && !events_of.contains_key("") {
        names.remove("");
    }
    if names.is_empty() {
        return vec![states::without_groups(story, copies, as_of_ns)];
    }
    let stored = latencies::stored(story);
    let alone = names.len() == 1;
    let of_group = |group: &&str| {
        let events = events_of.get(*group).map(Vec::as_slice).unwrap_or_default();
        let attempts = attempts_of(story, group, events, copies, stored);
        let dead_letter =
            copies.dead_letters.iter().find(|copy| copy.group == *group || (alone && copy.group.is_empty()));
        let standing = standings.get(group);
        let decided = states::decide(story, group, &attempts, standing, dead_letter, as_of_ns);
        GroupStory {
            group: (*group).to_owned(),
            state: decided.state,
            grade: decided.grade,
            why: decided.why,
            total: total(story, &attempts, events),
            attempts,
            progress: decided.progress,
        }
    };
    names.iter().map(of_group).collect()
}

/// Its own deliveries, then those of the copies that it made to try again.
fn attempts_of(
    story: &Story<'_, '_>,
    group: &str,
    events: &[At<'_>],
    copies: &Copies,
    stored: Option<Stored<'_>>,
) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for delivery in attempts::deliveries(events) {
        let before = attempts.last().map_or(0, |attempt| attempt.number);
        // Later ones came when the broker gave it again, and nobody says when that was.
        let first = delivery_number(&delivery).map_or(attempts.is_empty(), |number| number <= 1);
        attempts.push(attempts::attempt(&delivery, before, stored.filter(|_| first)));
    }
    for copy in copies.retries.iter().filter(|copy| copy.group == group) {
        let before = attempts.last().map_or(0, |attempt| attempt.number);
        attempts.extend(attempts_of_copy(story.joined, group, copy, before));
    }
    attempts.sort_by_key(|attempt| attempt.start_ns);
    attempts
}

fn delivery_number(delivery: &Delivery<'_>) -> Option<u32> {
    let events = [delivery.receive, delivery.process, delivery.settle];
    events.into_iter().flatten().find_map(|(_, event)| event.attempt)
}

/// The deliveries of a retry copy. Its events are of another message: the attempt refers to that.
fn attempts_of_copy(joined: &Joined<'_>, group: &str, copy: &CopyOf, number_before: u32) -> Vec<Attempt> {
    let story = Story::new(joined, copy.message);
    let named = GroupNames::new(&story);
    let own = |at: &At<'_>| named.of(at.1) == group || named.of(at.1).is_empty();
    let events: Vec<At<'_>> = story.consumer_events().filter(own).collect();
    // Its store time is its own; the send that it shares its context with is its original's.
    let stored =
        latencies::stored(&story).filter(|_| story.events().any(|(_, event)| event.broker_ns.is_some()));
    let reference = naming::reference(joined, copy.message);
    let mut attempts: Vec<Attempt> = Vec::new();
    for delivery in attempts::deliveries(&events) {
        let before = attempts.last().map_or(number_before, |attempt| attempt.number);
        let stored = stored.filter(|_| attempts.is_empty());
        let attempt = attempts::attempt(&delivery, before, stored);
        attempts.push(Attempt { events: Vec::new(), of_copy: Some(reference.clone()), ..attempt });
    }
    attempts
}

/// First send to the last settled or processed event of the group.
fn total(story: &Story<'_, '_>, attempts: &[Attempt], events: &[At<'_>]) -> Option<Latency> {
    let send = story.sends().next().map(|(_, send)| send)?;
    let end_ns = attempts.iter().filter_map(|attempt| attempt.end_ns).max()?;
    let last = events.iter().rev().find(|(_, event)| event.end_ns() == Some(end_ns)).map(|(_, event)| *event);
    let settled = last.is_some_and(|event| event.stage == Stage::Settle);
    Some(Latency {
        ns: end_ns.saturating_sub(send.start_ns),
        from: Point::SendStart,
        to: if settled { Point::Settled } else { Point::ProcessEnd },
        across_clocks: last.is_none_or(|last| !latencies::same_clock(send, last)),
        uncertainty_ns: None,
    })
}

/// The group of consumer events that name none: that of a span above or below, else the only one of their
/// service.
struct GroupNames<'e> {
    by_span: HashMap<crate::SpanId, &'e str>,
    by_service: HashMap<&'e str, Option<&'e str>>,
}

impl<'e> GroupNames<'e> {
    fn new(story: &Story<'_, 'e>) -> Self {
        let (mut by_span, mut by_service) = (HashMap::new(), HashMap::new());
        for (_, event) in story.consumer_events().filter(|(_, event)| !event.group.is_empty()) {
            let group = event.group.as_str();
            for span in [event.span, event.parent] {
                if !span.is_zero() {
                    by_span.entry(span).or_insert(group);
                }
            }
            let known = by_service.entry(event.service.as_str()).or_insert(Some(group));
            if *known != Some(group) {
                *known = None;
            }
        }
        Self { by_span, by_service }
    }

    fn of<'a>(&self, event: &'a MessageEvent) -> &'a str
    where
        'e: 'a,
    {
        if !event.group.is_empty() {
            return &event.group;
        }
        let by_span = [event.parent, event.span].iter().find_map(|span| self.by_span.get(span).copied());
        by_span.or_else(|| self.by_service.get(event.service.as_str()).copied().flatten()).unwrap_or_default()
    }
}

/// The groups that were seen on the message's destination, by its progress samples.
fn standings<'a>(story: &Story<'_, 'a>, evidence: &'a Evidence) -> BTreeMap<&'a str, Standing<'a>> {
    let of = &story.joined.messages[story.message];
    let Some(position) = of.position else { return BTreeMap::new() };
    let sent_ns = naming::sent_ns(story.joined, story.message);
    let made_ns = naming::made_ns(story.joined, story.message);
    // Nobody passes a message before it is sent: such a floor is of a destination that was made anew since.
    let of_an_earlier_topic =
        |next: i64, at_ns: i64| next > position && made_ns.is_some_and(|made_ns| at_ns < made_ns);
    let mut standings: BTreeMap<&'a str, Standing<'a>> = BTreeMap::new();
    let here = evidence.progress.iter().filter(|progress| {
        progress.system == of.system
            && progress.destination == of.destination
            && (progress.cluster.is_empty() || of.cluster.is_empty() || progress.cluster == of.cluster)
    });
    for progress in here {
        let group = progress.group.as_str();
        let new = Standing { floor: None, settled: None, last_seen_ns: None, reports: false };
        let standing = standings.entry(group).or_insert(new);
        standing.last_seen_ns = standing.last_seen_ns.max(Some(progress.at_ns));
        let on_lane = progress.lane == of.lane;
        match progress.kind {
            ProgressKind::Floor { next } if on_lane && !of_an_earlier_topic(next, progress.at_ns) => {
                if standing.floor.is_none_or(|known| known.at_ns <= progress.at_ns) {
                    standing.floor = Some(progress);
                }
            }
            ProgressKind::Floor { .. } => {}
            ProgressKind::Settled { position: settled } => {
                standing.reports = true;
                if on_lane && settled == position {
                    standing.settled = Some(progress);
                }
            }
            ProgressKind::Seen => standing.reports = true,
        }
    }
    for event in story.joined.events {
        let single = matches!(event.stage, Stage::Receive | Stage::Process);
        if let Some(standing) =
            standings.get_mut(event.group.as_str()).filter(|_| single && event.destination == of.destination)
        {
            standing.reports = true;
            standing.last_seen_ns = standing.last_seen_ns.max(Some(event.start_ns));
        }
    }
    let own: BTreeSet<&str> = story.consumer_events().map(|(_, event)| event.group.as_str()).collect();
    let forgotten = |standing: &Standing<'_>| {
        standing.last_seen_ns.is_none_or(|seen| seen < sent_ns.saturating_sub(GROUP_FORGOTTEN_NS))
    };
    standings.retain(|group, standing| own.contains(group) || !forgotten(standing));
    standings
}
