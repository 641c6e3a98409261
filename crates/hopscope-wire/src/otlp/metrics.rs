//! `ExportMetricsServiceRequest` in protobuf. Field numbers are those of
//! `opentelemetry/proto/metrics/v1/metrics.proto`.
//!
//! Every message is walked twice where its parts depend on one another (a sum says only after its points
//! whether it is cumulative): requests of metrics are few and small, once a minute from each process.

use super::proto::{any_value, key_value, read_scope, walk};
use super::{DecodeLimits, DecodedMetrics};
use crate::Error;
use crate::mapper::Scope;
use crate::point::{MetricView, PointValue, PointView};
use crate::protobuf::{Field, Malformed, Reader};
use crate::span::Attributes;
use crate::tallies::TallyMapper;
use hopscope_model::Tenant;

/// Decodes a request. Bytes that are not protobuf are an error as a whole; points that are not kept are counted
/// in [`DecodedMetrics::not_kept`].
pub fn decode_metrics_protobuf(
    bytes: &[u8],
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Result<DecodedMetrics, Error> {
    let mut decoder = Decoder {
        mapper: TallyMapper::new(tenant, received_ns, limits),
        point: PointView::new(limits),
        limits,
    };
    decoder.request(bytes).map_err(|malformed| {
        let (what, offset) = (malformed.what, malformed.offset(bytes));
        Error::invalid(format!("malformed protobuf: {what} offset={offset}"))
    })?;
    Ok(decoder.mapper.finish())
}

struct Decoder<'a, 'l> {
    mapper: TallyMapper<'a>,
    point: PointView<'a>,
    limits: &'l DecodeLimits,
}

/// The four kinds of points that are told apart by the field their metric has them in.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Histogram,
    Exponential,
    Summary,
}

impl<'a> Decoder<'a, '_> {
    fn request(&mut self, request: &'a [u8]) -> Result<(), Malformed> {
        walk!(request, {
            (1, Field::Bytes(resource_metrics)) => self.resource_metrics(resource_metrics)?,
        });
        Ok(())
    }

    fn resource_metrics(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut attributes = Attributes::new(self.limits);
        walk!(message, {
            (1, Field::Bytes(resource)) => walk!(resource, {
                (1, Field::Bytes(attribute)) => self.attribute(attribute, &mut attributes)?,
            }),
        });
        walk!(message, {
            (2, Field::Bytes(scope_metrics)) => self.scope_metrics(scope_metrics, &attributes)?,
        });
        Ok(())
    }

    fn scope_metrics(&mut self, message: &'a [u8], resource: &Attributes<'a>) -> Result<(), Malformed> {
        let mut scope = Scope::default();
        walk!(message, {
            (1, Field::Bytes(bytes)) => read_scope(bytes, &mut scope)?,
        });
        self.mapper.resource(resource, scope);
        walk!(message, {
            (2, Field::Bytes(metric)) => self.metric(metric)?,
        });
        Ok(())
    }

    fn metric(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut metric = MetricView::default();
        let mut data = None;
        walk!(message, {
            (1, Field::Bytes(name)) => metric.name = name,
            (3, Field::Bytes(unit)) => metric.unit = unit,
            (5 | 7, Field::Bytes(bytes)) => data = Some((Kind::Number, bytes)),
            (9, Field::Bytes(bytes)) => data = Some((Kind::Histogram, bytes)),
            (10, Field::Bytes(bytes)) => data = Some((Kind::Exponential, bytes)),
            (11, Field::Bytes(bytes)) => data = Some((Kind::Summary, bytes)),
        });
        let Some((kind, data)) = data else { return Ok(()) };
        if matches!(kind, Kind::Summary) || !TallyMapper::wants(metric.name) {
            let mut points = 0;
            walk!(data, {
                (1, Field::Bytes(_)) => points += 1,
            });
            self.mapper.pass(points);
            return Ok(());
        }
        walk!(data, {
            (2, Field::Varint(number)) => metric.temporality = i64::from(number as i32),
            (3, Field::Varint(truth)) => metric.monotonic = truth != 0,
        });
        walk!(data, {
            (1, Field::Bytes(point)) => {
                self.point.clear();
                match kind {
                    Kind::Number => self.number(point)?,
                    Kind::Histogram => self.histogram(point)?,
                    _ => self.exponential(point)?,
                }
                self.mapper.point(&metric, &self.point);
            },
        });
        Ok(())
    }

    fn number(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        walk!(message, {
            (7, Field::Bytes(attribute)) => self.point_attribute(attribute)?,
            (2, Field::Fixed64(time)) => self.point.start_ns = time,
            (3, Field::Fixed64(time)) => self.point.at_ns = time,
            (4, Field::Fixed64(bits)) => self.point.value = PointValue::Double(f64::from_bits(bits)),
            (6, Field::Fixed64(bits)) => self.point.value = PointValue::Int(bits.cast_signed()),
            (8, Field::Varint(flags)) => self.point.flags = flags as u32,
        });
        Ok(())
    }

    fn histogram(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let room = self.limits.buckets_per_point_max + 1;
        let (mut count, mut sum) = (0, None);
        walk!(message, {
            (9, Field::Bytes(attribute)) => self.point_attribute(attribute)?,
            (2, Field::Fixed64(time)) => self.point.start_ns = time,
            (3, Field::Fixed64(time)) => self.point.at_ns = time,
            (4, Field::Fixed64(number)) => count = number,
            (5, Field::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
            // Packed, as every proto3 encoder writes them, and one by one, as every decoder must read them.
            (6, Field::Bytes(packed)) => extend(&mut self.point.counts, room, fixed(packed)),
            (6, Field::Fixed64(number)) => extend(&mut self.point.counts, room, [number]),
            (7, Field::Bytes(packed)) => extend(&mut self.point.bounds, room, fixed(packed).map(f64::from_bits)),
            (7, Field::Fixed64(bits)) => extend(&mut self.point.bounds, room, [f64::from_bits(bits)]),
            (10, Field::Varint(flags)) => self.point.flags = flags as u32,
        });
        self.point.value = PointValue::Histogram { count, sum };
        Ok(())
    }

    fn exponential(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (mut count, mut sum) = (0, None);
        walk!(message, {
            (1, Field::Bytes(attribute)) => self.point_attribute(attribute)?,
            (2, Field::Fixed64(time)) => self.point.start_ns = time,
            (3, Field::Fixed64(time)) => self.point.at_ns = time,
            (4, Field::Fixed64(number)) => count = number,
            (5, Field::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
            (6, Field::Varint(zigzag)) => self.point.exponential.scale = zigzag_i32(zigzag),
            (7, Field::Fixed64(number)) => self.point.exponential.zero_count = number,
            (8, Field::Bytes(buckets)) => self.positive(buckets)?,
            (10, Field::Varint(flags)) => self.point.flags = flags as u32,
            (14, Field::Fixed64(bits)) => self.point.exponential.zero_threshold = f64::from_bits(bits),
        });
        self.point.value = PointValue::Exponential { count, sum };
        Ok(())
    }

    fn positive(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let room = self.limits.buckets_per_point_max + 1;
        let exponential = &mut self.point.exponential;
        walk!(message, {
            (1, Field::Varint(zigzag)) => exponential.offset = zigzag_i32(zigzag),
            (2, Field::Varint(number)) => extend(&mut exponential.counts, room, [number]),
            (2, Field::Bytes(packed)) => {
                let mut packed = Reader::new(packed);
                while !packed.is_at_end() {
                    extend(&mut exponential.counts, room, [packed.varint()?]);
                }
            },
        });
        Ok(())
    }

    fn point_attribute(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (key, value) = key_value(message)?;
        self.point.attributes.push(key, any_value(value, self.limits.nesting_max)?);
        Ok(())
    }

    fn attribute(&self, message: &'a [u8], into: &mut Attributes<'a>) -> Result<(), Malformed> {
        let (key, value) = key_value(message)?;
        into.push(key, any_value(value, self.limits.nesting_max)?);
        Ok(())
    }
}

/// Adds values up to one more than are of use: so many are no layout, and must not take memory either.
fn extend<T>(list: &mut Vec<T>, room: usize, values: impl IntoIterator<Item = T>) {
    list.extend(values.into_iter().take(room.saturating_sub(list.len())));
}

/// Fixed 64-bit values end to end.
fn fixed(packed: &[u8]) -> impl Iterator<Item = u64> {
    packed.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

fn zigzag_i32(number: u64) -> i32 {
    let number = number as u32;
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}
