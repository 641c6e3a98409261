//! `/metrics`: the books of every receiver, consistent within one scrape, in Prometheus' text form.

use crate::ingest::Ingest;
use crate::ledger::{Connection, Counts, Ledger};
use crate::live::Live;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// What is measured.
pub(crate) struct Metrics {
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) live: Arc<Live>,
}

/// The page.
pub(crate) fn page(metrics: Metrics) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("hopscope");
    registry.register_collector(Box::new(metrics));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

type One = (&'static str, &'static str, fn(&Counts) -> u64);
type OfConnection = (&'static str, &'static str, fn(&Connection) -> Option<i64>);
type ByReason = (&'static str, &'static str, fn(&Counts) -> Vec<(&'static str, u64)>);

/// Counters with one value a receiver.
const ONE: &[One] = &[
    ("receiver_events_received", "Events taken off the wire", |counts| counts.received),
    ("receiver_events_stored", "Events that are durable", |counts| counts.stored),
    ("receiver_events_refused", "Events answered with a refusal: the sender still has them", |counts| {
        counts.refused
    }),
    ("receiver_requests", "Requests that were taken", |counts| counts.requests),
    ("receiver_bytes", "Bytes of request bodies as they arrived", |counts| counts.bytes),
];

/// Counters with one value a receiver and reason.
const BY_REASON: &[ByReason] = &[
    ("receiver_events_dropped", "Events left out", |counts| pairs(&counts.dropped)),
    ("receiver_requests_refused", "Requests refused", |counts| pairs(&counts.refused_requests)),
];

/// Gauges of receivers that read from a broker.
const OF_CONNECTION: &[OfConnection] = &[
    ("receiver_connected", "1 while the receiver reads from its broker, else 0", |connection| {
        Some(i64::from(connection.up))
    }),
    ("receiver_lag_records", "Records that wait at the broker, where it tells", |connection| {
        connection.lag.map(|records| i64::try_from(records).unwrap_or(i64::MAX))
    }),
];

fn pairs(map: &std::collections::BTreeMap<&'static str, u64>) -> Vec<(&'static str, u64)> {
    map.iter().map(|(reason, count)| (*reason, *count)).collect()
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Read once: within one scrape received = stored + refused + dropped + queued holds for each receiver.
        let books: Vec<(&str, Counts)> =
            self.ledgers.iter().map(|ledger| (ledger.receiver(), ledger.counts())).collect();
        for (name, help, value) in ONE {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (receiver, counts) in &books {
                let labels = [("receiver", *receiver)];
                ConstCounter::new(value(counts)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, values) in BY_REASON {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (receiver, counts) in &books {
                for (reason, count) in values(counts) {
                    let labels = [("receiver", *receiver), ("reason", reason)];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let kind = ConstGauge::new(0i64).metric_type();
        let mut queued =
            encoder.encode_descriptor("receiver_events_queued", "Events under way", None, kind)?;
        for (receiver, counts) in &books {
            let labels = [("receiver", *receiver)];
            ConstGauge::new(counts.queued as i64).encode(queued.encode_family(&labels)?)?;
        }
        connections(&mut encoder, &books)?;
        let gauges = [
            ("ingest_bytes", "Bytes of requests under way", self.ingest.budget().bytes()),
            ("ingest_requests", "Requests under way", self.ingest.budget().requests()),
            ("live_streams", "Open live streams", self.live.listeners()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn connections(encoder: &mut DescriptorEncoder<'_>, books: &[(&str, Counts)]) -> Result<(), fmt::Error> {
    let connections =
        || books.iter().filter_map(|(receiver, counts)| Some((*receiver, counts.connection.as_ref()?)));
    for (name, help, value) in OF_CONNECTION {
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (receiver, connection) in connections() {
            let Some(value) = value(connection) else { continue };
            ConstGauge::new(value).encode(family.encode_family(&[("receiver", receiver)])?)?;
        }
    }
    let kind = ConstCounter::new(0u64).metric_type();
    let help = "How often the receiver stopped reading from its broker";
    let mut lost = encoder.encode_descriptor("receiver_connections_lost", help, None, kind)?;
    for (receiver, connection) in connections() {
        let labels = [("receiver", receiver)];
        ConstCounter::new(connection.lost).encode(lost.encode_family(&labels)?)?;
    }
    Ok(())
}
