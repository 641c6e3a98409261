//! Whether anything arrived at all, of everybody or of who is asked for.

use super::sentences::{duration, number};
use super::{Asked, Checked, Evidence, finding};
use hopscope_client::api::{Finding, Int64};
use std::collections::BTreeSet;

/// Names said to be like the one that is not there.
const SIMILAR_MAX: usize = 3;

/// What is known of the asked names over all that is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastSeen {
    /// When anything was last received.
    pub anything_ns: Option<i64>,
    /// When the service last did something.
    pub service_ns: Option<i64>,
    /// When something last happened on the destination.
    pub destination_ns: Option<i64>,
}

pub(super) fn check(evidence: &Evidence, asked: &Asked) -> Checked {
    let services = names(evidence, |count| &count.service);
    let destinations = names(evidence, |count| &count.destination);
    let mut findings = Vec::new();
    if services.is_empty() {
        findings.push(nothing(evidence));
    }
    if !asked.service.is_empty() && !services.contains(asked.service.as_str()) {
        findings.push(service(evidence, &asked.service, &services));
    }
    if !asked.destination.is_empty() && !destinations.contains(asked.destination.as_str()) {
        findings.push(destination(evidence, &asked.destination, &destinations));
    }
    Checked { name: "data", of: "services", looked_at: services.len() as u64, findings }
}

fn names<'e>(evidence: &'e Evidence, of: impl Fn(&'e super::Count) -> &'e String) -> BTreeSet<&'e str> {
    let counts = evidence.counted.iter().chain(&evidence.stored);
    counts.map(|count| of(count).as_str()).filter(|name| !name.is_empty()).collect()
}

fn range(evidence: &Evidence) -> String {
    duration(evidence.now_ns.saturating_sub(evidence.from_ns))
}

fn nothing(evidence: &Evidence) -> Finding {
    let next = "see that a service exports to this server: `hopscope doctor --endpoint URL` from its machine, with the URL \
                that it has in OTEL_EXPORTER_OTLP_ENDPOINT";
    let text = match evidence.last_seen.anything_ns {
        None => "nothing has ever been received from any service".to_owned(),
        Some(at) => {
            let ago = duration(evidence.now_ns.saturating_sub(at));
            format!("nothing was received in the last {}: the last was {ago} ago", range(evidence))
        }
    };
    let mut found = finding("nothing_received", "error", text, next);
    found.last_ns = evidence.last_seen.anything_ns.map(Int64);
    found
}

fn service(evidence: &Evidence, name: &str, known: &BTreeSet<&str>) -> Finding {
    if let Some(at) = evidence.last_seen.service_ns {
        let ago = duration(evidence.now_ns.saturating_sub(at));
        let text = format!("{name} told of nothing in the last {}: the last was {ago} ago", range(evidence));
        let next = "see whether it runs and has messages to handle; a longer range (--since 24h) shows what it told before";
        let mut found = finding("service_silent", "error", text, next);
        (found.service, found.last_ns) = (name.to_owned(), Some(Int64(at)));
        return found.with("silent", evidence.now_ns.saturating_sub(at), "ns");
    }
    let similar = similar(name, known);
    let text = format!(
        "nothing of {name} was ever received, while {} can be seen{}",
        number(known.len() as u64, "service"),
        like(&similar),
    );
    let next = format!(
        "see that it exports, and under that name: OTEL_SERVICE_NAME={name}, OTEL_EXPORTER_OTLP_ENDPOINT; then run `hopscope \
         doctor --endpoint URL` from its machine"
    );
    let mut found = finding("service_never_seen", "error", text, next);
    found.service = name.to_owned();
    found.with("known", known.len(), "count").with("similar", similar.join(", "), "text")
}

fn destination(evidence: &Evidence, name: &str, known: &BTreeSet<&str>) -> Finding {
    let similar = similar(name, known);
    let last = evidence.last_seen.destination_ns;
    let text = match last {
        Some(at) => format!(
            "nothing happened on {name} in the last {}: the last was {} ago",
            range(evidence),
            duration(evidence.now_ns.saturating_sub(at))
        ),
        None => format!("nobody ever told of {name}{}", like(&similar)),
    };
    let next = "see the name at the broker (of RabbitMQ it is the exchange, of JetStream the stream, of RocketMQ the topic), \
                and that the services on it are traced";
    let mut found = finding("destination_never_seen", "error", text, next);
    (found.destination, found.last_ns) = (name.to_owned(), last.map(Int64));
    found.with("known", known.len(), "count").with("similar", similar.join(", "), "text")
}

fn like(similar: &[&str]) -> String {
    if similar.is_empty() { String::new() } else { format!("; is it {}?", similar.join(" or ")) }
}

/// Names that are the same but for case, or two letters.
fn similar<'k>(name: &str, known: &BTreeSet<&'k str>) -> Vec<&'k str> {
    let folded = name.to_lowercase();
    let near = |other: &&&str| distance(&folded, &other.to_lowercase()) <= 2 || other.contains(name);
    known.iter().filter(near).take(SIMILAR_MAX).copied().collect()
}

/// Levenshtein's.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[place + 1];
            row[place + 1] = change.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_right_is_offered() {
        let known = BTreeSet::from(["checkout", "payment", "billing-eu"]);
        assert_eq!(similar("Chekout", &known), ["checkout"]);
        assert_eq!(similar("billing", &known), ["billing-eu"]);
        assert!(similar("shipping", &known).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
