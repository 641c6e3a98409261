//! [`TallyMapper`]: points of metrics into tallies of one batch.
//!
//! Kept are the messaging metrics of every generation of the conventions and our own; whatever else a service
//! measures is accepted, counted as not kept and forgotten.

use crate::fields::{Fields, Slots};
use crate::mapper::Scope;
use crate::messaging;
use crate::names::Name;
use crate::point::{Exponential, MetricView, PointValue, PointView};
use crate::span::{Attributes, Raw};
use crate::words::Words;
use crate::{DecodeLimits, DecodedMetrics, NotKept};
use hopscope_model::{
    BatchBuilder, EventRow, Measure, OutcomeCode, SeriesId, Source, Stage, TallyRow, Temporality, Tenant,
    Text, UNKNOWN,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Turns the points of one request into a batch: [`resource`](Self::resource), then its points, and again;
/// [`finish`](Self::finish) at the end.
pub(crate) struct TallyMapper<'a> {
    words: Words<'a>,
    limits: DecodeLimits,
    points: u64,
    not_kept: NotKept,
    service: Text,
    instance: Text,
    /// Of resource and scope: what every series of them begins with.
    origin: u128,
    slots: Slots,
    business_keys: Vec<Text>,
    buckets: Vec<(i64, u64)>,
}

/// What a metric counts. The stage is `None` where its operation says it.
struct Known {
    measure: Measure,
    stage: Option<Stage>,
}

fn known(name: &[u8]) -> Option<Known> {
    let of = |measure, stage| Some(Known { measure, stage });
    match name {
        b"messaging.client.sent.messages"
        | b"messaging.client.published.messages"
        | b"messaging.publish.messages" => of(Measure::Messages, Some(Stage::Send)),
        b"messaging.client.consumed.messages" | b"messaging.receive.messages" => {
            of(Measure::Messages, Some(Stage::Receive))
        }
        b"messaging.process.messages" | b"messaging.deliver.messages" => {
            of(Measure::Messages, Some(Stage::Process))
        }
        b"messaging.settle.messages" => of(Measure::Messages, Some(Stage::Settle)),
        b"messaging.client.operation.duration" => of(Measure::Duration, None),
        b"messaging.process.duration" | b"messaging.deliver.duration" => {
            of(Measure::Duration, Some(Stage::Process))
        }
        b"messaging.publish.duration" => of(Measure::Duration, Some(Stage::Send)),
        b"messaging.receive.duration" => of(Measure::Duration, Some(Stage::Receive)),
        b"messaging.settle.duration" => of(Measure::Duration, Some(Stage::Settle)),
        b"hopscope.messaging.queue.duration" => of(Measure::Queue, Some(Stage::Receive)),
        b"hopscope.messaging.attempts" => of(Measure::Attempts, Some(Stage::Receive)),
        b"hopscope.messaging.context" => of(Measure::Context, Some(Stage::Receive)),
        _ if name.starts_with(b"hopscope.sdk.") => of(Measure::Sdk, Some(Stage::Work)),
        _ => None,
    }
}

/// Bit 0 of a point's flags: the series ended, and there is no value.
const NO_RECORDED_VALUE: u32 = 1;

impl<'a> TallyMapper<'a> {
    pub(crate) fn new(tenant: &Tenant, received_ns: i64, limits: &DecodeLimits) -> Self {
        let builder = BatchBuilder::new(tenant.clone(), Source::Otlp, received_ns);
        Self {
            words: Words::new(builder, limits.attribute_bytes_max),
            limits: *limits,
            points: 0,
            not_kept: NotKept::default(),
            service: Text::NONE,
            instance: Text::NONE,
            origin: 0,
            slots: [0; 128],
            business_keys: Vec::new(),
            buckets: Vec::new(),
        }
    }

    /// Whether the points of a metric of that name are worth reading.
    pub(crate) fn wants(name: &[u8]) -> bool {
        known(name).is_some()
    }

    /// Counts points that were walked over.
    pub(crate) fn pass(&mut self, points: u64) {
        self.points += points;
        self.not_kept.other_metric += points;
    }

    /// Begins the points of a resource and scope.
    pub(crate) fn resource(&mut self, attributes: &Attributes<'a>, scope: Scope<'a>) {
        (self.service, self.instance) = (Text::NONE, Text::NONE);
        for attribute in attributes.items() {
            match (Name::of(attribute.key), &attribute.value) {
                (Name::ServiceName, Raw::Text(text)) => self.service = self.words.name(text),
                (Name::ServiceInstance, Raw::Text(text)) => self.instance = self.words.name(text),
                _ => {}
            }
        }
        let mut hash = Xxh3::new();
        hash.update(&set_hash(attributes).to_le_bytes());
        for part in [scope.name, scope.version] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.origin = hash.digest128();
    }

    /// One point.
    pub(crate) fn point(&mut self, metric: &MetricView<'a>, point: &PointView<'a>) {
        self.points += 1;
        let Some(known) = known(metric.name) else {
            self.not_kept.other_metric += 1;
            return;
        };
        if self.words.builder.tallies_len() >= self.limits.points_max {
            self.not_kept.over_limit += 1;
            return;
        }
        if point.flags & NO_RECORDED_VALUE != 0 {
            self.not_kept.no_value += 1;
            return;
        }
        let Some(sample) = self.sample(metric, point, &known) else {
            self.not_kept.invalid += 1;
            return;
        };
        let row = sample.fill(self.row(metric, point, &known));
        self.words.builder.push_tally(row, &self.buckets);
    }

    /// Time and value of a point, its buckets apart; `None` where it has no time, or the value is no count.
    fn sample(&mut self, metric: &MetricView<'a>, point: &PointView<'a>, known: &Known) -> Option<Sample> {
        let at_ns = i64::try_from(point.at_ns).ok().filter(|at| *at > 0)?;
        let temporality = temporality(metric, point, known.measure)?;
        // A level counts from nothing on; senders give it any start, or a new one each time.
        let start_ns = if temporality == Temporality::Level { 0 } else { point.start_ns };
        let start_ns = i64::try_from(start_ns).ok()?;
        self.buckets.clear();
        let unit = unit_of(metric.unit, known.measure);
        let counted = count(point, unit, self.limits.buckets_per_point_max, &mut self.buckets)?;
        Some(Sample { temporality, start_ns, at_ns, counted })
    }

    /// Who, where and what: all that is not the value.
    fn row(&mut self, metric: &MetricView<'a>, point: &PointView<'a>, known: &Known) -> TallyRow {
        let own = point.attributes.items();
        let mut present = 0;
        let mut detail: Option<(&'a [u8], &'a [u8])> = None;
        for (index, attribute) in own.iter().enumerate() {
            match (Name::of(attribute.key), &attribute.value) {
                // Ours have one attribute that the conventions do not: it is what is counted.
                (Name::Other, Raw::Text(text)) if metric.name.starts_with(b"hopscope.") => {
                    let first = detail.is_none_or(|(key, _)| attribute.key < key);
                    detail = if first { Some((attribute.key, text)) } else { detail };
                }
                (Name::Other, _) => {}
                (name, _) => {
                    self.slots[name as usize] = index as u16;
                    present |= name.bit();
                }
            }
        }
        let mut fields = Fields { own, link: &[], slots: &self.slots, present, taken: 0 };
        let stage = known.stage.unwrap_or_else(|| messaging::stage_of_operation(&fields));
        let mut place = EventRow { stage, ..EventRow::default() };
        messaging::fill(&mut fields, &mut self.words, &mut place, &mut self.business_keys);
        if place.destination == Text::NONE {
            // Instead of a name that would be another for every order.
            let template = fields.peek(Name::DestinationTemplate);
            place.destination = template.map_or(Text::NONE, |template| self.words.name(template));
        }
        let reason = fields.peek(Name::ErrorType);
        let outcome = match (fields.peek(Name::Outcome), reason) {
            // Ours: nobody said how it ended. It is counted, and not called well.
            (Some(b"unknown"), _) => OutcomeCode::Unknown,
            (_, Some(_)) => OutcomeCode::Failed,
            (_, None) => OutcomeCode::Ok,
        };
        let mut hash = Xxh3::new();
        hash.update(&self.origin.to_le_bytes());
        hash.update(&set_hash(&point.attributes).to_le_bytes());
        hash.update(metric.name);
        TallyRow {
            measure: known.measure,
            metric: self.words.name(metric.name),
            detail: detail.map_or(Text::NONE, |(_, text)| self.words.name(text)),
            system: place.system,
            cluster: place.cluster,
            server: place.server,
            destination: place.destination,
            lane: place.lane,
            group: place.group,
            service: self.service,
            instance: self.instance,
            stage,
            outcome,
            reason: reason.map_or(Text::NONE, |reason| self.words.name(reason)),
            series: SeriesId(hash.digest128()),
            temporality: Temporality::Cumulative,
            start_ns: 0,
            at_ns: 0,
            count: 0,
            spreads: false,
            sum: UNKNOWN,
            over: 0,
            over_from: 0,
        }
    }

    /// The batch, and what was not kept.
    pub(crate) fn finish(self) -> DecodedMetrics {
        DecodedMetrics { batch: self.words.builder.finish(), points: self.points, not_kept: self.not_kept }
    }
}

/// Of a set of attributes, whatever order they come in: senders keep them in hash maps.
fn set_hash(attributes: &Attributes<'_>) -> u128 {
    let each = attributes.items().iter().map(|attribute| {
        let mut hash = Xxh3::new();
        hash.update(&(attribute.key.len() as u64).to_le_bytes());
        hash.update(attribute.key);
        match &attribute.value {
            Raw::Null => hash.update(&[0]),
            Raw::Text(text) => [&[1], *text].iter().for_each(|part| hash.update(part)),
            Raw::Bool(truth) => hash.update(&[2, u8::from(*truth)]),
            Raw::Int(number) => [&[3][..], &number.to_le_bytes()].iter().for_each(|part| hash.update(part)),
            Raw::Double(number) => {
                [&[4][..], &number.to_bits().to_le_bytes()].iter().for_each(|part| hash.update(part));
            }
            Raw::Bytes(bytes) => [&[5][..], bytes].iter().for_each(|part| hash.update(part)),
            Raw::Texts(texts) => {
                hash.update(&[6]);
                for text in texts {
                    hash.update(&(text.len() as u64).to_le_bytes());
                    hash.update(text);
                }
            }
            Raw::Json(json) => [&[7], json.as_bytes()].iter().for_each(|part| hash.update(part)),
        }
        hash.digest128()
    });
    let sum = each.fold(0u128, u128::wrapping_add);
    xxh3_128(&sum.to_le_bytes())
}

fn temporality(metric: &MetricView<'_>, point: &PointView<'_>, measure: Measure) -> Option<Temporality> {
    let number = matches!(point.value, PointValue::Int(_) | PointValue::Double(_));
    match metric.temporality {
        // What can fall is a level: of our own metrics alone, a count of messages cannot.
        _ if number && !metric.monotonic => (measure == Measure::Sdk).then_some(Temporality::Level),
        1 => Some(Temporality::Delta),
        2 => Some(Temporality::Cumulative),
        _ => None,
    }
}

/// How many of what is stored one of the metric's own units is: times are stored in ns.
fn unit_of(unit: &[u8], measure: Measure) -> f64 {
    match (measure, unit) {
        (Measure::Duration | Measure::Queue, b"ns") => 1.0,
        (Measure::Duration | Measure::Queue, b"us") => 1e3,
        (Measure::Duration | Measure::Queue, b"ms") => 1e6,
        (Measure::Duration | Measure::Queue, b"min") => 60e9,
        (Measure::Duration | Measure::Queue, _) => 1e9,
        _ => 1.0,
    }
}

/// Time and value of a point.
struct Sample {
    temporality: Temporality,
    start_ns: i64,
    at_ns: i64,
    counted: Counted,
}

/// The value of a point, its buckets apart.
struct Counted {
    count: u64,
    spreads: bool,
    sum: i64,
    over: u64,
    over_from: i64,
}

impl Sample {
    fn fill(self, row: TallyRow) -> TallyRow {
        let Self { temporality, start_ns, at_ns, counted } = self;
        let Counted { count, spreads, sum, over, over_from } = counted;
        TallyRow { temporality, start_ns, at_ns, count, spreads, sum, over, over_from, ..row }
    }
}

/// `None` for a value that is no count: negative, not a number, absent.
fn count(
    point: &PointView<'_>,
    unit: f64,
    buckets_max: usize,
    buckets: &mut Vec<(i64, u64)>,
) -> Option<Counted> {
    let plain = |count: u64| Counted { count, spreads: false, sum: UNKNOWN, over: 0, over_from: 0 };
    let fits = |count: u64| i64::try_from(count).is_ok().then_some(count);
    let spread = |count: u64, sum: Option<f64>| {
        let sum = sum.map(|sum| sum * unit).filter(|sum| sum.is_finite() && *sum >= 0.0);
        Some(Counted { spreads: true, sum: sum.map_or(UNKNOWN, whole), ..plain(fits(count)?) })
    };
    match point.value {
        PointValue::None => None,
        PointValue::Int(number) => Some(plain(u64::try_from(number).ok()?)),
        PointValue::Double(number) => {
            (number.is_finite() && number >= 0.0).then(|| plain(whole(number).unsigned_abs()))
        }
        PointValue::Histogram { count, sum } => {
            let mut counted = spread(count, sum)?;
            // Anything else is no layout: the count is right all the same.
            if point.counts.len() == point.bounds.len() + 1 && point.counts.len() <= buckets_max {
                let bounds = point.bounds.iter().map(|bound| whole(bound * unit));
                let pairs = bounds.zip(point.counts.iter().copied());
                buckets.extend(pairs.filter(|(_, count)| *count > 0));
                counted.over = point.counts.last().copied().unwrap_or_default();
                counted.over_from = point.bounds.last().map_or(0, |bound| whole(bound * unit));
            }
            sorted_or_none(buckets, &mut counted, count);
            Some(counted)
        }
        PointValue::Exponential { count, sum } => {
            let mut counted = spread(count, sum)?;
            if point.exponential.counts.len() <= buckets_max {
                exponential_buckets(&point.exponential, unit, buckets);
            }
            sorted_or_none(buckets, &mut counted, count);
            Some(counted)
        }
    }
}

/// Bounds that do not rise, or counts that are not those of the point, are no distribution: none is better.
fn sorted_or_none(buckets: &mut Vec<(i64, u64)>, counted: &mut Counted, count: u64) {
    // Two bounds may be one in whole units.
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    let total = buckets.iter().fold(counted.over, |sum, (_, count)| sum.saturating_add(*count));
    let rising = buckets.is_sorted_by(|one, other| one.0 < other.0);
    let under = counted.over == 0 || buckets.last().is_none_or(|(bound, _)| *bound <= counted.over_from);
    if total != count || !rising || !under {
        buckets.clear();
        (counted.over, counted.over_from) = (0, 0);
    }
}

/// Upper bounds `2^((offset + i + 1) / 2^scale)`, as the data model has them.
fn exponential_buckets(exponential: &Exponential, unit: f64, buckets: &mut Vec<(i64, u64)>) {
    if exponential.zero_count > 0 {
        buckets.push((whole(exponential.zero_threshold * unit), exponential.zero_count));
    }
    let width = f64::from(-exponential.scale.clamp(-64, 64)).exp2();
    for (index, &count) in exponential.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let power = (f64::from(exponential.offset) + index as f64 + 1.0) * width;
        buckets.push((whole(power.exp2() * unit), count));
    }
}

/// The nearest whole number; what is larger than any is the largest.
fn whole(number: f64) -> i64 {
    number.round() as i64
}
