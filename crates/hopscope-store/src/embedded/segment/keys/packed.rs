//! Blocks of the packed key index: entries in order of fingerprint, as few bits each as they need.
//!
//! Fingerprints are hashes and so spread evenly: what they are beyond the block's first is split into low bits,
//! kept as they are, and high bits, kept in unary (Elias–Fano). A search counts zeros up to the bucket it wants
//! and looks at the one or two entries in it; nothing else of the block is decoded.
//!
//! ```text
//! least row u32 · low bits u8 · row bits u8 · run codes: least (low 4 bits), bits each (high 4) u8
//! bytes of the unary part u16 · unary part: for every entry a one, before it a zero for each step of its high bits
//! entries: low bits of the fingerprint, row beyond the least, run code beyond the least; padded to a byte
//! ```

use crate::embedded::ints::{Malformed, Reader};
use std::ops::Range;

/// Entries of a block, but for the last one of a part.
pub(super) const BLOCK_ENTRIES: usize = 1_024;

/// Most bits of a field: what one unaligned load of 64 bits holds.
const FIELD_BITS_MAX: u32 = 57;

/// One run of rows under one fingerprint, of which only the bits that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub fingerprint: u64,
    pub row: u32,
    /// The run is not longer than two to the power of this.
    pub code: u32,
}

impl Entry {
    /// Rows that may be under the fingerprint.
    pub fn rows(&self) -> Range<u32> {
        self.row..self.row.saturating_add(1 << self.code.min(super::RUN_CODE_MAX))
    }
}

/// Appends a block; entries are in order, not more than fit one, their fingerprints of 56 bits at most.
pub(super) fn encode(out: &mut Vec<u8>, entries: &[Entry]) {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
    let (base, range) = (first.fingerprint, last.fingerprint - first.fingerprint);
    let low_bits = (range / entries.len() as u64).checked_ilog2().unwrap_or(0);
    let (least_row, row_bits) = frame(entries.iter().map(|entry| entry.row));
    let (least_code, code_bits) = frame(entries.iter().map(|entry| entry.code));
    let mut unary = vec![0u8; (entries.len() + (range >> low_bits) as usize).div_ceil(8)];
    for (number, entry) in entries.iter().enumerate() {
        let bit = number + ((entry.fingerprint - base) >> low_bits) as usize;
        unary[bit / 8] |= 1 << (bit % 8);
    }
    out.extend_from_slice(&least_row.to_le_bytes());
    out.extend_from_slice(&[low_bits as u8, row_bits as u8, (least_code | code_bits << 4) as u8]);
    out.extend_from_slice(&(unary.len() as u16).to_le_bytes());
    out.extend_from_slice(&unary);
    let mut bits = BitWriter { out, pending: 0, filled: 0 };
    for entry in entries {
        bits.push((entry.fingerprint - base) & mask(low_bits), low_bits);
        let row = u64::from(entry.row - least_row);
        bits.push(row | u64::from(entry.code - least_code) << row_bits, row_bits + code_bits);
    }
    bits.finish();
}

/// The least of these numbers, and the bits that one takes beyond it.
fn frame(numbers: impl Iterator<Item = u32> + Clone) -> (u32, u32) {
    let least = numbers.clone().min().unwrap_or(0);
    (least, width_of(u64::from(numbers.max().unwrap_or(0) - least)))
}

/// Bits that a number takes.
pub(super) fn width_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    filled: u32,
}

impl BitWriter<'_> {
    fn push(&mut self, value: u64, bits: u32) {
        self.pending |= u128::from(value) << self.filled;
        self.filled += bits;
        if self.filled >= 64 {
            self.out.extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.filled -= 64;
        }
    }

    fn finish(self) {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// A block, to read. Any bytes are safe to read; what they say may be wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    base: u64,
    count: usize,
    low_bits: u32,
    least_row: u32,
    row_bits: u32,
    least_code: u32,
    code_bits: u32,
    unary: &'a [u8],
    fields: &'a [u8],
}

impl<'a> Block<'a> {
    /// Takes the bytes of a block of `count` entries of which the first has the fingerprint `base`.
    pub fn new(bytes: &'a [u8], base: u64, count: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let least_row = reader.u32()?;
        let [low_bits, row_bits, codes] = reader.array()?.map(u32::from);
        let (least_code, code_bits) = (codes & 0xF, codes >> 4);
        let unary_len = usize::from(u16::from_le_bytes(reader.array()?));
        let unary = reader.take(unary_len)?;
        if low_bits > FIELD_BITS_MAX || row_bits > u32::BITS {
            return Err(Malformed("has a field of odd width"));
        }
        let bits = count as u64 * u64::from(low_bits + row_bits + code_bits);
        let fields = reader.take(bits.div_ceil(8) as usize)?;
        reader.end()?;
        Ok(Self { base, count, low_bits, least_row, row_bits, least_code, code_bits, unary, fields })
    }

    /// All entries in order.
    pub fn entries(self) -> Entries<'a> {
        Entries { block: self, number: 0, bit: 0 }
    }

    /// The fingerprint of its first entry.
    pub fn first(self) -> u64 {
        self.base
    }

    /// The entries of that fingerprint, which is not before the block's first.
    pub fn under(self, fingerprint: u64) -> impl Iterator<Item = Entry> {
        let bucket = fingerprint.wrapping_sub(self.base) >> self.low_bits;
        let bit = after_zeros(self.unary, bucket);
        let number = bit.saturating_sub(bucket as usize);
        let from_bucket = Entries { block: self, number, bit };
        from_bucket
            .skip_while(move |entry| entry.fingerprint < fingerprint)
            .take_while(move |entry| entry.fingerprint == fingerprint)
    }

    fn entry(&self, number: usize, bucket: u64) -> Entry {
        let place = number * (self.low_bits + self.row_bits + self.code_bits) as usize;
        let low = field(self.fields, place, self.low_bits);
        let rest = field(self.fields, place + self.low_bits as usize, self.row_bits + self.code_bits);
        let beyond = bucket.unbounded_shl(self.low_bits) | low;
        Entry {
            fingerprint: self.base.wrapping_add(beyond),
            row: self.least_row.saturating_add((rest & mask(self.row_bits)) as u32),
            code: self.least_code + (rest >> self.row_bits) as u32,
        }
    }
}

/// The entries of a block from one of them on.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    block: Block<'a>,
    number: usize,
    /// Where the entry's one is in the unary part, or zeros before it.
    bit: usize,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.number >= self.block.count {
            return None;
        }
        let bit = next_one(self.block.unary, self.bit)?;
        let entry = self.block.entry(self.number, bit.saturating_sub(self.number) as u64);
        (self.number, self.bit) = (self.number + 1, bit + 1);
        Some(entry)
    }
}

/// The 64 bits from that byte on; zeros past the end.
fn load(bytes: &[u8], at: usize) -> u64 {
    if let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        return u64::from_le_bytes(*eight);
    }
    let mut eight = [0; 8];
    let rest = bytes.get(at..).unwrap_or_default();
    eight[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(eight)
}

fn field(bytes: &[u8], bit: usize, bits: u32) -> u64 {
    (load(bytes, bit / 8) >> (bit % 8)) & mask(bits)
}

/// Place of the next one from `bit` on.
fn next_one(bytes: &[u8], mut bit: usize) -> Option<usize> {
    while bit < bytes.len() * 8 {
        let word = load(bytes, bit / 8) >> (bit % 8);
        if word != 0 {
            return Some(bit + word.trailing_zeros() as usize);
        }
        bit += 64 - bit % 8;
    }
    None
}

/// Place behind that many zeros; the end where there are fewer.
fn after_zeros(bytes: &[u8], mut zeros: u64) -> usize {
    let mut at = 0;
    while zeros > 0 {
        if at >= bytes.len() {
            return bytes.len() * 8;
        }
        let mut word = !load(bytes, at);
        let here = u64::from(word.count_ones());
        if here >= zeros {
            (1..zeros).for_each(|_| word &= word - 1);
            return at * 8 + word.trailing_zeros() as usize + 1;
        }
        zeros -= here;
        at += 8;
    }
    at * 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::random::Random;

    /// Entries in order, fingerprints below `range`, some of them equal.
    fn entries(random: &mut Random, count: usize, range: u64, code_max: u64) -> Vec<Entry> {
        let mut entries: Vec<Entry> = (0..count)
            .map(|_| Entry {
                fingerprint: random.below(range),
                row: random.below(1 << 22) as u32,
                code: random.below(code_max + 1) as u32,
            })
            .collect();
        entries.sort_by_key(|entry| (entry.fingerprint, entry.row));
        entries
    }

    #[test]
    fn blocks_of_every_shape_come_back() {
        let mut random = Random(3);
        for count in [1, 2, 3, 63, 64, 65, BLOCK_ENTRIES] {
            for (range, code_max) in [(1, 0), (2, 15), (50, 1), (1 << 20, 3), (1 << 36, 15)] {
                let wanted = entries(&mut random, count, range, code_max);
                let mut bytes = Vec::new();
                encode(&mut bytes, &wanted);
                let base = wanted[0].fingerprint;
                let block = Block::new(&bytes, base, count).expect("sound");
                assert_eq!(block.entries().collect::<Vec<_>>(), wanted, "{count} {range}");
                let probes =
                    wanted.iter().map(|entry| entry.fingerprint).chain([base, base + 1, 1 << 35, u64::MAX]);
                for probe in probes.filter(|probe| *probe >= base) {
                    let under: Vec<Entry> = block.under(probe).collect();
                    let expected: Vec<Entry> =
                        wanted.iter().filter(|entry| entry.fingerprint == probe).copied().collect();
                    assert_eq!(under, expected, "{count} {range} {probe}");
                }
                for cut in 0..bytes.len() {
                    assert!(Block::new(&bytes[..cut], base, count).is_err(), "{cut}");
                }
            }
        }
    }

    #[test]
    fn changed_bytes_are_safe_to_read() {
        let seed = 9;
        println!("seed={seed}");
        let mut random = Random(seed);
        let wanted = entries(&mut random, 200, 1 << 30, 3);
        let mut bytes = Vec::new();
        encode(&mut bytes, &wanted);
        for _ in 0..10_000 {
            let mut bad = bytes.clone();
            for _ in 0..1 + random.below(4) {
                // The header decides how the rest is read: it is hit as often as all the rest.
                let len = if random.chance(2) { 9 } else { bad.len() as u64 };
                bad[random.below(len) as usize] ^= 1 << random.below(8);
            }
            let base = random.bits() >> random.below(64);
            let Ok(block) = Block::new(&bad, base, 200) else { continue };
            assert!(block.entries().count() <= 200);
            assert!(block.under(base.saturating_add(random.bits() >> random.below(64))).count() <= 200);
            block.entries().for_each(|entry| assert!(entry.rows().end >= entry.row));
        }
    }
}
