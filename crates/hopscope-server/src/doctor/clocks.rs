//! Clocks that differ: nobody can have a message before it was sent, and nothing can be told before it happened.

use super::sentences::{duration, number, who};
use super::{Checked, Evidence, Span, add_example, finding};
use hopscope_client::api::Finding;
use hopscope_model::{MessageEvent, SpanContext, Stage};
use std::collections::{BTreeMap, HashMap};

/// Less is what machines that keep their time by NTP differ by.
const SKEW_NS_MAX: i64 = 20_000_000;

/// Service and instance: who has a clock.
type Clock = (String, String);

/// What the messages between two clocks show.
#[derive(Default)]
struct Pair {
    messages: u64,
    skewed: u64,
    skew_ns: i64,
    span: Span,
    examples: Vec<String>,
}

pub(super) fn check(evidence: &Evidence) -> Checked {
    let sends = sends(evidence);
    let lags = lags(evidence);
    let mut pairs: BTreeMap<(Clock, Clock), Pair> = BTreeMap::new();
    for event in &evidence.sample {
        let Some((send, had_ns)) = had(event).and_then(|had_ns| Some((sends.get(&event.creation?)?, had_ns)))
        else {
            continue;
        };
        let (sender, consumer) = (clock(send), clock(event));
        if sender == consumer {
            continue;
        }
        let pair = pairs.entry((sender, consumer)).or_default();
        pair.messages += 1;
        let skew_ns = send.start_ns.saturating_sub(had_ns);
        if skew_ns > SKEW_NS_MAX {
            pair.skewed += 1;
            pair.skew_ns = pair.skew_ns.max(skew_ns);
            pair.span.add(event.start_ns, event.start_ns);
            add_example(&mut pair.examples, event);
        }
    }
    let looked_at = pairs.values().map(|pair| pair.messages).sum();
    let skewed = pairs.into_iter().filter(|(_, pair)| pair.skewed > 0);
    let findings = skewed.map(|((sender, consumer), pair)| told(&sender, &consumer, pair, &lags)).collect();
    Checked { name: "clocks", of: "messages", looked_at, findings }
}

fn clock(event: &MessageEvent) -> Clock {
    (event.service.clone(), event.instance.clone())
}

/// By the context of the send, which is what consumers link to.
fn sends(evidence: &Evidence) -> HashMap<SpanContext, &MessageEvent> {
    let is_send = |event: &&MessageEvent| matches!(event.stage, Stage::Create | Stage::Send);
    let sends = evidence.sample.iter().filter(is_send);
    sends.filter_map(|event| Some((event.creation.or_else(|| event.context())?, event))).collect()
}

/// When a consumer had the message for sure: a receive covers the waiting for it.
fn had(event: &MessageEvent) -> Option<i64> {
    match event.stage {
        Stage::Receive => event.end_ns().or(Some(event.start_ns)),
        Stage::Process => Some(event.start_ns),
        _ => None,
    }
}

/// Of each clock the shortest time between an event and its arrival here: below zero it is ahead for sure, and of two
/// clocks the one with much more of it is likely behind.
fn lags(evidence: &Evidence) -> BTreeMap<Clock, i64> {
    let mut lags = BTreeMap::new();
    for event in &evidence.sample {
        let lag = event.received_ns.saturating_sub(event.end_ns().unwrap_or(event.start_ns));
        lags.entry(clock(event)).and_modify(|least: &mut i64| *least = lag.min(*least)).or_insert(lag);
    }
    lags
}

/// Which of the two is wrong, by the clock of this server; `None` where that does not show.
fn suspect<'c>(
    sender: &'c Clock,
    consumer: &'c Clock,
    skew_ns: i64,
    lags: &BTreeMap<Clock, i64>,
) -> Option<(&'c Clock, &'static str)> {
    let (sent, had) = (*lags.get(sender)?, *lags.get(consumer)?);
    if sent < -SKEW_NS_MAX {
        return Some((sender, "ahead"));
    }
    // Both export within seconds: what one needs more than the other by about the skew is its clock's.
    (had.saturating_sub(sent) > skew_ns / 2).then_some((consumer, "behind"))
}

fn told(sender: &Clock, consumer: &Clock, pair: Pair, lags: &BTreeMap<Clock, i64>) -> Finding {
    let (sent_by, had_by) = (who(&sender.0), who(&consumer.0));
    let size = duration(pair.skew_ns);
    let suspect = suspect(sender, consumer, pair.skew_ns, lags);
    let text = format!(
        "{} had {} up to {size} before {sent_by} sent it: their clocks differ by at least that{}",
        had_by,
        number(pair.skewed, "message"),
        suspect
            .map(|(clock, way)| format!(
                ", and by the clock of this server it is that of {} which is {way}",
                who(&clock.0)
            ))
            .unwrap_or_default(),
    );
    let machine = match suspect {
        Some((clock, _)) => format!("the machine of {}{}", who(&clock.0), instance(clock)),
        None => format!("the machines of {sent_by}{} and {had_by}{}", instance(sender), instance(consumer)),
    };
    let next = format!(
        "let {machine} keep its time by NTP (chronyc tracking, timedatectl); until then its latencies mean little"
    );
    let mut found = finding("clock_skew", "error", text, next);
    (found.service, found.instance) = consumer.clone();
    found.other_service.clone_from(&sender.0);
    found.examples = pair.examples;
    pair.span.put(&mut found);
    found = found.with("skew", pair.skew_ns, "ns").with("messages", pair.skewed, "count");
    if !sender.1.is_empty() {
        found = found.with("sender_instance", &sender.1, "text");
    }
    match suspect {
        Some((clock, way)) => found.with("suspect", who(&clock.0), "text").with("way", way, "text"),
        None => found,
    }
}

fn instance(clock: &Clock) -> String {
    if clock.1.is_empty() { String::new() } else { format!(" (instance {})", clock.1) }
}
