//! What keeps an estate from being seen whole: from what services counted, from what is stored, and from a sample of
//! it, to findings that name who does it and the next step. Pure: `api/doctor.rs` asks the store.
//!
//! What services count themselves goes before what their spans say: sampling thins spans and never counts. A check that
//! needs single events takes the sample, and says how much it looked at.

mod attributes;
mod clocks;
mod data;
mod endings;
mod export;
mod instances;
mod intake;
mod propagation;
mod sentences;

use crate::ledger::Counts;
use hopscope_client::api::{Check, Finding, Int64};
use hopscope_model::{Measure, MessageEvent, MessageRef, Position, Stage};
use hopscope_store::Row;
use std::cmp::Reverse;

pub(crate) use data::LastSeen;

/// Findings of one answer; what is beyond is less grave.
const FINDINGS_MAX: usize = 200;

/// Messages named with a finding.
const EXAMPLES_MAX: usize = 3;

/// What is asked about. Empty names are all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub service: String,
    pub destination: String,
}

/// What a service counted in the range, or what is stored of it.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// `None` for stored events.
    pub measure: Option<Measure>,
    pub metric: String,
    pub service: String,
    pub instance: String,
    pub system: String,
    pub destination: String,
    pub group: String,
    pub stage: Stage,
    pub detail: String,
    pub count: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

/// Everything that the checks look at.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub from_ns: i64,
    pub now_ns: i64,
    /// What services counted themselves.
    pub counted: Vec<Count>,
    /// What is stored, counted.
    pub stored: Vec<Count>,
    /// Some of what is stored, without ordinary work; all of it where `is_whole`.
    pub sample: Vec<MessageEvent>,
    pub is_whole: bool,
    /// The books of the receivers, since the server started.
    pub receivers: Vec<(String, Counts)>,
    /// What is known of the asked names beyond the range.
    pub last_seen: LastSeen,
}

/// What one check found, and what it looked at.
struct Checked {
    name: &'static str,
    of: &'static str,
    looked_at: u64,
    findings: Vec<Finding>,
}

/// All checks: the gravest finding first, and what each check looked at.
pub(crate) fn diagnose(evidence: &Evidence, asked: &Asked) -> (Vec<Finding>, Vec<Check>) {
    let checked = [
        data::check(evidence, asked),
        propagation::check(evidence),
        clocks::check(evidence),
        export::sampling(evidence),
        export::export(evidence),
        endings::check(evidence),
        instances::check(evidence),
        attributes::check(evidence),
        intake::check(evidence),
    ];
    let (mut findings, mut checks) = (Vec::new(), Vec::new());
    for Checked { name, of, looked_at, findings: found } in checked {
        // What is not there is about who was asked for by itself.
        let is_data = name == "data";
        let about: Vec<Finding> =
            found.into_iter().filter(|finding| is_data || is_about(finding, asked, evidence)).collect();
        checks.push(Check {
            name: name.to_owned(),
            looked_at: int(looked_at),
            of: of.to_owned(),
            findings: int(about.len() as u64),
        });
        findings.extend(about);
    }
    findings.sort_by_key(|finding| (severity_rank(&finding.severity), Reverse(finding.last_ns)));
    findings.truncate(FINDINGS_MAX);
    (findings, checks)
}

/// A finding that names no service is of the server, and concerns everybody. One that names no destination is of a
/// whole process: it concerns every destination that the service is on.
fn is_about(finding: &Finding, asked: &Asked, evidence: &Evidence) -> bool {
    let names =
        |one: &str| finding.service == one || finding.other_service.split(", ").any(|name| name == one);
    let unnamed = finding.service.is_empty() && finding.other_service.is_empty();
    let service = asked.service.is_empty() || names(&asked.service) || unnamed;
    let is_there = |count: &Count| count.service == finding.service && count.destination == asked.destination;
    let destination = asked.destination.is_empty()
        || finding.destination == asked.destination
        || (finding.destination.is_empty()
            && (unnamed || evidence.counted.iter().chain(&evidence.stored).any(is_there)));
    service && destination
}

fn severity_rank(severity: &str) -> usize {
    ["error", "warning", "info"].iter().position(|known| *known == severity).unwrap_or(usize::MAX)
}

/// A finding with the parts that all have.
fn finding(code: &str, severity: &str, text: String, next: impl Into<String>) -> Finding {
    debug_assert!(hopscope_client::api::CODES.contains(&code), "{code} is documented");
    let (code, severity) = (code.to_owned(), severity.to_owned());
    Finding { code, severity, text, next: next.into(), ..Finding::default() }
}

/// The earliest and the latest of what a finding rests on.
#[derive(Clone, Copy, Debug, Default)]
struct Span(Option<(i64, i64)>);

impl Span {
    fn add(&mut self, first_ns: i64, last_ns: i64) {
        let (first, last) = self.0.unwrap_or((first_ns, last_ns));
        self.0 = Some((first.min(first_ns), last.max(last_ns)));
    }

    fn put(self, finding: &mut Finding) {
        finding.first_ns = self.0.map(|(first, _)| Int64(first));
        finding.last_ns = self.0.map(|(_, last)| Int64(last));
    }
}

/// How a message can be asked for: by its coordinates, else by the context that made it, else by its id.
fn reference(event: &MessageEvent) -> Option<String> {
    let MessageEvent { system, cluster, destination, lane, message_id, .. } = event;
    let own = || event.context().filter(|_| matches!(event.stage, Stage::Create | Stage::Send));
    let position = event.position.map(|position| {
        MessageRef::Position(Position {
            system: system.clone(),
            cluster: cluster.clone(),
            destination: destination.clone(),
            lane: lane.clone(),
            position,
        })
    });
    let by_id = || {
        (!message_id.is_empty()).then(|| MessageRef::MessageId {
            system: system.clone(),
            destination: destination.clone(),
            id: message_id.clone(),
        })
    };
    let creation = || event.creation.or_else(own).map(MessageRef::Creation);
    position.or_else(creation).or_else(by_id).map(|reference| reference.to_string())
}

/// Names that message with the finding, where there is room.
fn add_example(examples: &mut Vec<String>, event: &MessageEvent) {
    if let Some(reference) = reference(event).filter(|reference| !examples.contains(reference))
        && examples.len() < EXAMPLES_MAX
    {
        examples.push(reference);
    }
}

/// Whether the stage is one of a consumer that has the message in its hands.
fn is_delivery(stage: Stage) -> bool {
    matches!(stage, Stage::Receive | Stage::Process)
}

fn int(count: u64) -> Int64 {
    Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Of a thousand.
fn per_mille(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        0
    } else {
        u64::try_from(u128::from(part) * 1_000 / u128::from(whole)).unwrap_or(u64::MAX)
    }
}

/// [`Count`]s from the rows of an aggregation by [`DIMENSIONS`].
pub(crate) fn counts(rows: &[Row]) -> Vec<Count> {
    let count = |row: &Row| {
        let [service, instance, system, destination, group, stage, detail] = row.values.as_slice() else {
            return None;
        };
        Some(Count {
            measure: row.metric.as_ref().map(|metric| metric.measure),
            metric: row.metric.as_ref().map(|metric| metric.name.clone()).unwrap_or_default(),
            service: service.clone(),
            instance: instance.clone(),
            system: system.clone(),
            destination: destination.clone(),
            group: group.clone(),
            stage: Stage::from_name(stage)?,
            detail: detail.clone(),
            count: row.events,
            first_ns: row.first_ns,
            last_ns: row.last_ns,
        })
    };
    rows.iter().filter_map(count).collect()
}

/// What [`counts`] reads.
pub(crate) const DIMENSIONS: [hopscope_store::Dimension; 7] = {
    use hopscope_store::Dimension::{Destination, Detail, Group, Instance, Service, Stage, System};
    [Service, Instance, System, Destination, Group, Stage, Detail]
};
