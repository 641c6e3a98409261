//! What a step that has ended adds to the metrics. Sampling has no say in it.

use crate::facts::Facts;
use crate::meters::{Contexts, Ending, Lane, LaneKey, Meters, OperationType};
use crate::record::{Ended, Record, Stage};

/// Adds one step. To be called once a step, before a large batch is written as several spans.
pub(crate) fn measure(record: &Record, meters: &Meters) {
    let (operation, ending) = (record.operation, ending(&record.ended));
    let duration_ns = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
    let timed = |kind| lane(&record.facts, meters).timed(kind, operation, duration_ns, ending);
    match record.stage {
        // It makes a context and touches no broker.
        Stage::Create => {}
        Stage::Send => lane(&record.facts, meters).sent(operation, duration_ns, ending),
        Stage::SendBatch => {
            timed(OperationType::Send);
            for (facts, ended) in members(record) {
                lane(facts, meters).sent_in_batch(operation, 1, self::ending(ended));
            }
        }
        Stage::Receive => {
            // A receive without a duration was recorded when the message was handed over: how long the client had
            // waited for it is not known.
            if !record.duration.is_zero() {
                timed(OperationType::Receive);
            }
            match record.batch_messages {
                None => delivered(record, &record.facts, meters),
                Some(_) => members(record).for_each(|(facts, _)| delivered(record, facts, meters)),
            }
        }
        Stage::Process => timed(OperationType::Process),
        Stage::Settle => timed(OperationType::Settle),
    }
}

/// One message was handed to the application.
fn delivered(record: &Record, facts: &Facts, meters: &Meters) {
    let lane = lane(facts, meters);
    let origin = &facts.origin;
    let contexts = match (origin.context.is_some(), origin.problems.is_empty()) {
        (true, _) => Contexts::FOUND,
        (false, true) => Contexts::MISSING,
        (false, false) => Contexts::BROKEN,
    };
    lane.received(record.operation, contexts);
    if let (Some(stored_ns), Ok(received_ns)) = (facts.stored_ns(), i64::try_from(record.start_ns())) {
        lane.waited(received_ns.saturating_sub(stored_ns));
    }
    if let Some(attempt) = facts.attempt() {
        lane.attempt(attempt);
    }
}

fn members(record: &Record) -> impl Iterator<Item = (&Facts, &Ended)> {
    record.members.iter().filter_map(|member| Some((member.facts.as_deref()?, &member.ended)))
}

fn lane<'m>(facts: &Facts, meters: &'m Meters) -> &'m Lane {
    meters.remembered(&facts.lane, || key(facts))
}

fn key(facts: &Facts) -> LaneKey<'_> {
    LaneKey { place: facts.place(), template: facts.template(), group: facts.group(), server: facts.server() }
}

fn ending(ended: &Ended) -> Ending<'_> {
    match ended {
        Ended::Ok => Ending::Ok,
        Ended::Failed(failure) => Ending::Failed(failure.kind()),
        Ended::Unknown(_) => Ending::Unknown,
    }
}
