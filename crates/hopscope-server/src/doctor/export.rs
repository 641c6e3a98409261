//! What became of spans on their way out of a service, by its own exact counts: sampled away, dropped, refused.

use super::sentences::{number, percent, who};
use super::{Checked, Count, Evidence, Span, finding, per_mille};
use hopscope_client::api::Finding;
use hopscope_model::{Measure, Stage};
use std::collections::{BTreeMap, BTreeSet};

const SPANS: &str = "hopscope.sdk.spans";
const QUEUE_BYTES: &str = "hopscope.sdk.queue.bytes";

/// Fewer messages say nothing of a ratio.
const MESSAGES_MIN: u64 = 20;

/// Service and instance.
type Process = (String, String);

/// What one process says of its spans.
#[derive(Default)]
struct Fate {
    states: BTreeMap<String, u64>,
    queue_bytes: u64,
    span: Span,
}

impl Fate {
    fn of(&self, state: &str) -> u64 {
        self.states.get(state).copied().unwrap_or_default()
    }

    fn add(&mut self, count: &Count) {
        match count.metric.as_str() {
            SPANS => *self.states.entry(count.detail.clone()).or_default() += count.count,
            QUEUE_BYTES => self.queue_bytes = count.count,
            _ => return,
        }
        self.span.add(count.first_ns, count.last_ns);
    }
}

fn fates<K: Ord>(evidence: &Evidence, key: impl Fn(&Count) -> K) -> BTreeMap<K, Fate> {
    let mut fates: BTreeMap<K, Fate> = BTreeMap::new();
    for count in evidence.counted.iter().filter(|count| count.measure == Some(Measure::Sdk)) {
        fates.entry(key(count)).or_default().add(count);
    }
    fates
}

/// Whether what is stored is all that happened, or a share of it.
pub(super) fn sampling(evidence: &Evidence) -> Checked {
    let fates = fates(evidence, |count| count.service.clone());
    let mut findings: Vec<Finding> =
        fates.iter().filter_map(|(service, fate)| sampled_away(service, fate)).collect();
    let telling: BTreeSet<&String> =
        fates.iter().filter(|(_, fate)| !fate.states.is_empty()).map(|(service, _)| service).collect();
    let messages = messages(evidence);
    let mut looked_at: u64 = fates.values().map(|fate| fate.of("ended") + fate.of("sampled_away")).sum();
    for (service, (counted, stored, span)) in messages {
        if telling.contains(&service) && stored > 0 {
            continue;
        }
        looked_at += counted;
        let silent = fates.get(&service).is_some_and(|fate| fate.of("sampled_away") > 0);
        if counted >= MESSAGES_MIN && !silent {
            findings.extend(fewer_spans(&service, counted, stored, span));
        }
    }
    Checked { name: "sampling", of: "spans", looked_at, findings }
}

fn sampled_away(service: &str, fate: &Fate) -> Option<Finding> {
    let (away, ended, kept) = (fate.of("sampled_away"), fate.of("ended"), fate.of("kept"));
    if away == 0 {
        return None;
    }
    let steps = (ended + away).saturating_sub(kept);
    let share = per_mille(ended, steps);
    let severity = if ended == 0 { "warning" } else { "info" };
    let text = format!(
        "{} keeps the spans of {ended} of {} ({}): {away} were sampled away, {kept} of these kept because of how they ended",
        who(service),
        number(steps, "step"),
        percent(share),
    );
    let mut found = finding("spans_sampled_away", severity, text, ASK_FOR_MORE);
    found.service = service.to_owned();
    fate.span.put(&mut found);
    Some(
        found
            .with("sampled_away", away, "count")
            .with("ended", ended, "count")
            .with("kept", kept, "count")
            .with("share", percent(share), "text"),
    )
}

const ASK_FOR_MORE: &str = "rates are exact all the same; to find every message, raise the share \
(OTEL_TRACES_SAMPLER=parentbased_traceidratio with OTEL_TRACES_SAMPLER_ARG, or Setup::sampling, also per destination), at \
the first sender of a trace: the others follow its decision";

/// Of each service the messages that it counted, and what is stored of the same stages.
fn messages(evidence: &Evidence) -> BTreeMap<String, (u64, u64, Span)> {
    let mut all: BTreeMap<String, (u64, u64, Span)> = BTreeMap::new();
    let ours =
        |count: &&Count| matches!(count.stage, Stage::Send | Stage::Receive) && !count.service.is_empty();
    // Under several names of several generations one message counts several times: the newest names alone.
    let counted = evidence.counted.iter().filter(ours).filter(|count| {
        count.measure == Some(Measure::Messages) && count.metric.starts_with("messaging.client.")
    });
    for count in counted {
        let of = all.entry(count.service.clone()).or_default();
        of.0 += count.count;
        of.2.add(count.first_ns, count.last_ns);
    }
    for count in evidence.stored.iter().filter(ours) {
        if let Some(of) = all.get_mut(&count.service) {
            of.1 += count.count;
        }
    }
    all
}

/// A service that does not say what it does with its spans: what arrives says it.
fn fewer_spans(service: &str, counted: u64, stored: u64, span: Span) -> Option<Finding> {
    if stored >= counted / 2 {
        return None;
    }
    let mut found = if stored == 0 {
        let text =
            format!("{} counted {}, and none of its spans arrived", who(service), number(counted, "message"));
        let next = "look whether it exports spans at all (OTEL_TRACES_EXPORTER), and where to \
                    (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT): its metrics arrive, so the server can be reached";
        finding("spans_missing", "error", text, next)
    } else {
        let text = format!(
            "{} counted {}, and the spans of {stored} are stored ({}): the others were sampled away or lost before they \
             were sent",
            who(service),
            number(counted, "message"),
            percent(per_mille(stored, counted)),
        );
        finding("spans_sampled_away", "info", text, ASK_FOR_MORE)
    };
    found.service = service.to_owned();
    span.put(&mut found);
    Some(found.with("messages", counted, "count").with("stored", stored, "count").with(
        "share",
        percent(per_mille(stored, counted)),
        "text",
    ))
}

/// Whether spans that were to be exported were lost on the way.
pub(super) fn export(evidence: &Evidence) -> Checked {
    let fates = fates(evidence, |count| (count.service.clone(), count.instance.clone()));
    let looked_at = fates.values().map(|fate| fate.of("ended")).sum();
    let findings = fates.iter().flat_map(|(process, fate)| [dropped(process, fate), refused(process, fate)]);
    Checked { name: "export", of: "spans", looked_at, findings: findings.flatten().collect() }
}

fn lost(process: &Process, fate: &Fate, mut found: Finding, (name, count): (&str, u64)) -> Finding {
    (found.service, found.instance) = process.clone();
    fate.span.put(&mut found);
    found
        .with(name, count, "count")
        .with("ended", fate.of("ended"), "count")
        .with("exported", fate.of("exported"), "count")
        .with("queue", fate.queue_bytes, "bytes")
}

fn dropped(process: &Process, fate: &Fate) -> Option<Finding> {
    let dropped = fate.of("dropped");
    let text = format!(
        "{} dropped {} of {} that ended: the export queue was full",
        who(&process.0),
        number(dropped, "span"),
        fate.of("ended"),
    );
    let next = "see that the endpoint keeps up (`hopscope doctor --endpoint` from that machine; is the server busy?); give \
                the queue more room (Batching::queue_bytes_max, OTEL_BSP_MAX_QUEUE_SIZE), send more at once \
                (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or sample";
    (dropped > 0)
        .then(|| lost(process, fate, finding("spans_dropped", "error", text, next), ("dropped", dropped)))
}

fn refused(process: &Process, fate: &Fate) -> Option<Finding> {
    let failed = fate.of("failed");
    let text = format!(
        "{} lost {} of {} that ended: the endpoint refused them for good",
        who(&process.0),
        number(failed, "span"),
        fate.of("ended"),
    );
    let next = "its log says why (\"lost\"); `hopscope doctor --endpoint` from that machine shows path, authorisation and \
                protocol";
    (failed > 0)
        .then(|| lost(process, fate, finding("spans_refused", "error", text, next), ("refused", failed)))
}
