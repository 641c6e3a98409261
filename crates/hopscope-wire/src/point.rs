//! [`MetricView`] and [`PointView`]: one point of one metric as a wire format gives it, borrowed from its
//! bytes. [`TallyMapper`](crate::tallies::TallyMapper) alone knows what it means.

use crate::DecodeLimits;
use crate::span::Attributes;

/// What the points of a metric share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MetricView<'a> {
    pub name: &'a [u8],
    pub unit: &'a [u8],
    /// OTLP's number: 1 delta, 2 cumulative.
    pub temporality: i64,
    /// Whether its sum only grows.
    pub monotonic: bool,
}

/// One point. Made once and refilled.
#[derive(Clone, Debug)]
pub(crate) struct PointView<'a> {
    pub attributes: Attributes<'a>,
    pub start_ns: u64,
    pub at_ns: u64,
    /// OTLP's flags: bit 0 says that there is no value.
    pub flags: u32,
    pub value: PointValue,
    /// Finite upper bounds and counts of an explicit histogram; one count more than bounds.
    pub bounds: Vec<f64>,
    pub counts: Vec<u64>,
    pub exponential: Exponential,
}

/// The value of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum PointValue {
    #[default]
    None,
    Int(i64),
    Double(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
    },
    Exponential {
        count: u64,
        sum: Option<f64>,
    },
}

/// The buckets of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exponential {
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub offset: i32,
    pub counts: Vec<u64>,
}

impl<'a> PointView<'a> {
    pub(crate) fn new(limits: &DecodeLimits) -> Self {
        Self {
            attributes: Attributes::new(limits),
            start_ns: 0,
            at_ns: 0,
            flags: 0,
            value: PointValue::None,
            bounds: Vec::new(),
            counts: Vec::new(),
            exponential: Exponential::default(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.attributes.clear();
        (self.start_ns, self.at_ns, self.flags) = (0, 0, 0);
        self.value = PointValue::None;
        self.bounds.clear();
        self.counts.clear();
        self.exponential.counts.clear();
        self.exponential =
            Exponential { counts: std::mem::take(&mut self.exponential.counts), ..Exponential::default() };
    }
}
