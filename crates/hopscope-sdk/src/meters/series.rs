//! One series: a distribution or a count, aggregated here or handed to an instrument of OpenTelemetry.

use super::table::{BUCKETS_MAX, Bounds, Counted, Distribution};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use std::sync::atomic::{AtomicU64, Ordering};

/// A distribution of values.
#[derive(Debug)]
pub(super) enum Spread {
    Own(Buckets),
    Through { histogram: Histogram<f64>, attributes: Vec<KeyValue>, bounds: &'static Bounds },
}

impl Spread {
    /// `attributes` is asked only where an instrument wants them.
    pub fn new(
        measure: Distribution,
        through: Option<&Instruments>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        let bounds = measure.bounds();
        match through {
            None => Self::Own(Buckets::new(bounds)),
            Some(instruments) => {
                Self::Through { histogram: instruments.histogram(measure), attributes: attributes(), bounds }
            }
        }
    }

    /// `value` in the smallest unit: nanoseconds, attempts.
    pub fn record(&self, value: u64) {
        match self {
            Self::Own(buckets) => buckets.record(value),
            Self::Through { histogram, attributes, bounds } => {
                histogram.record(bounds.in_unit(value), attributes);
            }
        }
    }

    /// What was aggregated here; with `take`, and begins anew. `None` where there is nothing.
    pub fn read(&self, take: bool) -> Option<SpreadRead> {
        match self {
            Self::Own(buckets) => buckets.read(take),
            Self::Through { .. } => None,
        }
    }
}

/// What a distribution was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpreadRead {
    pub counts: Vec<u64>,
    pub sum: u128,
    pub min: u64,
    pub max: u64,
}

/// A number that only grows.
#[derive(Debug)]
pub(super) enum Count {
    Own(AtomicU64),
    Through { counter: Counter<u64>, attributes: Vec<KeyValue> },
}

impl Count {
    /// `attributes` is asked only where an instrument wants them.
    pub fn new(
        measure: Counted,
        through: Option<&Instruments>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        match through {
            None => Self::Own(AtomicU64::new(0)),
            Some(instruments) => {
                Self::Through { counter: instruments.counter(measure), attributes: attributes() }
            }
        }
    }

    pub fn add(&self, more: u64) {
        match self {
            Self::Own(count) => {
                count.fetch_add(more, Ordering::Relaxed);
            }
            Self::Through { counter, attributes } => counter.add(more, attributes),
        }
    }

    /// What was aggregated here; with `take`, and begins anew.
    pub fn read(&self, take: bool) -> u64 {
        match self {
            Self::Own(count) => read(count, take, 0),
            Self::Through { .. } => 0,
        }
    }
}

/// A histogram of whole numbers. The count is the sum of the buckets, so that a record is two additions.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds: &'static [u64],
    /// One more than there are bounds is in use.
    counts: [AtomicU64; BUCKETS_MAX],
    sum: AtomicU64,
    /// How often the sum went over: a topic that is read again after a year is soon past 584 years of waiting.
    sum_high: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Buckets {
    fn new(bounds: &'static Bounds) -> Self {
        Self {
            bounds: bounds.values,
            counts: [const { AtomicU64::new(0) }; BUCKETS_MAX],
            sum: AtomicU64::new(0),
            sum_high: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    /// The bucket comes last: who sees a value counted sees it in the sum too.
    fn record(&self, value: u64) {
        if self.sum.fetch_add(value, Ordering::Relaxed).checked_add(value).is_none() {
            self.sum_high.fetch_add(1, Ordering::Relaxed);
        }
        // Extremes are rare: a look is cheaper than an exchange.
        if value < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
        // Bounds belong to the bucket below. Most values are small: a search from the front ends soon.
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Ordering::Release);
    }

    /// `None` where nothing is counted; then nothing is taken either, for what is in the sum is counted the next time.
    fn read(&self, take: bool) -> Option<SpreadRead> {
        let counts = &self.counts[..=self.bounds.len()];
        let counts: Vec<u64> = counts.iter().map(|count| read(count, take, 0)).collect();
        counts.iter().any(|count| *count > 0).then(|| SpreadRead {
            counts,
            sum: u128::from(read(&self.sum_high, take, 0)) << 64 | u128::from(read(&self.sum, take, 0)),
            min: read(&self.min, take, u64::MAX),
            max: read(&self.max, take, 0),
        })
    }
}

fn read(value: &AtomicU64, take: bool, anew: u64) -> u64 {
    match take {
        true => value.swap(anew, Ordering::AcqRel),
        false => value.load(Ordering::Acquire),
    }
}

/// The instruments of a meter.
#[derive(Debug)]
pub(super) struct Instruments {
    histograms: [Histogram<f64>; Distribution::ALL.len()],
    counters: [Counter<u64>; Counted::ALL.len()],
}

impl Instruments {
    /// All but those of the SDK's own state: our export is not at work beside somebody else's provider.
    pub fn new(meter: &Meter) -> Self {
        Self {
            histograms: Distribution::ALL.map(|measure| {
                let (metric, bounds) = (measure.metric(), measure.bounds());
                let in_unit = bounds.values.iter().map(|bound| bounds.in_unit(*bound)).collect();
                let builder = meter.f64_histogram(metric.name).with_boundaries(in_unit);
                builder.with_unit(metric.unit).with_description(metric.description).build()
            }),
            counters: Counted::ALL.map(|measure| {
                let metric = measure.metric();
                let builder = meter.u64_counter(metric.name);
                builder.with_unit(metric.unit).with_description(metric.description).build()
            }),
        }
    }

    fn histogram(&self, measure: Distribution) -> Histogram<f64> {
        self.histograms[measure as usize].clone()
    }

    fn counter(&self, measure: Counted) -> Counter<u64> {
        self.counters[measure as usize - Counted::Sent as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_may_be_longer_than_a_number() {
        let spread = Spread::new(Distribution::QueueDuration, None, Vec::new);
        (0..3).for_each(|_| spread.record(u64::MAX));
        for take in [false, true] {
            assert_eq!(spread.read(take).expect("values").sum, 3 * u128::from(u64::MAX));
        }
        assert_eq!(spread.read(false), None, "taken");
    }
}
