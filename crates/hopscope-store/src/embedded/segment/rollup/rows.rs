//! Rows of a rollup's table as bytes.
//!
//! ```text
//! steps since the row before · combination (in the same step: since the row before) · mask of what is not 0
//! events · counts of the mask · first start within the step · with several events: last start after the first
//! with latencies: their bytes; each: sum · buckets · per bucket (steps since the one before << 2 | count - 1, at most
//! 3); where that is 3: the count beyond 4
//! ```

use crate::embedded::ints::{Malformed, Reader, put_varint};
use crate::measured::Sum;
use crate::sketch::{BUCKETS, Sketch};

/// Counts of the mask; the latencies' bits follow.
const COUNTS: usize = 4;

/// A row as it is read.
pub(super) struct Row<'r> {
    pub step: i64,
    pub combination: u32,
    /// All but what failed, which the combination tells.
    pub sum: Sum,
    pub latencies: &'r [Option<Sketch>; 5],
}

/// Appends a row; `before` is the step and the combination of the row before in the block.
pub(super) fn put(
    out: &mut Vec<u8>,
    step_ns: i64,
    before: (i64, u32),
    (step, combination): (i64, u32),
    sum: &Sum,
    latencies: &[Sketch; 5],
) {
    put_varint(out, step.wrapping_sub(before.0) as u64);
    let since = if step == before.0 { before.1 } else { 0 };
    put_varint(out, u64::from(combination - since));
    let counts = [sum.retries, sum.dead_letters, sum.body_bytes, sum.unpaired];
    let told = latencies.iter().map(|sketch| !sketch.buckets.is_empty());
    let bits = counts.iter().map(|count| *count > 0).chain(told);
    let mask = bits.enumerate().fold(0u64, |mask, (bit, is_set)| mask | u64::from(is_set) << bit);
    put_varint(out, mask);
    put_varint(out, sum.events);
    counts.iter().filter(|count| **count > 0).for_each(|count| put_varint(out, *count));
    put_varint(out, sum.first_ns.rem_euclid(step_ns) as u64);
    if sum.events > 1 {
        put_varint(out, sum.last_ns.wrapping_sub(sum.first_ns) as u64);
    }
    if mask >> COUNTS != 0 {
        let mut bytes = Vec::new();
        latencies.iter().filter(|sketch| !sketch.buckets.is_empty()).for_each(|sketch| {
            put_sketch(&mut bytes, sketch);
        });
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    put_varint(out, sketch.sum);
    put_varint(out, sketch.buckets.len() as u64);
    let mut before = 0;
    for (bucket, count) in &sketch.buckets {
        put_varint(out, u64::from(bucket - before) << 2 | (count - 1).min(3));
        if *count >= 4 {
            put_varint(out, count - 4);
        }
        before = *bucket;
    }
}

/// Reads the rows of a block.
pub(super) struct Rows<'b> {
    reader: Reader<'b>,
    step_ns: i64,
    before: (i64, u32),
    latencies: bool,
    read: [Option<Sketch>; 5],
}

impl<'b> Rows<'b> {
    pub fn new(block: &'b [u8], step_ns: i64, first: i64, latencies: bool) -> Self {
        Self { reader: Reader::new(block), step_ns, before: (first, 0), latencies, read: Default::default() }
    }

    /// The next row.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Malformed> {
        if self.reader.end().is_ok() {
            return Ok(None);
        }
        let reader = &mut self.reader;
        let skipped = reader.varint()?;
        let step = self.before.0.wrapping_add(skipped as i64);
        let since = if skipped == 0 { self.before.1 } else { 0 };
        let combination = u32::try_from(reader.varint()?).ok().and_then(|number| number.checked_add(since));
        let combination = combination.ok_or(Malformed("has an odd combination"))?;
        self.before = (step, combination);
        let mask = reader.varint()?;
        let mut sum = Sum { events: reader.varint()?, ..Sum::default() };
        let counts = [&mut sum.retries, &mut sum.dead_letters, &mut sum.body_bytes, &mut sum.unpaired];
        for (bit, count) in counts.into_iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1) {
            debug_assert!(bit < COUNTS);
            *count = reader.varint()?;
        }
        let within = reader.varint()? as i64;
        sum.first_ns = step.wrapping_mul(self.step_ns).wrapping_add(within);
        let more = if sum.events > 1 { reader.varint()? } else { 0 };
        sum.last_ns = sum.first_ns.wrapping_add(more as i64);
        self.read = Default::default();
        if mask >> COUNTS != 0 {
            let len = reader.varint_count()?;
            let bytes = reader.take(len)?;
            if self.latencies {
                let mut bytes = Reader::new(bytes);
                for (bit, slot) in self.read.iter_mut().enumerate() {
                    if mask >> (COUNTS + bit) & 1 == 1 {
                        *slot = Some(sketch(&mut bytes)?);
                    }
                }
                bytes.end()?;
            }
        }
        Ok(Some(Row { step, combination, sum, latencies: &self.read }))
    }
}

fn sketch(reader: &mut Reader<'_>) -> Result<Sketch, Malformed> {
    let sum = reader.varint()?;
    let count = reader.varint_count()?;
    let mut buckets = Vec::with_capacity(count);
    let mut bucket = 0u64;
    for number in 0..count {
        let packed = reader.varint()?;
        let step = packed >> 2;
        bucket = bucket.saturating_add(step);
        if (number > 0 && step == 0) || bucket >= u64::from(BUCKETS) {
            return Err(Malformed("has an odd bucket"));
        }
        let few = (packed & 3) + 1;
        let count = if few == 4 { reader.varint()?.saturating_add(4) } else { few };
        buckets.push((bucket as u16, count));
    }
    Ok(Sketch { buckets, sum })
}
