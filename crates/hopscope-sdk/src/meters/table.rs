//! The table of metrics: names, units, buckets and attributes, which both ways out and `docs/metrics.md` are made of.

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    pub instrument: Instrument,
    pub description: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instrument {
    Histogram,
    /// It only grows.
    Counter,
    /// It says how much there is now.
    Level,
}

/// The upper bounds of buckets, each within the bucket below it.
#[derive(Debug)]
pub(super) struct Bounds {
    /// In the smallest unit, a whole number.
    pub values: &'static [u64],
    /// How many of the smallest unit make one of the metric's.
    scale: f64,
}

impl Bounds {
    /// That value of the smallest unit in the metric's.
    pub fn in_unit(&self, value: u64) -> f64 {
        value as f64 / self.scale
    }

    /// As [`in_unit`](Self::in_unit), of many values together.
    pub fn sum_in_unit(&self, sum: u128) -> f64 {
        sum as f64 / self.scale
    }
}

/// No metric has more.
pub(super) const BUCKETS_MAX: usize = 20;

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;

/// As the conventions advise for both of their histograms.
static DURATION: Bounds = Bounds {
    values: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        75 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        750 * MS,
        S,
        2500 * MS,
        5 * S,
        7500 * MS,
        10 * S,
    ],
    scale: 1e9,
};

/// A message may wait for less than a send takes, or over a week-end.
static QUEUE_DURATION: Bounds = Bounds {
    values: &[
        MS,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2500 * MS,
        5 * S,
        10 * S,
        30 * S,
        60 * S,
        300 * S,
        900 * S,
        3600 * S,
        21_600 * S,
        86_400 * S,
    ],
    scale: 1e9,
};

/// One by one where it matters; sixteen is where RocketMQ gives up, by default.
static ATTEMPTS: Bounds = Bounds { values: &[1, 2, 3, 4, 5, 6, 8, 12, 16, 32], scale: 1.0 };

/// The metrics that are distributions, by their place in [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distribution {
    OperationDuration = 0,
    ProcessDuration = 1,
    QueueDuration = 2,
    Attempts = 3,
}

/// The metrics that are counts, by their place in [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Sent = 4,
    Consumed = 5,
    Context = 6,
}

/// The metrics that tell the state of the SDK itself, by their place in [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Spans = 7,
    SpansPending = 8,
    QueueBytes = 9,
}

impl Distribution {
    pub const ALL: [Self; 4] =
        [Self::OperationDuration, Self::ProcessDuration, Self::QueueDuration, Self::Attempts];

    pub fn metric(self) -> &'static Metric {
        &METRICS[self as usize]
    }

    pub fn bounds(self) -> &'static Bounds {
        match self {
            Self::OperationDuration | Self::ProcessDuration => &DURATION,
            Self::QueueDuration => &QUEUE_DURATION,
            Self::Attempts => &ATTEMPTS,
        }
    }
}

impl Counted {
    pub const ALL: [Self; 3] = [Self::Sent, Self::Consumed, Self::Context];

    pub fn metric(self) -> &'static Metric {
        &METRICS[self as usize]
    }
}

/// Attribute of [`Counted::Context`].
pub(super) const CONTEXT_STATE: &str = "hopscope.context.state";

/// Attribute of [`State::Spans`] and [`State::SpansPending`].
pub(super) const SPAN_STATE: &str = "hopscope.sdk.span.state";

/// Attribute of what counts by target. It stands behind the state in the alphabet: of two attributes the server takes the
/// first for what is counted.
pub(super) const EXPORT_TARGET: &str = "hopscope.sdk.target";

/// All metrics.
pub(super) static METRICS: [Metric; 10] = [
    Metric {
        name: "messaging.client.operation.duration",
        unit: "s",
        instrument: Instrument::Histogram,
        description: "Duration of an operation of a client: send, receive or settle.",
    },
    Metric {
        name: "messaging.process.duration",
        unit: "s",
        instrument: Instrument::Histogram,
        description: "Duration of the processing of a message, or of a batch that one handler got as a whole.",
    },
    Metric {
        name: "hopscope.messaging.queue.duration",
        unit: "s",
        instrument: Instrument::Histogram,
        description: "Time in the queue: from when the broker stored a message (else its sender made it) to its receipt. Below zero, which says that clocks differ, counts as zero.",
    },
    Metric {
        name: "hopscope.messaging.attempts",
        unit: "{attempt}",
        instrument: Instrument::Histogram,
        description: "For which time a message was delivered, from 1.",
    },
    Metric {
        name: "messaging.client.sent.messages",
        unit: "{message}",
        instrument: Instrument::Counter,
        description: "Messages that a producer attempted to send.",
    },
    Metric {
        name: "messaging.client.consumed.messages",
        unit: "{message}",
        instrument: Instrument::Counter,
        description: "Messages that were delivered to the application: once a delivery, when it is received.",
    },
    Metric {
        name: "hopscope.messaging.context",
        unit: "{message}",
        instrument: Instrument::Counter,
        description: "Messages received, by the context in their headers: found, missing or broken.",
    },
    Metric {
        name: "hopscope.sdk.spans",
        unit: "{span}",
        instrument: Instrument::Counter,
        description: "What became of spans: ended (and to be exported), and for each target of the export (otlp, topic) exported, failed, dropped; beside these sampled_away, and kept although they had been sampled away.",
    },
    Metric {
        name: "hopscope.sdk.spans.pending",
        unit: "{span}",
        instrument: Instrument::Level,
        description: "Spans that wait now: queued for a target of the export, or unended.",
    },
    Metric {
        name: "hopscope.sdk.queue.bytes",
        unit: "By",
        instrument: Instrument::Level,
        description: "What the spans in the queue for a target take now.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_in_its_place() {
        for (place, measure) in Distribution::ALL.into_iter().enumerate() {
            assert_eq!((measure as usize, measure.metric().instrument), (place, Instrument::Histogram));
            let bounds = measure.bounds().values;
            assert!(bounds.is_sorted() && bounds.len() < BUCKETS_MAX);
        }
        for (place, measure) in Counted::ALL.into_iter().enumerate() {
            let place = Distribution::ALL.len() + place;
            assert_eq!((measure as usize, measure.metric().instrument), (place, Instrument::Counter));
        }
        let name = |measure: State| METRICS[measure as usize].name;
        assert_eq!(name(State::Spans), "hopscope.sdk.spans");
        assert_eq!(name(State::SpansPending), "hopscope.sdk.spans.pending");
        assert_eq!(name(State::QueueBytes), "hopscope.sdk.queue.bytes");
    }

    #[test]
    fn buckets_are_those_of_the_conventions() {
        let advised = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
        assert_eq!(DURATION.values.iter().map(|ns| DURATION.in_unit(*ns)).collect::<Vec<_>>(), advised);
    }
}
