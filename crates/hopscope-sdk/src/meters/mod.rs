//! [`Meters`]: exact counts and durations of everything that was sent, received, processed and settled.
//!
//! Metrics are never sampled: whatever becomes of a span, its step is counted. Where the spans are those of
//! [`setup`](crate::setup) the numbers are aggregated here, and leave as OTLP bytes with the spans; whoever has a
//! meter provider of their own gets the same numbers on it by [`Meters::through`]. `docs/metrics.md` lists all of them.
//!
//! # Why an aggregation of our own
//! An instrument of OpenTelemetry hashes and compares all attributes at every call, and there are eight of them and two
//! or three instruments at every step. Here all names of a step are looked up once, in the [`Lane`] that they make
//! together, and a record is two or three atomic additions. OpenTelemetry's bound instruments would save as much, but
//! are an experimental feature, which a library must not switch on for the application's whole build. `cargo bench -p
//! hopscope-sdk --bench meters` shows ours and theirs in one run.
//!
//! # Limits
//! [`Limits`] bounds how many lanes there are; the rest share one series, `otel.metric.overflow`. Error types are
//! bounded for each operation of a lane; the rest are `_OTHER`.
//!
//! ```
//! use hopscope_sdk::meters::{Ending, LaneKey, Meters};
//! use hopscope_sdk::Place;
//! let meters = Meters::default();
//! let place = Place::Kafka { topic: "orders", partition: Some(0), offset: None };
//! let lane = meters.lane(&LaneKey::of(place));
//! lane.sent("send", 1_200_000, Ending::Ok);
//! lane.sent("send", 9_000_000, Ending::Failed("MESSAGE_TOO_LARGE"));
//! ```

mod collect;
#[cfg(test)]
mod document;
mod key;
mod lane;
mod lanes;
mod operation;
mod request;
mod series;
mod table;
#[cfg(test)]
mod tests;

pub use collect::{Collector, SdkState};
pub use key::LaneKey;
pub use lane::{Contexts, Lane};
pub use opentelemetry_sdk::metrics::Temporality;
pub use operation::{Ending, OperationType};

use key::Parts;
use lanes::Lanes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use series::Instruments;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many series there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lanes: systems × destinations × partitions × groups × brokers. What comes later shares one lane,
    /// `otel.metric.overflow`. A lane takes 2 to 4 KiB.
    pub lanes_max: usize,
    /// Values of `error.type` for one operation of a lane; what comes later is `_OTHER`.
    pub error_types_max: usize,
    /// Bytes of one text; the rest is cut off.
    pub value_bytes_max: usize,
}

impl Default for Limits {
    /// 2000 lanes, OpenTelemetry's own default; 16 error types; 255 bytes.
    fn default() -> Self {
        Self { lanes_max: 2000, error_types_max: 16, value_bytes_max: 255 }
    }
}

/// All series of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Meters(Arc<Inner>);

/// Where a lane was found: the number of the meters, and its index in them. 0 where it was not looked for.
#[derive(Debug, Default)]
pub(crate) struct KnownLane(AtomicU64);

impl KnownLane {
    fn get(&self, meters: NonZeroU32) -> Option<u32> {
        let known = self.0.load(Ordering::Relaxed);
        (known >> 32 == u64::from(meters.get())).then_some(known as u32)
    }

    fn set(&self, meters: NonZeroU32, index: u32) {
        self.0.store(u64::from(meters.get()) << 32 | u64::from(index), Ordering::Relaxed);
    }
}

impl Clone for KnownLane {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

#[derive(Debug)]
struct Inner {
    /// No other meters of this process have it.
    number: NonZeroU32,
    lanes: Lanes,
    /// What came after the last lane that there was room for.
    overflow: Lane,
    through: Option<Arc<Instruments>>,
    limits: Limits,
}

impl Default for Meters {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Meters {
    /// Aggregates here.
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, None)
    }

    /// Hands every value to instruments of that meter: same names, same units, same attributes, same buckets.
    /// Aggregation and export are its provider's business.
    pub fn through(meter: &Meter, limits: Limits) -> Self {
        Self::with(limits, Some(Arc::new(Instruments::new(meter))))
    }

    fn with(limits: Limits, through: Option<Arc<Instruments>>) -> Self {
        let overflow = vec![KeyValue::new("otel.metric.overflow", true)];
        let overflow = Lane::new(Parts::default(), overflow, through.clone(), limits);
        // More of them than there are numbers would need years.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NonZeroU32::new(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU32::MAX);
        let lanes = Lanes::new(limits.lanes_max);
        Self(Arc::new(Inner { number, lanes, overflow, through, limits }))
    }

    /// The lane of those names. It stays for as long as the meters: look it up at every step, or keep it.
    pub fn lane(&self, key: &LaneKey<'_>) -> &Lane {
        self.at(self.index(key))
    }

    fn index(&self, key: &LaneKey<'_>) -> Option<u32> {
        let inner = &*self.0;
        let parts = Parts::of(key, inner.limits.value_bytes_max);
        let make = || Lane::new(parts, parts.attributes(), inner.through.clone(), inner.limits);
        inner.lanes.get(&parts, make)
    }

    fn at(&self, index: Option<u32>) -> &Lane {
        index.and_then(|index| self.0.lanes.at(index)).unwrap_or(&self.0.overflow)
    }

    /// As [`lane`](Self::lane), looked up only where it is not known yet.
    pub(crate) fn remembered<'k>(&self, known: &KnownLane, key: impl FnOnce() -> LaneKey<'k>) -> &Lane {
        let index = known.get(self.0.number).unwrap_or_else(|| {
            let index = self.index(&key()).unwrap_or(u32::MAX);
            known.set(self.0.number, index);
            index
        });
        self.at(Some(index))
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.0.lanes.iter().chain([&self.0.overflow])
    }
}
