//! What the messages' own description lacks: names, groups, positions, destinations that are made for one message.

use super::sentences::{as_group, number, who};
use super::{Checked, Count, Evidence, Span, add_example, finding, is_delivery};
use hopscope_client::api::Finding;
use hopscope_model::{MessageEvent, Outcome, Stage, system};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// So many destinations that differ in a number alone are one for each message, and not one for each shard.
const DESTINATIONS_MAX: usize = 20;

pub(super) fn check(evidence: &Evidence) -> Checked {
    let stored: Vec<&Count> = evidence.stored.iter().filter(|count| count.stage != Stage::Work).collect();
    let looked_at = stored.iter().map(|count| count.count).sum();
    let findings = [
        services_missing(evidence),
        destinations_missing(&stored, evidence),
        destinations_per_message(&stored, evidence),
        groups_missing(&stored, evidence),
        positions_missing(evidence),
    ];
    Checked {
        name: "attributes",
        of: "events",
        looked_at,
        findings: findings.into_iter().flatten().collect(),
    }
}

/// How many, since when, and which.
#[derive(Default)]
struct Lacking {
    events: u64,
    span: Span,
    examples: Vec<String>,
}

impl Lacking {
    fn put(
        mut self,
        evidence: &Evidence,
        mut found: Finding,
        shows: impl Fn(&MessageEvent) -> bool,
    ) -> Finding {
        let showing = evidence.sample.iter().filter(|event| shows(event));
        showing.for_each(|event| add_example(&mut self.examples, event));
        found.examples = self.examples;
        self.span.put(&mut found);
        found.with("events", self.events, "count")
    }
}

fn lacking<'c, K: Ord>(
    counts: impl Iterator<Item = &'c Count>,
    key: impl Fn(&Count) -> K,
) -> BTreeMap<K, Lacking> {
    let mut all: BTreeMap<K, Lacking> = BTreeMap::new();
    for count in counts {
        let of = all.entry(key(count)).or_default();
        of.events += count.count;
        of.span.add(count.first_ns, count.last_ns);
    }
    all
}

fn is_unnamed(service: &str) -> bool {
    // What OpenTelemetry's own SDKs write where nobody says.
    service.is_empty() || service == "unknown_service" || service.starts_with("unknown_service:")
}

fn services_missing(evidence: &Evidence) -> Vec<Finding> {
    let both = evidence.stored.iter().chain(&evidence.counted);
    let unnamed = lacking(both.filter(|count| is_unnamed(&count.service)), |count| count.service.clone());
    let told = |(service, lacking): (String, Lacking)| {
        let called =
            if service.is_empty() { "no name at all".to_owned() } else { format!("the name {service}") };
        let text = format!("a service has {called}: with others of the kind it is taken for one");
        let next = "set its name: OTEL_SERVICE_NAME=checkout, or hopscope_sdk::setup::init(\"checkout\")";
        let mut found = finding("service_missing", "warning", text, next);
        found.service.clone_from(&service);
        lacking.put(evidence, found, |event| event.service == service && event.stage != Stage::Work)
    };
    unnamed.into_iter().map(told).collect()
}

fn destinations_missing(stored: &[&Count], evidence: &Evidence) -> Vec<Finding> {
    let nameless =
        stored.iter().copied().filter(|count| count.destination.is_empty() && !count.system.is_empty());
    // Settling several messages at once may name none.
    let nameless = nameless.filter(|count| count.stage != Stage::Settle);
    let told = |((service, system), lacking): ((String, String), Lacking)| {
        let text = format!(
            "{} of {} on {system} name no destination: they are part of no message's story",
            number(lacking.events, "event"),
            who(&service),
        );
        let next = "set messaging.destination.name (the topic, subject, exchange) on every messaging span";
        let mut found = finding("destination_missing", "warning", text, next);
        (found.service, found.system) = (service.clone(), system.clone());
        let shows = move |event: &MessageEvent| {
            event.service == service && event.system == system && event.destination.is_empty()
        };
        lacking.put(evidence, found, shows)
    };
    let by = lacking(nameless, |count| (count.service.clone(), count.system.clone()));
    by.into_iter().map(told).collect()
}

/// The name with what differs from message to message replaced: UUIDs, numbers, and words of many digits.
fn template(name: &str) -> String {
    let name = UUID.replace_all(name, "{}");
    let mut template = String::new();
    let mut rest = &*name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_alphanumeric() != first.is_alphanumeric()).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_id = digits > 0 && (digits == part.len() || (is_hex && part.len() >= 6) || part.len() >= 16);
        template += if is_id { "{}" } else { part };
        rest = after;
    }
    template
}

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").expect("a pattern that is tested")
});

fn destinations_per_message(stored: &[&Count], evidence: &Evidence) -> Vec<Finding> {
    let mut names: BTreeMap<(&str, &str, String), (BTreeSet<&str>, Span)> = BTreeMap::new();
    for count in stored.iter().filter(|count| !count.destination.starts_with("_INBOX.")) {
        let of = names.entry((&count.service, &count.system, template(&count.destination))).or_default();
        of.0.insert(&count.destination);
        of.1.add(count.first_ns, count.last_ns);
    }
    // Who names a template has done what there is to do.
    let templated: BTreeSet<&str> = evidence
        .sample
        .iter()
        .filter(|event| event.attribute("messaging.destination.template").is_some())
        .map(|event| event.destination.as_str())
        .collect();
    names.retain(|_, (names, _)| names.len() >= DESTINATIONS_MAX && names.is_disjoint(&templated));
    let told = |((service, system, template), (names, span)): (
        (&str, &str, String),
        (BTreeSet<&str>, Span),
    )| {
        let text = format!(
            "{} uses {} destinations of the form {template}: rates, groups and pages fall apart into as many",
            who(service),
            names.len(),
        );
        let next = format!(
            "give a template (messaging.destination.template={template}, Details::template), or put the number into a \
             header or key instead of the name"
        );
        let mut found = finding("destination_per_message", "warning", text, next);
        (found.service, found.system) = (service.to_owned(), system.to_owned());
        let lacking = Lacking { events: names.len() as u64, span, examples: Vec::new() };
        let mut found = lacking.put(evidence, found, |event| names.contains(event.destination.as_str()));
        if let Some(fact) = found.facts.first_mut() {
            fact.name = "destinations".to_owned();
        }
        found.with("template", template, "text")
    };
    names.into_iter().map(told).collect()
}

/// What a group is called by the system, and how a foreign client names it.
fn group_word(of: &str) -> (&'static str, &'static str) {
    match of {
        system::RABBITMQ => {
            ("queue", "messaging.rabbitmq.queue, or messaging.destination.name as exchange:key:queue")
        }
        system::NATS => ("consumer", "messaging.consumer.group.name"),
        _ => ("consumer group", "messaging.consumer.group.name"),
    }
}

fn groups_missing(stored: &[&Count], evidence: &Evidence) -> Vec<Finding> {
    // A plain NATS subscriber has no group: there, only what lies in a stream must.
    let streams: BTreeSet<(&str, &str)> = evidence
        .sample
        .iter()
        .filter(|event| event.system == system::NATS && event.position.is_some())
        .map(|event| (event.service.as_str(), event.destination.as_str()))
        .collect();
    let groupless = stored.iter().copied().filter(|count| count.group.is_empty() && is_delivery(count.stage));
    let groupless = groupless.filter(|count| match count.system.as_str() {
        system::KAFKA | system::ROCKETMQ | system::RABBITMQ => true,
        system::NATS => streams.contains(&(count.service.as_str(), count.destination.as_str())),
        _ => false,
    });
    let by = |count: &Count| (count.service.clone(), count.system.clone(), count.destination.clone());
    let told = |((service, system, destination), lacking): ((String, String, String), Lacking)| {
        let (word, attribute) = group_word(&system);
        let text = format!(
            "{} received {} of {destination} without naming its {word}: it cannot be said who has consumed what",
            who(&service),
            number(lacking.events, "event"),
        );
        let next = format!("set {attribute} on its receive and process spans; the adapters of hopscope do");
        let mut found = finding("group_missing", "warning", text, next);
        (found.service, found.system, found.destination) = (service.clone(), system, destination.clone());
        let shows = move |event: &MessageEvent| {
            event.service == service
                && event.destination == destination
                && event.group.is_empty()
                && is_delivery(event.stage)
        };
        lacking.put(evidence, found, shows)
    };
    lacking(groupless, by).into_iter().map(told).collect()
}

fn positions_missing(evidence: &Evidence) -> Vec<Finding> {
    let mut all: BTreeMap<(String, String, String, String), (Lacking, BTreeSet<Stage>)> = BTreeMap::new();
    let has_positions =
        |event: &&MessageEvent| matches!(event.system.as_str(), system::KAFKA | system::ROCKETMQ);
    // What is not known to have been stored has no position yet.
    let is_stored = |event: &&MessageEvent| {
        is_delivery(event.stage) || (event.stage == Stage::Send && event.outcome == Outcome::Ok)
    };
    for event in evidence.sample.iter().filter(has_positions).filter(is_stored) {
        if event.destination.is_empty() || (event.position.is_some() && !event.lane.is_empty()) {
            continue;
        }
        let MessageEvent { service, system, destination, group, .. } = event;
        let key = (service.clone(), system.clone(), destination.clone(), group.clone());
        let (lacking, stages) = all.entry(key).or_default();
        lacking.events += 1;
        lacking.span.add(event.start_ns, event.start_ns);
        add_example(&mut lacking.examples, event);
        stages.insert(event.stage);
    }
    let told = |((service, system, destination, group), (lacking, stages)): (
        (String, String, String, String),
        (Lacking, BTreeSet<Stage>),
    )| {
        let stages: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
        let text = format!(
            "{} tells of {} ({}) on {destination}{} without partition and offset: it cannot be said which groups have \
             passed them",
            who(&service),
            number(lacking.events, "event"),
            stages.join(", "),
            as_group(&group),
        );
        let next = match system.as_str() {
            system::ROCKETMQ => {
                "set messaging.rocketmq.broker.name, .queue.id and .queue.offset; the adapter does"
            }
            _ => {
                "set messaging.destination.partition.id and messaging.kafka.offset; the adapter does, an agent needs its \
                  experimental attributes switched on"
            }
        };
        let mut found = finding("position_missing", "info", text, next);
        (found.service, found.group) = (service, group);
        (found.system, found.destination) = (system, destination);
        lacking.put(evidence, found, |_| false).with("stages", stages.join(" "), "text")
    };
    all.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn what_differs_from_message_to_message_is_a_place() {
        for (name, expected) in [
            ("orders", "orders"),
            ("orders.4711.created", "orders.{}.created"),
            ("reply-7c9e6679-7425-40de-944b-e07fc1f90ae7", "reply-{}"),
            ("orders-v2", "orders-v2"),
            ("deadbeef1.face", "{}.face"),
            ("订单.12", "订单.{}"),
            ("%RETRY%mailer", "%RETRY%mailer"),
        ] {
            assert_eq!(template(name), expected, "{name}");
        }
    }
}
