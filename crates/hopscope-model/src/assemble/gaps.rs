//! What is missing or odd, each in one English sentence with the facts in it.

use super::{EVIDENCE_GRACE_NS, EVIDENCE_LATE_NS, Story, copies, is_consumer, words};
use crate::{Evidence, Gap, GapKind, GroupStory, Latency, MessageEvent, Outcome, Stage, State, Value, Why};
use std::collections::BTreeSet;

/// A span without end is called so after this long: 15 minutes. Before, it may still be running.
const NEVER_ENDED_AFTER_NS: i64 = 15 * 60 * 1_000_000_000;

/// Most gaps of one kind in a story: a thousand redeliveries must not give a thousand sentences.
const GAPS_OF_A_KIND_MAX: usize = 8;

/// The gaps of a story, in order of kind.
pub(super) fn gaps(
    story: &Story<'_, '_>,
    groups: &[GroupStory],
    evidence: &Evidence,
    as_of_ns: i64,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut add = |kind: GapKind, details: &mut dyn Iterator<Item = String>| {
        let details: BTreeSet<String> = details.take(64).collect();
        gaps.extend(details.into_iter().take(GAPS_OF_A_KIND_MAX).map(|detail| Gap { kind, detail }));
    };
    add(GapKind::SenderNotInstrumented, &mut sender(story).into_iter());
    add(GapKind::ReceiverNotSeen, &mut receiver(story, groups).into_iter());
    add(GapKind::ClockSkew, &mut skews(groups));
    add(GapKind::LateEvidence, &mut late(story, groups, as_of_ns));
    add(GapKind::PositionReused, &mut reused(story).into_iter());
    add(GapKind::ContextLost, &mut context(story));
    add(GapKind::LimitHit, &mut limit(evidence).into_iter());
    add(GapKind::NeverEnded, &mut never_ended(story, as_of_ns));
    add(GapKind::NotSearched, &mut not_searched(evidence));
    gaps
}

fn who(event: &MessageEvent) -> &str {
    if event.service.is_empty() { "a service without name" } else { &event.service }
}

fn sender(story: &Story<'_, '_>) -> Option<String> {
    let sent = story.events().any(|(_, event)| matches!(event.stage, Stage::Create | Stage::Send));
    // The broker or a consumer made a copy: its original has a sender.
    let copied = copies::is_copy(story.joined, story.message);
    let (_, received) = story.consumer_events().next().filter(|_| !sent && !copied)?;
    Some(format!("{} received it, and its sender reported nothing", who(received)))
}

fn receiver(story: &Story<'_, '_>, groups: &[GroupStory]) -> Option<String> {
    let stored = |send: &&MessageEvent| !matches!(send.outcome, Outcome::Failed { .. });
    let send = story.send().filter(stored)?;
    let explained = groups.iter().any(|group| {
        !matches!(
            group.state,
            State::Stored | State::ProducedUnconfirmed | State::Unknown | State::NotInstrumented
        )
    });
    let received = story.consumer_events().next().is_some();
    (!explained && !received).then(|| format!("{} sent it, and no receiver was seen", who(send)))
}

fn skews(groups: &[GroupStory]) -> impl Iterator<Item = String> {
    groups.iter().flat_map(|group| {
        let of_attempts = group.attempts.iter().flat_map(|attempt| {
            [attempt.queue, attempt.wait, attempt.settle].map(|latency| (latency, attempt.service.as_str()))
        });
        of_attempts.filter_map(|(latency, service)| skew(latency?, service))
    })
}

fn skew(latency: Latency, service: &str) -> Option<String> {
    let uncertainty = i64::try_from(latency.uncertainty_ns.unwrap_or_default()).unwrap_or(i64::MAX);
    let beyond = latency.across_clocks && latency.ns < 0 && latency.ns.saturating_add(uncertainty) < 0;
    beyond.then(|| {
        let service = if service.is_empty() { "the consumer" } else { service };
        format!(
            "by its clock {service} had it {} before the point \"{}\": two clocks differ by at least that",
            words::duration(latency.ns),
            latency.from
        )
    })
}

fn late(story: &Story<'_, '_>, groups: &[GroupStory], as_of_ns: i64) -> impl Iterator<Item = String> {
    // Evidence that all came at once, long after, is a replay or an import and not late.
    let first_ns = story.events().map(|(_, event)| event.received_ns).min().unwrap_or_default();
    let arrived = story.events().filter_map(|(_, event)| {
        let happened = event.end_ns().unwrap_or(event.start_ns);
        let late_ns = event.received_ns.saturating_sub(happened);
        let late =
            late_ns > EVIDENCE_LATE_NS && event.received_ns.saturating_sub(first_ns) > EVIDENCE_LATE_NS;
        late.then(|| {
            format!("{} told of its {} {} after the fact", who(event), event.stage, words::duration(late_ns))
        })
    });
    let may_arrive = groups.iter().filter_map(move |group| {
        let Why::Passed { group: name, at_ns, .. } = &group.why else { return None };
        let fresh = group.state == State::Unknown && as_of_ns.saturating_sub(*at_ns) < EVIDENCE_GRACE_NS;
        fresh.then(|| format!("{name} passed it a moment ago: what it did may still be on its way here"))
    });
    arrived.collect::<Vec<_>>().into_iter().chain(may_arrive.collect::<Vec<_>>())
}

fn reused(story: &Story<'_, '_>) -> Option<String> {
    let of = &story.joined.messages[story.message];
    let position = of.position.filter(|_| of.reused)?;
    let lane = if of.lane.is_empty() { String::new() } else { format!("/{}", of.lane) };
    Some(format!(
        "position {position} of {}{lane} names several messages: the destination was made anew, and their events are \
         kept apart",
        of.destination
    ))
}

fn context(story: &Story<'_, '_>) -> impl Iterator<Item = String> {
    let mut details = Vec::new();
    for (_, event) in story.events() {
        let said = match event.attribute("hopscope.context.problems") {
            Some(Value::Text(text) | Value::Json(text)) => text.as_str(),
            _ => "",
        };
        if !said.is_empty() {
            details.push(format!("{} found an unsound context in the headers: {said}", who(event)));
        }
    }
    let sent = story.joined.messages[story.message].class.is_some() && story.send().is_some();
    let stages = |event: &MessageEvent| matches!(event.stage, Stage::Receive | Stage::Process);
    let lost = story.consumer_events().filter(|(_, event)| sent && stages(event) && event.creation.is_none());
    details.extend(
        lost.map(|(_, event)| {
            format!("{} received it without the context that it was sent with", who(event))
        }),
    );
    let undecided = story.joined.undecided(story.message);
    if undecided > 0 {
        let events =
            if undecided == 1 { "1 event carries".to_owned() } else { format!("{undecided} events carry") };
        details
            .push(format!("{events} the context of its batch and nothing that says which message is meant"));
    }
    details.into_iter()
}

fn limit(evidence: &Evidence) -> Option<String> {
    evidence.next.as_ref().map(|_| "there is more evidence than was read: a limit was hit".to_owned())
}

fn never_ended(story: &Story<'_, '_>, as_of_ns: i64) -> impl Iterator<Item = String> {
    let open = story.events().filter(move |(_, event)| {
        let spans = event.stage == Stage::Send || is_consumer(event.stage);
        spans && event.duration_ns.is_none() && as_of_ns.saturating_sub(event.start_ns) > NEVER_ENDED_AFTER_NS
    });
    let details = open.map(|(_, event)| format!("the {} of {} has no end", event.stage, who(event)));
    details.collect::<Vec<_>>().into_iter()
}

fn not_searched(evidence: &Evidence) -> impl Iterator<Item = String> {
    let coverage = &evidence.coverage;
    let mut details = coverage.why_not.clone();
    if !coverage.complete && details.is_empty() {
        details.push("part of what could have matched was not searched".to_owned());
    }
    details.into_iter().filter(|_| !coverage.complete)
}
