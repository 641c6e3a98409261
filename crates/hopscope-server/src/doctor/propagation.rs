//! Whether the context that a message is sent with arrives, and who stands between.

use super::sentences::{as_group, number, percent, who, who_strips};
use super::{Checked, Evidence, Span, add_example, finding, is_delivery, per_mille};
use hopscope_client::api::Finding;
use hopscope_model::{Measure, MessageEvent, Stage, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer of a thousand without a context are no fault of the set-up: a message published by hand, an old one.
const LOST_PER_MILLE_MIN: u64 = 10;

/// From here on it is the rule and not the exception.
const RULE_PER_MILLE: u64 = 500;

/// Senders named with a finding.
const SENDERS_MAX: usize = 5;

/// System and destination.
type Place = (String, String);
/// Service and group.
type Consumer = (String, String);

/// What a consumer found in the headers of a destination's messages.
#[derive(Debug, Default)]
struct Found {
    found: u64,
    missing: u64,
    broken: u64,
    span: Span,
    is_exact: bool,
}

impl Found {
    fn all(&self) -> u64 {
        self.found + self.missing + self.broken
    }

    fn add(&mut self, state: &str, count: u64) {
        match state {
            "found" => self.found += count,
            "missing" => self.missing += count,
            "broken" => self.broken += count,
            _ => {}
        }
    }
}

/// What the sampled events of one consumer on one destination show.
#[derive(Debug, Default)]
struct Shown {
    missing: Vec<String>,
    broken: Vec<String>,
    problems: BTreeMap<String, u64>,
    /// Who sent what arrived without context, by coordinates.
    senders: BTreeMap<String, u64>,
}

pub(super) fn check(evidence: &Evidence) -> Checked {
    let found = found(evidence);
    let (senders, mut shown) = (senders(evidence), shown(evidence));
    let mut findings = Vec::new();
    for (place, consumers) in &found {
        let senders = senders.get(place).cloned().unwrap_or_default();
        for (consumer, at) in consumers {
            let shown = shown.remove(&(place.clone(), consumer.clone())).unwrap_or_default();
            let elsewhere = consumers.iter().any(|(other, at)| other != consumer && at.found > at.missing);
            findings.extend(missing(place, consumer, at, &senders, elsewhere, &shown));
            findings.extend(broken(place, consumer, at, &senders, shown));
        }
    }
    let looked_at = found.values().flat_map(BTreeMap::values).map(Found::all).sum();
    Checked { name: "propagation", of: "messages", looked_at, findings }
}

/// By the counts of those who count, else by the sampled events: of the earliest stage that a service reports.
fn found(evidence: &Evidence) -> BTreeMap<Place, BTreeMap<Consumer, Found>> {
    let mut all: BTreeMap<Place, BTreeMap<Consumer, Found>> = BTreeMap::new();
    let mut counting = BTreeSet::new();
    for count in evidence.counted.iter().filter(|count| count.measure == Some(Measure::Context)) {
        counting.insert(&count.service);
        let place = (count.system.clone(), count.destination.clone());
        let consumer = (count.service.clone(), count.group.clone());
        let found = all.entry(place).or_default().entry(consumer).or_default();
        found.is_exact = true;
        found.add(&count.detail, count.count);
        found.span.add(count.first_ns, count.last_ns);
    }
    let receives: BTreeSet<&String> = evidence
        .sample
        .iter()
        .filter(|event| event.stage == Stage::Receive)
        .map(|event| &event.service)
        .collect();
    for event in evidence.sample.iter().filter(|event| is_delivery(event.stage)) {
        let is_first = event.stage == Stage::Receive || !receives.contains(&event.service);
        if counting.contains(&event.service) || !is_first || event.destination.is_empty() {
            continue;
        }
        let place = (event.system.clone(), event.destination.clone());
        let consumer = (event.service.clone(), event.group.clone());
        let found = all.entry(place).or_default().entry(consumer).or_default();
        found.add(state(event), 1);
        found.span.add(event.start_ns, event.start_ns);
    }
    all
}

fn state(event: &MessageEvent) -> &'static str {
    match (problems(event), event.creation) {
        (Some(_), None) => "broken",
        (_, Some(_)) => "found",
        (None, None) => "missing",
    }
}

fn problems(event: &MessageEvent) -> Option<&str> {
    match event.attribute("hopscope.context.problems") {
        Some(Value::Text(text) | Value::Json(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Who is known to send where.
fn senders(evidence: &Evidence) -> BTreeMap<Place, BTreeSet<String>> {
    let mut senders: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    let counts = evidence.counted.iter().chain(&evidence.stored);
    for count in counts.filter(|count| count.stage == Stage::Send && count.count > 0) {
        let place = (count.system.clone(), count.destination.clone());
        senders.entry(place).or_default().insert(count.service.clone());
    }
    senders
}

fn shown(evidence: &Evidence) -> BTreeMap<(Place, Consumer), Shown> {
    let at = |event: &MessageEvent| {
        let lane = (event.system.clone(), event.destination.clone(), event.lane.clone());
        event.position.map(|position| (lane, position))
    };
    let sends = evidence.sample.iter().filter(|event| event.stage == Stage::Send);
    let sent_by: BTreeMap<_, &str> =
        sends.filter_map(|event| Some((at(event)?, event.service.as_str()))).collect();
    let mut shown: BTreeMap<(Place, Consumer), Shown> = BTreeMap::new();
    for event in evidence.sample.iter().filter(|event| is_delivery(event.stage)) {
        let state = state(event);
        if state == "found" {
            continue;
        }
        let place = (event.system.clone(), event.destination.clone());
        let of = shown.entry((place, (event.service.clone(), event.group.clone()))).or_default();
        if let Some(problems) = problems(event) {
            *of.problems.entry(problems.to_owned()).or_default() += 1;
            add_example(&mut of.broken, event);
        } else {
            add_example(&mut of.missing, event);
            if let Some(sender) = at(event).and_then(|at| sent_by.get(&at)) {
                *of.senders.entry((*sender).to_owned()).or_default() += 1;
            }
        }
    }
    shown
}

fn missing(
    (system, destination): &Place,
    (service, group): &Consumer,
    at: &Found,
    senders: &BTreeSet<String>,
    elsewhere: bool,
    shown: &Shown,
) -> Option<Finding> {
    let share = per_mille(at.missing, at.all());
    if at.missing == 0 || share < LOST_PER_MILLE_MIN {
        return None;
    }
    let severity = if share >= RULE_PER_MILLE { "error" } else { "warning" };
    let what = format!(
        "{} of {} that {} received from {destination}{} carried no context",
        at.missing,
        number(at.all(), "message"),
        who(service),
        as_group(group),
    );
    // By coordinates one knows exactly; else it is one of those who send there.
    let known: Vec<String> = match shown.senders.is_empty() {
        true => senders.iter().take(SENDERS_MAX).cloned().collect(),
        false => shown.senders.keys().take(SENDERS_MAX).cloned().collect(),
    };
    let names = known.iter().map(|name| who(name)).collect::<Vec<_>>().join(", ");
    let (mut found, suspect) = if known.is_empty() {
        let text = format!("{what}, and nobody is known to send there");
        let next =
            format!("trace whoever sends to {destination}, or have it write a traceparent into the headers");
        (finding("sender_not_traced", "warning", text, next), "sender")
    } else if elsewhere {
        let text = format!("{what}, while another consumer of {destination} finds it");
        let next = format!(
            "look at {}: does it read the headers of the message as it came (before mapping or copying it), and in the \
             format that {names} writes (OTEL_PROPAGATORS)?",
            who(service)
        );
        (finding("propagation_broken", severity, text, next), "consumer")
    } else {
        let text = format!("{what}, although {names} is traced and sends there");
        let next = format!(
            "look at {names} first: is the message sent by the traced client, and is writing not switched off \
             (Setup::inject)? Then at what lies between: {}",
            who_strips(system)
        );
        (finding("propagation_broken", severity, text, next), "sender_or_between")
    };
    (found.service, found.group) = (service.clone(), group.clone());
    (found.system, found.destination) = (system.clone(), destination.clone());
    found.other_service = known.join(", ");
    found.examples.clone_from(&shown.missing);
    at.span.put(&mut found);
    let source = if at.is_exact { "counted" } else { "sampled" };
    Some(
        found
            .with("missing", at.missing, "count")
            .with("received", at.all(), "count")
            .with("missing_share", percent(share), "text")
            .with("suspect", suspect, "text")
            .with("source", source, "text"),
    )
}

fn broken(
    (system, destination): &Place,
    (service, group): &Consumer,
    at: &Found,
    senders: &BTreeSet<String>,
    shown: Shown,
) -> Option<Finding> {
    let share = per_mille(at.broken, at.all());
    if at.broken == 0 || share < LOST_PER_MILLE_MIN {
        return None;
    }
    let problem = shown.problems.iter().max_by_key(|(_, count)| **count).map(|(problem, _)| problem.clone());
    let text = format!(
        "{} of {} that {} received from {destination}{} carried a context that cannot be read{}",
        at.broken,
        number(at.all(), "message"),
        who(service),
        as_group(group),
        problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default(),
    );
    let known: Vec<String> = senders.iter().take(SENDERS_MAX).cloned().collect();
    let writer = if known.is_empty() { "the client that writes them".to_owned() } else { known.join(", ") };
    let next = format!(
        "have {writer} write a valid traceparent (00-<32 hex>-<16 hex>-<2 hex>), or read its format: OTEL_PROPAGATORS \
         or Setup::formats"
    );
    let mut found = finding("context_broken", "error", text, next);
    (found.service, found.group) = (service.clone(), group.clone());
    (found.system, found.destination) = (system.clone(), destination.clone());
    found.other_service = known.join(", ");
    found.examples = shown.broken;
    at.span.put(&mut found);
    found = found.with("broken", at.broken, "count").with("received", at.all(), "count");
    Some(match problem {
        Some(problem) => found.with("problem", problem, "text"),
        None => found,
    })
}
