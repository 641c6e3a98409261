//! Work that began and of which nobody said how it ended.

use super::sentences::{as_group, duration, number, who};
use super::{Checked, Evidence, Span, add_example, finding};
use hopscope_client::api::Finding;
use hopscope_model::{Measure, MessageEvent, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// Before, it may still be running: as long as a story waits before it calls a span so.
const RUNNING_NS_MAX: i64 = 15 * 60 * 1_000_000_000;

/// A process that reports metrics is gone when it has been silent for so long: several times the usual interval.
const SILENT_NS_MAX: i64 = 5 * 60 * 1_000_000_000;

const PENDING: &str = "hopscope.sdk.spans.pending";

/// Service, system, destination, group.
type Worker = (String, String, String, String);

#[derive(Default)]
struct Open {
    events: u64,
    stages: BTreeSet<Stage>,
    instances: BTreeSet<String>,
    span: Span,
    examples: Vec<String>,
}

impl Open {
    fn add(&mut self, event: &MessageEvent) {
        self.events += 1;
        self.stages.insert(event.stage);
        self.instances.insert(event.instance.clone());
        self.span.add(event.start_ns, event.start_ns);
        add_example(&mut self.examples, event);
    }

    fn put(self, (service, system, destination, group): Worker, mut found: Finding) -> Finding {
        (found.service, found.system) = (service, system);
        (found.destination, found.group) = (destination, group);
        found.instance = self.instances.into_iter().next().unwrap_or_default();
        found.examples = self.examples;
        self.span.put(&mut found);
        found.with("messages", self.events, "count")
    }
}

pub(super) fn check(evidence: &Evidence) -> Checked {
    let mut findings = Vec::new();
    for (worker, open) in never_ended(evidence) {
        let stages: Vec<&str> = open.stages.iter().map(|stage| stage.name()).collect();
        let text = format!(
            "{} began {} of {} on {}{} and never ended it",
            who(&worker.0),
            stages.join(" and "),
            number(open.events, "message"),
            worker.2,
            as_group(&worker.3),
        );
        let next = "see whether the service crashed or was killed then (its log, restarts of its container); where it still \
                    runs, end the span on every way out of the handler, also after an error";
        findings.push(open.put(worker, finding("never_ended", "error", text, next)).with(
            "stages",
            stages.join(" "),
            "text",
        ));
    }
    for (worker, open) in not_processed(evidence) {
        let text = format!(
            "{} received {} on {}{} of which nothing more is known, though it processes others",
            who(&worker.0),
            number(open.events, "message"),
            worker.2,
            as_group(&worker.3),
        );
        let next = "see whether the service crashed or was restarted then: what it had in hand comes again (look for a later \
                    attempt on the message's page); where it drops such messages on purpose, settle them so that it shows";
        findings.push(open.put(worker, finding("received_not_processed", "warning", text, next)));
    }
    findings.extend(stopped(evidence));
    let looked_at = evidence.sample.iter().filter(|event| event.stage != Stage::Create).count() as u64;
    Checked { name: "endings", of: "events", looked_at, findings }
}

fn worker(event: &MessageEvent) -> Worker {
    (event.service.clone(), event.system.clone(), event.destination.clone(), event.group.clone())
}

fn is_old(event: &MessageEvent, now_ns: i64) -> bool {
    now_ns.saturating_sub(event.start_ns) > RUNNING_NS_MAX
}

fn never_ended(evidence: &Evidence) -> BTreeMap<Worker, Open> {
    let mut open: BTreeMap<Worker, Open> = BTreeMap::new();
    let begun = evidence.sample.iter().filter(|event| event.stage != Stage::Create);
    for event in begun.filter(|event| event.duration_ns.is_none() && is_old(event, evidence.now_ns)) {
        open.entry(worker(event)).or_default().add(event);
    }
    open
}

/// What names one message among those of a worker.
fn message(event: &MessageEvent) -> Option<String> {
    let by_position = event.position.map(|position| format!("{}/{position}", event.lane));
    by_position.or_else(|| event.creation.map(|creation| creation.to_string()))
}

fn not_processed(evidence: &Evidence) -> BTreeMap<Worker, Open> {
    let mut handled: BTreeMap<Worker, BTreeSet<String>> = BTreeMap::new();
    let handles = |event: &&MessageEvent| matches!(event.stage, Stage::Process | Stage::Settle);
    for event in evidence.sample.iter().filter(handles) {
        handled.entry(worker(event)).or_default().extend(message(event));
    }
    let mut open: BTreeMap<Worker, Open> = BTreeMap::new();
    let received = evidence.sample.iter().filter(|event| event.stage == Stage::Receive);
    for event in received.filter(|event| is_old(event, evidence.now_ns)) {
        let worker = worker(event);
        // Who records no handling at all has none to miss; a sample may have the one and not the other.
        let Some(handled) = handled.get(&worker).filter(|_| evidence.is_whole) else { continue };
        if message(event).is_some_and(|message| !handled.contains(&message)) {
            open.entry(worker).or_default().add(event);
        }
    }
    open
}

/// Processes that said they had steps open, and then nothing any more.
fn stopped(evidence: &Evidence) -> Vec<Finding> {
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for count in evidence.counted.iter().filter(|count| count.measure == Some(Measure::Sdk)) {
        let at = last.entry((&count.service, &count.instance)).or_default();
        *at = count.last_ns.max(*at);
    }
    let open = evidence.counted.iter().filter(|count| {
        let silent_ns = last
            .get(&(count.service.as_str(), count.instance.as_str()))
            .map_or(0, |at| evidence.now_ns.saturating_sub(*at));
        count.metric == PENDING && count.detail == "unended" && count.count > 0 && silent_ns > SILENT_NS_MAX
    });
    let told = |count: &super::Count| {
        let silent_ns = evidence.now_ns.saturating_sub(count.last_ns);
        let text = format!(
            "{} was last heard of {} ago with {} under way, of which nobody said how they ended",
            who(&count.service),
            duration(silent_ns),
            number(count.count, "step"),
        );
        let next = "see why that process ended (its log, exit code, out of memory); end it with Guard::shutdown, which gives \
                    what is under way a deadline";
        let mut found = finding("stopped_with_work_open", "error", text, next);
        (found.service, found.instance) = (count.service.clone(), count.instance.clone());
        let mut span = Span::default();
        span.add(count.last_ns, count.last_ns);
        span.put(&mut found);
        found.with("unended", count.count, "count").with("silent", silent_ns, "ns")
    };
    open.map(told).collect()
}
