//! What the server itself did not take, by the books of its receivers, since it started.

use super::sentences::number;
use super::{Checked, Evidence, finding};
use crate::ledger::Counts;
use hopscope_client::api::{Finding, Int64};

/// Nothing is lost where these are left out: a second copy, a metric that says nothing of messages.
const HARMLESS: [&str; 2] = ["duplicate", "other_metric"];

pub(super) fn check(evidence: &Evidence) -> Checked {
    let findings = evidence.receivers.iter().flat_map(|(name, counts)| {
        [disconnected(name, counts), busy(name, counts), unreadable(name, counts), left_out(name, counts)]
    });
    Checked {
        name: "server",
        of: "receivers",
        looked_at: evidence.receivers.len() as u64,
        findings: findings.flatten().collect(),
    }
}

fn disconnected(name: &str, counts: &Counts) -> Option<Finding> {
    let connection = counts.connection.as_ref().filter(|connection| !connection.up)?;
    let why = connection.why.clone().unwrap_or_default();
    let text = format!("the receiver {name} does not read from its broker: {why}");
    let next = "see that the broker can be reached from the server, and the address and credentials of that receiver in \
                `hopscope config`; what waits at the broker is read when it is back";
    let mut found = finding("receiver_disconnected", "error", text, next);
    found.first_ns = Some(Int64(connection.since_ns));
    let found = found.with("receiver", name, "text").with("why", why, "text");
    Some(match connection.lag {
        Some(lag) => found.with("waiting", lag, "count"),
        None => found,
    })
}

fn busy(name: &str, counts: &Counts) -> Option<Finding> {
    let of = |reason: &str| counts.refused_requests.get(reason).copied().unwrap_or_default();
    let refused = of("busy") + of("closed");
    let text = format!("the receiver {name} told senders {refused} times to come back later");
    let next = "senders keep what they have and try again; where it goes on, give the server more room \
                (queue_bytes_max, queue_requests_max), a faster disk, or less: sampling at the sender";
    (refused > 0).then(|| {
        finding("server_busy", "warning", text, next)
            .with("receiver", name, "text")
            .with("refused", refused, "count")
    })
}

fn unreadable(name: &str, counts: &Counts) -> Option<Finding> {
    let invalid = counts.invalid_requests();
    let why = counts.last_error.clone().unwrap_or_default();
    let text = format!(
        "the receiver {name} refused {} that it cannot take, the last because: {why}",
        number(invalid, "request")
    );
    let next = "somebody sends the wrong thing to that port: compare path, protocol and content type with what it takes \
                (`hopscope doctor --endpoint URL` says which)";
    (invalid > 0).then(|| {
        finding("requests_refused", "warning", text, next)
            .with("receiver", name, "text")
            .with("refused", invalid, "count")
            .with("why", why, "text")
    })
}

fn left_out(name: &str, counts: &Counts) -> Option<Finding> {
    let reasons = counts.dropped.iter().filter(|(reason, count)| !HARMLESS.contains(reason) && **count > 0);
    let reasons: Vec<(&&str, &u64)> = reasons.collect();
    let all: u64 = reasons.iter().map(|(_, count)| **count).sum();
    let told =
        reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ");
    let text = format!("the receiver {name} left out {} that arrived: {told}", number(all, "record"));
    let next = "the sender makes spans or points that nobody can place: ids of zero, no time, more than a request may hold \
                (docs/configuration.md has the limits)";
    (all > 0).then(|| {
        finding("records_left_out", "warning", text, next)
            .with("receiver", name, "text")
            .with("left_out", all, "count")
            .with("reasons", told, "text")
    })
}
