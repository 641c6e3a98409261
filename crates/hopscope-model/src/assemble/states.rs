//! The state of one message for one group, how sure it is, and the facts it rests on.
//!
//! Only a floor makes "not consumed yet"; what no evidence decides stays unknown.

use super::copies::{Copies, CopyOf};
use super::groups::Standing;
use super::{EVIDENCE_GRACE_NS, GROUP_LIVENESS_NS, Story};
use crate::{
    Attempt, Disposition, Grade, GroupStory, MessageEvent, Outcome, Progress, ProgressKind, Stage, State,
    Value, Why,
};

pub(super) struct Decided {
    pub state: State,
    pub grade: Grade,
    pub why: Why,
    pub progress: Option<Progress>,
}

impl Decided {
    fn new(state: State, grade: Grade, why: Why) -> Self {
        Self { state, grade, why, progress: None }
    }

    fn resting_on(self, progress: &Progress) -> Self {
        Self { progress: Some(progress.clone()), ..self }
    }
}

/// What the evidence says of one group.
pub(super) fn decide(
    story: &Story<'_, '_>,
    group: &str,
    attempts: &[Attempt],
    standing: Option<&Standing<'_>>,
    dead_letter: Option<&CopyOf>,
    as_of_ns: i64,
) -> Decided {
    if let Some(copy) = dead_letter {
        let why = Why::DeadLetter { destination: copy.destination.clone(), reason: copy.reason.clone() };
        return Decided::new(State::DeadLettered, Grade::Observed, why);
    }
    match (attempts.last(), standing) {
        (Some(last), standing) => attempted(story, attempts, last, standing),
        (None, Some(standing)) => untouched(story, group, standing, as_of_ns),
        (None, None) => Decided::new(State::Unknown, Grade::Inferred, Why::Nothing),
    }
}

fn attempted(
    story: &Story<'_, '_>,
    attempts: &[Attempt],
    last: &Attempt,
    standing: Option<&Standing<'_>>,
) -> Decided {
    let reported =
        |state: State, grade: Grade| Decided::new(state, grade, Why::Reported { attempt: last.number });
    let passed = standing.and_then(|standing| passed(story, standing));
    let again = attempts.len() > 1 || last.number > 1;
    let events = || {
        last.events
            .iter()
            .filter_map(|&at| story.members.get(at))
            .map(|(index, _)| &story.joined.events[*index])
    };
    let grade = events().map(|event| event.grade).min().unwrap_or(Grade::Observed);
    let settle = events().find(|event| event.stage == Stage::Settle);
    let settle_failed = settle.is_some_and(|settle| matches!(settle.outcome, Outcome::Failed { .. }));
    let processed = last.process.is_some() || !matches!(last.outcome, Outcome::Unknown);
    let begun = processed || events().any(|event| event.stage == Stage::Process);

    match (last.disposition, &last.outcome) {
        // The broker never heard of it: it will give the message again.
        (Some(_), _) | (None, Outcome::Ok) if settle_failed => {
            reported(State::FailedWillRetry, Grade::Inferred)
        }
        (Some(Disposition::Accept), _) => reported(State::Succeeded, grade),
        (Some(Disposition::Retry), _) => reported(State::FailedWillRetry, grade),
        (Some(Disposition::Reject), outcome) => {
            let reason =
                if let Outcome::Failed { reason } = outcome { reason.clone() } else { String::new() };
            // Where it went is the broker's business, and nobody saw it there.
            Decided::new(
                State::DeadLettered,
                Grade::Inferred,
                Why::DeadLetter { destination: String::new(), reason },
            )
        }
        (None, Outcome::Ok) => reported(State::Succeeded, grade),
        // Tried, failed, and then passed over.
        (None, Outcome::Failed { .. }) => match passed {
            Some((why, progress)) => Decided::new(State::Skipped, progress.grade, why).resting_on(progress),
            None => reported(State::FailedWillRetry, Grade::Inferred),
        },
        (None, Outcome::Unknown) => match passed {
            Some((why, progress)) => Decided::new(State::Succeeded, progress.grade, why).resting_on(progress),
            None if settle.is_some_and(|settle| settle.outcome == Outcome::Ok) => {
                reported(State::Succeeded, grade)
            }
            // Ended, and nobody said how.
            None if last.process.is_some() => reported(State::Unknown, Grade::Inferred),
            None if begun && again => reported(State::Retrying, grade),
            None if begun => reported(State::Processing, grade),
            None if again => reported(State::Retrying, grade),
            None if last.events.is_empty() && last.of_copy.is_none() => {
                reported(State::Unknown, Grade::Inferred)
            }
            None => reported(State::Fetched, grade),
        },
    }
}

/// The floor that is past the message, or its own settlement.
fn passed<'a>(story: &Story<'_, '_>, standing: &Standing<'a>) -> Option<(Why, &'a Progress)> {
    let position = story.joined.messages[story.message].position?;
    if let Some(settled) = standing.settled {
        return Some((Why::Reported { attempt: 1 }, settled));
    }
    let floor = standing.floor?;
    let ProgressKind::Floor { next } = floor.kind else { return None };
    let why = Why::Passed { group: floor.group.clone(), stands_at: next, position, at_ns: floor.at_ns };
    (next > position).then_some((why, floor))
}

/// A group that is known on the destination and reported nothing of this message.
fn untouched(story: &Story<'_, '_>, group: &str, standing: &Standing<'_>, as_of_ns: i64) -> Decided {
    let of = &story.joined.messages[story.message];
    let nothing = Decided::new(State::Unknown, Grade::Inferred, Why::Nothing);
    let Some(position) = of.position else { return nothing };
    if let Some(settled) = standing.settled {
        return Decided::new(State::Succeeded, settled.grade, Why::Reported { attempt: 1 })
            .resting_on(settled);
    }
    let Some(floor) = standing.floor else { return nothing };
    let ProgressKind::Floor { next } = floor.kind else { return nothing };
    let last_seen_ns = standing.last_seen_ns.unwrap_or(floor.at_ns);
    let group = group.to_owned();
    if next > position {
        let why = Why::Passed { group, stands_at: next, position, at_ns: floor.at_ns };
        let state = match standing.reports {
            // What it did may still be on its way here.
            _ if as_of_ns.saturating_sub(floor.at_ns) < EVIDENCE_GRACE_NS => State::Unknown,
            true => State::Skipped,
            false => State::NotInstrumented,
        };
        return Decided::new(state, Grade::Inferred, why).resting_on(floor);
    }
    if as_of_ns.saturating_sub(last_seen_ns) > GROUP_LIVENESS_NS {
        let why = Why::Silent { group, last_seen_ns };
        return Decided::new(State::GroupOffline, Grade::Inferred, why).resting_on(floor);
    }
    let why = Why::Behind {
        group,
        destination: of.destination.to_owned(),
        lane: of.lane.to_owned(),
        stands_at: next,
        position,
        at_ns: floor.at_ns,
    };
    Decided::new(State::NotConsumedYet, floor.grade, why).resting_on(floor)
}

/// How far a message came that no group is known to have to do with.
pub(super) fn without_groups(story: &Story<'_, '_>, copies: &Copies, as_of_ns: i64) -> GroupStory {
    let decided = match copies.dead_letters.first() {
        Some(copy) => {
            let why = Why::DeadLetter { destination: copy.destination.clone(), reason: copy.reason.clone() };
            Decided::new(State::DeadLettered, Grade::Observed, why)
        }
        None => sent(story, as_of_ns),
    };
    GroupStory {
        group: String::new(),
        state: decided.state,
        grade: decided.grade,
        why: decided.why,
        attempts: Vec::new(),
        progress: None,
        total: None,
    }
}

fn sent(story: &Story<'_, '_>, as_of_ns: i64) -> Decided {
    let of = &story.joined.messages[story.message];
    if let Some((_, at)) = story.events().find(|(_, event)| is_unroutable(event)) {
        return Decided::new(State::Unroutable, at.grade, Why::Send);
    }
    let by_broker = story.events().find(|(_, event)| event.stage == Stage::Broker);
    match story.send() {
        Some(send) if is_scheduled(send, as_of_ns) => Decided::new(State::Scheduled, send.grade, Why::Send),
        Some(send) => match send.outcome {
            Outcome::Ok => Decided::new(State::Stored, send.grade, Why::Send),
            // The acknowledgement carries the position: whoever knows it had one.
            Outcome::Unknown if send.position.is_some() => Decided::new(State::Stored, send.grade, Why::Send),
            _ if by_broker.is_some() => Decided::new(State::Stored, Grade::Broker, Why::Send),
            _ => Decided::new(State::ProducedUnconfirmed, send.grade, Why::Send),
        },
        None if by_broker.is_some() => Decided::new(State::Stored, Grade::Broker, Why::Send),
        None if of.position.is_some() => Decided::new(State::Stored, Grade::Inferred, Why::Nothing),
        None => Decided::new(State::Unknown, Grade::Inferred, Why::Nothing),
    }
}

/// AMQP answers 312 NO_ROUTE when a mandatory message reaches no queue.
fn is_unroutable(event: &MessageEvent) -> bool {
    let Outcome::Failed { reason } = &event.outcome else { return false };
    let reason = reason.to_ascii_lowercase();
    let no_route = ["no_route", "no-route", "noroute", "unroutable", "312"];
    matches!(event.stage, Stage::Send | Stage::Broker) && no_route.iter().any(|word| reason.contains(word))
}

/// RocketMQ holds it back until its delivery time, ms since the epoch.
fn is_scheduled(send: &MessageEvent, as_of_ns: i64) -> bool {
    match send.attribute("messaging.rocketmq.message.delivery_timestamp") {
        Some(Value::Int(at_ms)) => at_ms.saturating_mul(1_000_000) > as_of_ns,
        _ => false,
    }
}
