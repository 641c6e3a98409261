//! One message: its groups, its timeline, what caused it and what it caused.

use super::{Ink, clock, short_duration};
use hopscope_client::api::{
    Attempt, BatchPlace, GroupStory, GroupSummary, Int64, Latency, MessageAnswer, MessageSummary, TreeNode,
};

const MS: i64 = 1_000_000;

/// The whole story of one message.
pub fn message(answer: &MessageAnswer, ink: Ink) -> String {
    let mut text = heading(answer, ink);
    text += &groups(answer, ink);
    text += &timeline(answer, ink);
    text += &copies(answer, ink);
    text += &tree(answer, ink);
    for gap in &answer.trajectory.gaps {
        text += &format!("! {} {}\n", ink.dim(&words(&gap.kind)), gap.detail);
    }
    if !answer.coverage.complete {
        text += &format!("! {} {}\n", ink.dim("not complete"), answer.coverage.why_not.join("; "));
    }
    text
}

/// System and coordinates of a message in one line.
fn one_line(message: &MessageSummary) -> String {
    let place = match (&message.position, message.lane.is_empty()) {
        (Some(position), false) => format!("{}/{}/{}", message.destination, message.lane, position.0),
        (Some(position), true) => format!("{}#{}", message.destination, position.0),
        (None, _) => message.destination.clone(),
    };
    let address = if message.address.is_empty() { String::new() } else { format!(" ({})", message.address) };
    format!("{} {place}{address}", message.system)
}

fn heading(answer: &MessageAnswer, ink: Ink) -> String {
    let message = &answer.message;
    let mut facts = Vec::new();
    if !message.keys.is_empty() {
        facts.push(format!("key {}", message.keys.join(" ")));
    }
    if !message.message_id.is_empty() {
        facts.push(format!("id {}", message.message_id));
    }
    if !message.trace_id.is_empty() {
        facts.push(format!("trace {}", message.trace_id));
    }
    let sender = if message.sender.is_empty() { "an unknown sender" } else { &message.sender };
    let size = answer.trajectory.body_bytes.map(|bytes| format!(" · {} B", bytes.0)).unwrap_or_default();
    format!(
        "{}\n  sent by {sender} {} UTC{size}\n  {}\n\n",
        ink.name(&one_line(message)),
        clock(message.sent_ns.0),
        ink.dim(&facts.join(" · "))
    )
}

fn groups(answer: &MessageAnswer, ink: Ink) -> String {
    let groups = &answer.trajectory.groups;
    if groups.is_empty() {
        return format!("  {}\n\n", ink.dim("no group is known to have it"));
    }
    let width = groups.iter().map(|group| name_of(group).chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for group in groups {
        let name = name_of(group);
        let padding = " ".repeat(width - name.chars().count());
        text += &format!(
            "  {}{padding}  {}  {}\n",
            ink.name(name),
            state(&group.state, &group.grade, ink),
            ink.dim(&format!("{} · {}", group.why.text, group.grade))
        );
    }
    text.push('\n');
    text
}

fn name_of(group: &GroupStory) -> &str {
    if group.group.is_empty() { "(no group)" } else { &group.group }
}

/// A state in words; coloured only where it is more than an inference.
pub fn state(name: &str, grade: &str, ink: Ink) -> String {
    let text = words(name);
    let sure = matches!(grade, "observed" | "broker");
    match name {
        "succeeded" if sure => ink.good(&text),
        "failed_will_retry" | "dead_lettered" | "unroutable" | "expired" if sure => ink.bad(&text),
        _ => ink.dim(&text),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

struct Step {
    at_ns: i64,
    who: String,
    what: String,
    took: Option<i64>,
    across_clocks: bool,
    end: String,
    queued: bool,
}

fn timeline(answer: &MessageAnswer, ink: Ink) -> String {
    let steps = steps(answer);
    let width =
        |f: fn(&Step) -> &str| steps.iter().map(|step| f(step).chars().count()).max().unwrap_or_default();
    let (who, what) = (width(|step| &step.who), width(|step| &step.what));
    let origin = answer.message.sent_ns.0;
    let mut text = String::new();
    for step in &steps {
        let offset = format!("+{}", short_duration(step.at_ns - origin));
        let took = match step.took {
            None => "duration unknown".to_owned(),
            Some(ns) if ns < 0 && step.across_clocks => "≤ skew".to_owned(),
            Some(ns) => short_duration(ns),
        };
        let line = format!("{offset:>12}  {:who$}  {:what$}  {took}", step.who, step.what);
        let line = if step.queued { ink.queue(&line) } else { line };
        text += &format!(
            "{line}{}\n",
            if step.end.is_empty() { String::new() } else { format!("  {}", step.end) }
        );
    }
    text.push('\n');
    text
}

/// Sends and, per attempt, queue, wait, process and settle, in order of time.
fn steps(answer: &MessageAnswer) -> Vec<Step> {
    let mut steps = Vec::new();
    for send in &answer.trajectory.sends {
        if let Some(event) = answer.trajectory.events.get(send.event as usize) {
            steps.push(Step {
                at_ns: event.start_ns.0,
                who: event.service.clone(),
                what: format!("sends to {}{}", answer.message.destination, in_batch(send.batch.as_ref())),
                took: event.duration_ns.map(|ns| ns.0),
                across_clocks: false,
                end: ending(&send.outcome, &send.reason),
                queued: false,
            });
        }
    }
    for group in &answer.trajectory.groups {
        for attempt in &group.attempts {
            attempt_steps(group, attempt, &mut steps);
        }
    }
    steps.sort_by_key(|step| step.at_ns);
    steps
}

fn attempt_steps(group: &GroupStory, attempt: &Attempt, steps: &mut Vec<Step>) {
    let who = name_of(group);
    let of = if attempt.number > 1 { format!(", attempt {}", attempt.number) } else { String::new() };
    let mut at = attempt.start_ns.0;
    if let Some(queue) = &attempt.queue {
        steps.push(step(at.saturating_sub(queue.ns.0.max(0)), who, format!("in the queue{of}"), queue, true));
    }
    if let Some(wait) = &attempt.wait {
        steps.push(step(at, who, format!("waits for its handler{of}"), wait, false));
        at = at.saturating_add(wait.ns.0.max(0));
    }
    let process_end = attempt.process.as_ref().map_or(at, |process| at.saturating_add(process.ns.0));
    let in_place = attempt.retries.iter().map(|retry| {
        let delay = short_duration(retry.delay_ms.0.saturating_mul(MS));
        format!("✗ {} in place, again after {delay}, ", retry.error_type)
    });
    let in_place: String = in_place.collect();
    let how = attempt.disposition.as_deref().map(|how| format!(" → {how}")).unwrap_or_default();
    steps.push(Step {
        at_ns: at,
        who: who.to_owned(),
        what: format!("handles it{of}{}", in_batch(attempt.batch.as_ref())),
        took: attempt.process.as_ref().map(|process| process.ns.0),
        across_clocks: false,
        end: format!("{in_place}{}{how}", ending(&attempt.outcome, &attempt.reason)),
        queued: false,
    });
    if let Some(settle) = &attempt.settle {
        steps.push(step(process_end, who, format!("settles{of}"), settle, false));
    }
}

fn step(at_ns: i64, who: &str, what: String, latency: &Latency, queued: bool) -> Step {
    Step {
        at_ns,
        who: who.to_owned(),
        what,
        took: Some(latency.ns.0),
        across_clocks: latency.across_clocks,
        end: String::new(),
        queued,
    }
}

fn ending(outcome: &str, reason: &str) -> String {
    match (outcome, reason) {
        ("failed", "") => "✗ failed".to_owned(),
        ("failed", reason) => format!("✗ {reason}"),
        ("ok", _) => "✓".to_owned(),
        _ => "? outcome unknown".to_owned(),
    }
}

/// `, 2 of a batch of 5`; nothing where it was alone.
fn in_batch(batch: Option<&BatchPlace>) -> String {
    match batch {
        Some(BatchPlace { messages, place: Some(place), .. }) => {
            format!(", {place} of a batch of {messages}")
        }
        Some(BatchPlace { messages, .. }) => format!(", in a batch of {messages}"),
        None => String::new(),
    }
}

/// What it is a copy of, and its copies.
fn copies(answer: &MessageAnswer, ink: Ink) -> String {
    let mut text = String::new();
    for copy in &answer.trajectory.copies {
        let what = match copy.other_is_original {
            true => format!("{} of a message in {}", words(&copy.kind), copy.destination),
            false => format!("{} in {}", words(&copy.kind), copy.destination),
        };
        let mut facts = Vec::new();
        if !copy.group.is_empty() {
            facts.push(format!("by {}", copy.group));
        }
        facts.extend(copy.attempts.map(|attempts| format!("attempts {attempts}")));
        let told = [&copy.error_type, &copy.reason].into_iter().filter(|said| !said.is_empty()).cloned();
        facts.extend(told);
        facts.extend(copy.other.clone());
        text += &format!("  {what}  {}\n", ink.dim(&facts.join(" · ")));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn tree(answer: &MessageAnswer, ink: Ink) -> String {
    if answer.tree.len() < 2 {
        return String::new();
    }
    let roots = answer.tree.iter().filter(|node| match &node.caused_by {
        Some(cause) => !answer.tree.iter().any(|other| other.message.reference == *cause),
        None => true,
    });
    let mut text = String::new();
    for root in roots {
        branch(answer, root, 0, ink, &mut text);
    }
    text.push('\n');
    text
}

fn brief(group: &GroupSummary, ink: Ink) -> String {
    let times = if group.attempts > 1 { format!(" ×{}", group.attempts) } else { String::new() };
    format!("{} {}{times}", group.group, state(&group.state, &group.grade, ink))
}

/// Depth is bounded by the answer, which holds each message once; the bound here is for a server that lies.
const TREE_DEPTH_MAX: usize = 64;

fn branch(answer: &MessageAnswer, node: &TreeNode, depth: usize, ink: Ink, text: &mut String) {
    if depth > TREE_DEPTH_MAX {
        return;
    }
    let arrow = if depth == 0 { String::new() } else { format!("{}└─ ", "   ".repeat(depth - 1)) };
    let through = match (node.through_service.as_str(), node.after_ns) {
        ("", _) => String::new(),
        (service, Some(Int64(ns))) => ink.dim(&format!("  by {service} after {}", short_duration(ns))),
        (service, None) => ink.dim(&format!("  by {service}")),
    };
    let line = one_line(&node.message);
    let line = if node.distance == 0 { ink.name(&line) } else { line };
    let more = if node.more { ink.dim("  …") } else { String::new() };
    let states: Vec<String> = node.message.groups.iter().map(|group| brief(group, ink)).collect();
    let states = if states.is_empty() { String::new() } else { format!("  [{}]", states.join(", ")) };
    text.push_str(&format!("  {arrow}{line}{states}{through}{more}\n"));
    let below = answer.tree.iter().filter(|other| other.caused_by.as_ref() == Some(&node.message.reference));
    for child in below {
        branch(answer, child, depth + 1, ink, text);
    }
}
