//! From the model's types to the JSON of the API: plain functions, one a type.

use hopscope_client::api::{
    Attempt, Attribute, BatchPlace, Copy, Coverage, Event, Gap, GroupStory, GroupSummary, Int64, Latency,
    MessageSummary, Retry, Send, Trajectory, Why,
};
use hopscope_model::{self as model, Join, MessageEvent, MessageRef, Outcome, SpanContext, Stage, Value};
use serde::{Deserialize, Serialize};

/// Compact JSON.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the API's types are plain values with text keys")
}

fn unsigned(value: u64) -> Int64 {
    Int64(i64::try_from(value).unwrap_or(i64::MAX))
}

fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn context(context: Option<SpanContext>) -> String {
    context.map(|context| context.to_string()).unwrap_or_default()
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { reason } => reason.clone(),
        Outcome::Ok | Outcome::Unknown => String::new(),
    }
}

pub(super) fn coverage(coverage: &model::Coverage) -> Coverage {
    Coverage {
        segments: coverage.segments,
        from_ns: coverage.received_ns.map(|(from, _)| Int64(from)),
        to_ns: coverage.received_ns.map(|(_, to)| Int64(to)),
        complete: coverage.complete,
        why_not: coverage.why_not.clone(),
    }
}

/// An event; `by` is the rule that put it to a message, `None` in a trace.
pub(super) fn event(event: &MessageEvent, by: Option<Join>) -> Event {
    let absent = |zero: bool, id: String| if zero { String::new() } else { id };
    Event {
        id: event.id().to_string(),
        stage: event.stage.to_string(),
        operation: event.operation.clone(),
        joined_by: by.map(|by| by.to_string()).unwrap_or_default(),
        trace_id: absent(event.trace.is_zero(), event.trace.to_string()),
        span_id: absent(event.span.is_zero(), event.span.to_string()),
        parent_span_id: absent(event.parent.is_zero(), event.parent.to_string()),
        creation: context(event.creation),
        links: event.links.iter().map(|link| link.to_string()).collect(),
        start_ns: Int64(event.start_ns),
        duration_ns: event.duration_ns.map(unsigned),
        received_ns: Int64(event.received_ns),
        broker_ns: event.broker_ns.map(Int64),
        origin_ns: event.origin_ns.map(Int64),
        outcome: event.outcome.name().to_owned(),
        reason: reason(&event.outcome),
        disposition: event.disposition.map(|disposition| disposition.to_string()),
        system: event.system.clone(),
        cluster: event.cluster.clone(),
        server: event.server.clone(),
        destination: event.destination.clone(),
        address: event.address.clone(),
        lane: event.lane.clone(),
        position: event.position.map(Int64),
        message_id: event.message_id.clone(),
        correlation_id: event.correlation_id.clone(),
        keys: event.keys.clone(),
        group: event.group.clone(),
        attempt: event.attempt,
        client: event.client.clone(),
        service: event.service.clone(),
        instance: event.instance.clone(),
        body_bytes: event.body_bytes.map(unsigned),
        source: event.source.to_string(),
        grade: event.grade.to_string(),
        attributes: event.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
    }
}

fn attribute(key: &str, value: &Value) -> Attribute {
    let kind = match value {
        Value::Text(_) => "text",
        Value::Int(_) => "int",
        Value::Double(_) => "double",
        Value::Bool(_) => "bool",
        Value::Bytes(_) => "bytes",
        Value::Json(_) => "json",
    };
    Attribute { key: key.to_owned(), value: value.to_string(), kind: kind.to_owned() }
}

/// One message of a list, under the reference it should be asked for by.
pub(super) fn summary(reference: &MessageRef, trajectory: &model::Trajectory) -> MessageSummary {
    let subject = &trajectory.subject;
    let trace = subject.creation.map(|creation| creation.trace).or(subject.traces.first().copied());
    MessageSummary {
        reference: reference.to_string(),
        system: subject.system.clone(),
        cluster: subject.cluster.clone(),
        destination: subject.destination.clone(),
        address: subject.address.clone(),
        lane: subject.lane.clone(),
        position: subject.position.map(Int64),
        message_id: subject.message_ids.first().cloned().unwrap_or_default(),
        keys: subject.keys.clone(),
        trace_id: trace.map(|trace| trace.to_string()).unwrap_or_default(),
        sender: subject.sender.clone(),
        sent_ns: Int64(subject.sent_ns),
        groups: trajectory.groups.iter().map(group_summary).collect(),
    }
}

fn group_summary(story: &model::GroupStory) -> GroupSummary {
    GroupSummary {
        group: story.group.clone(),
        state: story.state.to_string(),
        grade: story.grade.to_string(),
        attempts: index(story.attempts.len()),
    }
}

pub(super) fn trajectory(trajectory: &model::Trajectory) -> Trajectory {
    let subject = &trajectory.subject;
    Trajectory {
        message_ids: subject.message_ids.clone(),
        correlation_ids: subject.correlation_ids.clone(),
        trace_ids: subject.traces.iter().map(|trace| trace.to_string()).collect(),
        creation: context(subject.creation),
        body_bytes: subject.body_bytes.map(unsigned),
        sends: trajectory.sends.iter().map(|of| send(trajectory, of)).collect(),
        groups: trajectory.groups.iter().map(|of| group(trajectory, of)).collect(),
        events: trajectory.events.iter().map(|joined| event(&joined.event, Some(joined.by))).collect(),
        copies: trajectory.copies.iter().map(copy).collect(),
        gaps: trajectory.gaps.iter().map(gap).collect(),
        as_of_ns: Int64(trajectory.as_of_ns),
    }
}

fn send(trajectory: &model::Trajectory, send: &model::Send) -> Send {
    Send {
        event: index(send.event),
        produce: send.produce.map(latency),
        outcome: send.outcome.name().to_owned(),
        reason: reason(&send.outcome),
        batch: trajectory.events.get(send.event).and_then(|joined| batch(&joined.event)),
    }
}

fn group(trajectory: &model::Trajectory, story: &model::GroupStory) -> GroupStory {
    GroupStory {
        group: story.group.clone(),
        state: story.state.to_string(),
        grade: story.grade.to_string(),
        why: why(&story.why),
        attempts: story.attempts.iter().map(|of| attempt(trajectory, of)).collect(),
        total: story.total.map(latency),
    }
}

fn why(why: &model::Why) -> Why {
    let blank = Why {
        code: String::new(),
        text: why.to_string(),
        group: None,
        destination: None,
        lane: None,
        stands_at: None,
        position: None,
        at_ns: None,
        attempt: None,
        reason: None,
    };
    let coded = |code: &str| Why { code: code.to_owned(), ..blank.clone() };
    match why.clone() {
        model::Why::Reported { attempt } => Why { attempt: Some(attempt), ..coded("reported") },
        model::Why::Behind { group, destination, lane, stands_at, position, at_ns } => Why {
            group: Some(group),
            destination: Some(destination),
            lane: Some(lane),
            stands_at: Some(Int64(stands_at)),
            position: Some(Int64(position)),
            at_ns: Some(Int64(at_ns)),
            ..coded("behind")
        },
        model::Why::Passed { group, stands_at, position, at_ns } => Why {
            group: Some(group),
            stands_at: Some(Int64(stands_at)),
            position: Some(Int64(position)),
            at_ns: Some(Int64(at_ns)),
            ..coded("passed")
        },
        model::Why::DeadLetter { destination, reason } => {
            Why { destination: Some(destination), reason: Some(reason), ..coded("dead_letter") }
        }
        model::Why::Silent { group, last_seen_ns } => {
            Why { group: Some(group), at_ns: Some(Int64(last_seen_ns)), ..coded("silent") }
        }
        model::Why::Send => coded("send"),
        model::Why::Nothing => coded("nothing"),
    }
}

fn attempt(trajectory: &model::Trajectory, attempt: &model::Attempt) -> Attempt {
    let events = attempt.events.iter().filter_map(|&at| trajectory.events.get(at));
    let process = events.map(|joined| &joined.event).find(|event| event.stage == Stage::Process);
    Attempt {
        number: attempt.number,
        events: attempt.events.iter().copied().map(index).collect(),
        of_copy: attempt.of_copy.as_ref().map(MessageRef::to_string),
        outcome: attempt.outcome.name().to_owned(),
        reason: reason(&attempt.outcome),
        disposition: attempt.disposition.map(|disposition| disposition.to_string()),
        service: attempt.service.clone(),
        instance: attempt.instance.clone(),
        start_ns: Int64(attempt.start_ns),
        end_ns: attempt.end_ns.map(Int64),
        queue: attempt.queue.map(latency),
        wait: attempt.wait.map(latency),
        process: attempt.process.map(latency),
        settle: attempt.settle.map(latency),
        retries: process.map(retries).unwrap_or_default(),
        batch: process.and_then(batch),
    }
}

/// As the decoder keeps them; what is not so is nobody's.
fn retries(process: &MessageEvent) -> Vec<Retry> {
    #[derive(Deserialize)]
    struct Kept {
        attempt: u32,
        delay_ms: i64,
        error_type: String,
    }
    let Some(Value::Json(kept)) = process.attribute("hopscope.retries") else { return Vec::new() };
    let kept: Vec<Kept> = serde_json::from_str(kept).unwrap_or_default();
    let retry =
        |of: Kept| Retry { attempt: of.attempt, delay_ms: Int64(of.delay_ms), error_type: of.error_type };
    kept.into_iter().map(retry).collect()
}

/// A call with several messages says how many.
fn batch(event: &MessageEvent) -> Option<BatchPlace> {
    let count = |key: &str| match event.attribute(key) {
        Some(Value::Int(count)) => u32::try_from(*count).ok(),
        _ => None,
    };
    let messages = count("messaging.batch.message_count").filter(|messages| *messages > 1)?;
    let (place, part) = (count("hopscope.batch.place"), count("hopscope.batch.part"));
    Some(BatchPlace { span: context(event.context()), messages, place, part })
}

fn latency(latency: model::Latency) -> Latency {
    Latency {
        ns: Int64(latency.ns),
        from: latency.from.to_string(),
        to: latency.to.to_string(),
        across_clocks: latency.across_clocks,
        uncertainty_ns: latency.uncertainty_ns.map(unsigned),
    }
}

fn copy(copy: &model::Copy) -> Copy {
    Copy {
        kind: copy.kind.to_string(),
        other_is_original: copy.other_is_original,
        other: copy.other.as_ref().map(MessageRef::to_string),
        destination: copy.destination.clone(),
        group: copy.group.clone(),
        attempts: copy.attempts,
        reason: copy.reason.clone(),
        error_type: copy.error_type.clone(),
    }
}

fn gap(gap: &model::Gap) -> Gap {
    Gap { kind: gap.kind.to_string(), detail: gap.detail.clone() }
}
