//! Processes that cannot be told apart: their cumulative counts run into each other, their clocks are taken for one.

use super::sentences::who;
use super::{Checked, Evidence, Span, finding};
use hopscope_client::api::Finding;
use hopscope_model::MessageEvent;
use std::collections::{BTreeMap, BTreeSet};

/// Attributes of a resource that differ between processes.
const OF_PROCESS: [&str; 4] = ["host.name", "k8s.pod.name", "container.id", "process.pid"];

/// Processes named with a finding.
const PROCESSES_MAX: usize = 5;

pub(super) fn check(evidence: &Evidence) -> Checked {
    let named = evidence.counted.iter().chain(&evidence.stored).filter(|count| !count.service.is_empty());
    let instances: BTreeSet<(&str, &str)> =
        named.map(|count| (count.service.as_str(), count.instance.as_str())).collect();
    let processes = processes(evidence);
    let mut findings: Vec<Finding> = Vec::new();
    for (service, _) in instances.iter().filter(|(_, instance)| instance.is_empty()) {
        findings.push(missing(evidence, service, processes.get(&(*service, ""))));
    }
    for ((service, instance), processes) in &processes {
        // A restart ends one process before the next begins; at the same time there are two.
        if !instance.is_empty() && overlap(processes) {
            findings.push(shared(service, instance, processes));
        }
    }
    Checked { name: "instances", of: "instances", looked_at: instances.len() as u64, findings }
}

/// By what names it: when it was first and last heard of.
type Processes = BTreeMap<String, (i64, i64)>;

fn processes(evidence: &Evidence) -> BTreeMap<(&str, &str), Processes> {
    let mut all: BTreeMap<(&str, &str), Processes> = BTreeMap::new();
    for event in &evidence.sample {
        let name = process(event);
        if !name.is_empty() {
            let of = all.entry((&event.service, &event.instance)).or_default();
            let seen = of.entry(name).or_insert((event.start_ns, event.start_ns));
            *seen = (seen.0.min(event.start_ns), seen.1.max(event.start_ns));
        }
    }
    all
}

fn process(event: &MessageEvent) -> String {
    let known = OF_PROCESS.iter().filter_map(|name| event.attribute(name));
    known.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn overlap(processes: &Processes) -> bool {
    let spans: Vec<&(i64, i64)> = processes.values().collect();
    let pairs =
        spans.iter().enumerate().flat_map(|(at, one)| spans[at + 1..].iter().map(move |other| (one, other)));
    pairs.into_iter().any(|(one, other)| one.0 < other.1 && other.0 < one.1)
}

fn missing(evidence: &Evidence, service: &str, processes: Option<&Processes>) -> Finding {
    let ours = |count: &&super::Count| count.service == service && count.instance.is_empty();
    let counts = evidence.counted.iter().any(|count| ours(&count));
    let mut span = Span::default();
    let both = evidence.counted.iter().chain(&evidence.stored);
    both.filter(ours).for_each(|count| span.add(count.first_ns, count.last_ns));
    let seen = processes.filter(|processes| processes.len() > 1);
    let text = format!(
        "{} names no service.instance.id: {}{}",
        who(service),
        if counts {
            "the counts of its processes cannot be told apart, and with more than one they fall short"
        } else {
            "its processes, and their clocks, cannot be told apart"
        },
        seen.map(|processes| format!("; at least {} report as one", processes.len())).unwrap_or_default(),
    );
    let next = "set service.instance.id, different in each process: a random UUID, or the pod's name \
                (OTEL_RESOURCE_ATTRIBUTES=service.instance.id=$POD_NAME); hopscope_sdk::setup does it by itself";
    let mut found = finding("instance_missing", if counts { "warning" } else { "info" }, text, next);
    found.service = service.to_owned();
    span.put(&mut found);
    let found = found.with("counts", if counts { "yes" } else { "no" }, "text");
    match seen {
        Some(processes) => with_names(found, processes),
        None => found,
    }
}

fn shared(service: &str, instance: &str, processes: &Processes) -> Finding {
    let text = format!(
        "{} processes of {} say at the same time that they are instance {instance}: their counts run into each other",
        processes.len(),
        who(service),
    );
    let next = "give each process a service.instance.id of its own: it was copied with the configuration, or comes from the \
                image instead of the pod";
    let mut found = finding("instance_shared", "error", text, next);
    (found.service, found.instance) = (service.to_owned(), instance.to_owned());
    let mut span = Span::default();
    processes.values().for_each(|(first, last)| span.add(*first, *last));
    span.put(&mut found);
    with_names(found, processes)
}

fn with_names(found: Finding, processes: &Processes) -> Finding {
    let names: Vec<&str> = processes.keys().take(PROCESSES_MAX).map(String::as_str).collect();
    found.with("processes", processes.len(), "count").with("named", names.join(", "), "text")
}
