//! The key index of a segment: for every kind of key, entries in order of fingerprint.
//!
//! An entry says where a run of rows begins that have a key, and bounds how many they are. Rows of one message
//! lie together, so that most keys take one entry for all of them. An index only proposes: what the rows hold
//! decides. So an entry keeps only as much of a fingerprint as tells keys of one segment apart well enough.
//!
//! The file is, for every kind, blocks of entries ([`packed`]) and then a fence for each: first fingerprint,
//! length and number of entries. Only fences are kept in memory, and only those that are asked for. Segments of format 1 ([`plain`]) are still read.

mod packed;
mod plain;

use super::checked::{CheckedFile, Damaged};
use crate::embedded::fingerprint::Kind;
use crate::embedded::ints::{Malformed, Reader};
use bytes::Bytes;
use packed::{BLOCK_ENTRIES, Block, Entry, width_of};
use plain::Plain;
use std::ops::Range;
use std::sync::Arc;

/// Format of the parts that are written. In format 2 entries were of single rows.
const FORMAT: u32 = 3;

const ROW_BITS: u32 = 24;
const RUN_BITS: u32 = 4;
const PREFIX_SHIFT: u32 = ROW_BITS + RUN_BITS;

/// Most bits that are kept of a fingerprint.
const PREFIX_BITS: u32 = u64::BITS - PREFIX_SHIFT;

/// Bits of the fingerprint of a place in a lane.
const PLACE_BITS: u32 = 56;

/// Most rows of a segment.
pub(crate) const ROWS_MAX: u32 = 1 << ROW_BITS;

/// An entry says in which sixteen rows a run begins: to read a page of them takes as long as to read one, and the
/// number of a row is most of an entry. Positions are in the order of rows, so that theirs take few bits anyway.
const ROW_SHIFT: u32 = 4;

/// Longest run of one entry, as a power of two.
const RUN_CODE_MAX: u32 = (1 << RUN_BITS) - 1;

/// Bytes of a fence: first fingerprint, bytes and entries of its block.
const FENCE_BYTES: usize = 16;

/// Where fingerprints leap farther than this, another lane begins, and with it a block; unless that were short.
const LEAP: u64 = 1 << 24;

/// Fewest entries of a block that ends at a leap.
const LEAP_ENTRIES_MIN: usize = BLOCK_ENTRIES / 8;

/// What one kind's part of the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    /// Format of the part; 1 where it is not said.
    #[serde(default = "format_1")]
    pub format: u32,
    /// Entries.
    pub count: u32,
    /// Bits that are kept of a fingerprint, from its top.
    #[serde(default)]
    pub fingerprint_bits: u32,
    /// Rows are counted by two to the power of this.
    #[serde(default)]
    pub row_shift: u32,
    /// Number of blocks.
    #[serde(default)]
    pub blocks: u32,
    /// Bytes of all blocks; their fences follow.
    #[serde(default)]
    pub block_bytes: u64,
    /// In format 1: the first entry in every block of the file that the part is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fences: Vec<u64>,
}

fn format_1() -> u32 {
    1
}

/// Collects the keys of rows in their order.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    kinds: [OfKind; Kind::ALL.len()],
    places: Vec<Entry>,
}

#[derive(Debug, Default)]
struct OfKind {
    /// Prefix, first row and run code in eight bytes: there are several of them for every row of a segment.
    entries: Vec<u64>,
    /// Runs that the last row was part of: fingerprint, first row, last row.
    open: Vec<(u64, u32, u32)>,
}

impl Writer {
    /// Adds a key of a row. Rows come in order.
    pub fn add(&mut self, row: u32, kind: Kind, fingerprint: u64) {
        let Self { kinds, places } = self;
        let OfKind { entries, open } = &mut kinds[kind as usize];
        let own = match kind {
            Kind::Place => fingerprint >> (u64::BITS - PLACE_BITS),
            _ => fingerprint >> PREFIX_SHIFT,
        };
        // Runs that did not come up to the row before are over.
        open.retain(|run| {
            let alive = run.2 + 1 >= row;
            if !alive {
                close(kind, run, entries, places);
            }
            alive
        });
        let known = open.iter_mut().find(|run| run.0 == own && run.2 - run.1 + 1 < 1 << RUN_CODE_MAX);
        match known {
            Some(run) => run.2 = row,
            None => open.push((own, row, row)),
        }
    }

    /// The file, and where its parts are.
    pub fn finish(self) -> (Vec<u8>, Vec<Part>) {
        let mut bytes = Vec::new();
        let Self { kinds, mut places } = self;
        let parts = Kind::ALL.into_iter().zip(kinds).map(|(kind, OfKind { mut entries, open })| {
            open.iter().for_each(|run| close(kind, run, &mut entries, &mut places));
            if kind == Kind::Place {
                places.sort_unstable_by_key(|entry| (entry.fingerprint, entry.row));
                return write_part(&mut bytes, (PLACE_BITS, 0), &places);
            }
            entries.sort_unstable();
            let bits = fingerprint_bits(kind, entries.len());
            let kept = |entry: &u64| shifted(plain::unpacked(*entry), PREFIX_BITS - bits);
            let mut kept: Vec<Entry> = entries.iter().map(kept).collect();
            kept.dedup_by(|entry, before| {
                let same = (entry.fingerprint, entry.row) == (before.fingerprint, before.row);
                before.code = if same { before.code.max(entry.code) } else { before.code };
                same
            });
            write_part(&mut bytes, (bits, ROW_SHIFT), &kept)
        });
        let parts = parts.collect();
        (bytes, parts)
    }
}

/// Turns a run that is over into an entry.
fn close(kind: Kind, run: &(u64, u32, u32), entries: &mut Vec<u64>, places: &mut Vec<Entry>) {
    let (fingerprint, row, last) = *run;
    let code = (last - row + 1).next_power_of_two().trailing_zeros();
    match kind {
        Kind::Place => places.push(Entry { fingerprint, row, code }),
        _ => entries.push(fingerprint << PREFIX_SHIFT | u64::from(row) << RUN_BITS | u64::from(code)),
    }
}

/// The entry with so many bits less of its fingerprint, and its rows counted by sixteen.
fn shifted(entry: Entry, fingerprint_bits: u32) -> Entry {
    // The run is not longer than its code says, and may begin anywhere in the first sixteen.
    let (first, last) = (entry.row >> ROW_SHIFT, (entry.row + (1 << entry.code) - 1) >> ROW_SHIFT);
    let code = (last - first + 1).next_power_of_two().trailing_zeros();
    Entry { fingerprint: entry.fingerprint >> fingerprint_bits, row: first, code }
}

/// How much of a fingerprint to keep: in each segment one look-up of a thousand then meets a row that has not
/// its key, which are 2 % of all look-ups in 24 segments. Spans are asked for by the hundred thousand, to find
/// out which events of a log are sealed already: for them one in sixteen thousand does.
fn fingerprint_bits(kind: Kind, entries: usize) -> u32 {
    let spare = if kind == Kind::Span { 14 } else { 10 };
    (width_of(entries as u64) + spare).min(PREFIX_BITS)
}

fn write_part(bytes: &mut Vec<u8>, (fingerprint_bits, row_shift): (u32, u32), entries: &[Entry]) -> Part {
    let start = bytes.len();
    let mut fences: Vec<u8> = Vec::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let (block, behind) = rest.split_at(block_len(rest));
        let block_start = bytes.len();
        packed::encode(bytes, block);
        fences.extend_from_slice(&first.fingerprint.to_le_bytes());
        fences.extend_from_slice(&((bytes.len() - block_start) as u32).to_le_bytes());
        fences.extend_from_slice(&(block.len() as u32).to_le_bytes());
        rest = behind;
    }
    let block_bytes = (bytes.len() - start) as u64;
    bytes.extend_from_slice(&fences);
    let blocks = (fences.len() / FENCE_BYTES) as u32;
    Part {
        format: FORMAT,
        count: entries.len() as u32,
        fingerprint_bits,
        row_shift,
        blocks,
        block_bytes,
        fences: Vec::new(),
    }
}

/// Entries of the next block.
fn block_len(entries: &[Entry]) -> usize {
    let most = entries.len().min(BLOCK_ENTRIES);
    let leap = |number: &usize| entries[*number].fingerprint - entries[number - 1].fingerprint > LEAP;
    (LEAP_ENTRIES_MIN..most).find(leap).unwrap_or(most)
}

/// The key index of a segment, to read.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    file: CheckedFile,
    rows: u32,
    parts: Vec<OpenPart>,
}

#[derive(Debug)]
enum OpenPart {
    Plain(Plain),
    Packed { start: u64, part: Part },
}

/// First fingerprint, place in the file and entries of every block of a part.
#[derive(Debug)]
pub(crate) struct Fences {
    firsts: Vec<u64>,
    blocks: Vec<(Range<u64>, u32)>,
}

impl KeyIndex {
    /// Takes the file, if its length fits its parts; says why where it does not.
    pub fn new(file: CheckedFile, rows: u32, parts: Vec<Part>) -> Result<Self, String> {
        let mut start = 0u64;
        let mut opened = Vec::with_capacity(parts.len());
        for part in parts {
            let (part, bytes) = open_part(start, part)?;
            opened.push(part);
            start = start.saturating_add(bytes);
        }
        match start == file.byte_len() && opened.len() <= Kind::ALL.len() {
            true => Ok(Self { file, rows, parts: opened }),
            false => Err("does not fit its key index".to_owned()),
        }
    }

    /// Rows that may be under any of these fingerprints; `fingerprints` in order.
    pub fn rows_under(&self, kind: Kind, fingerprints: &[u64]) -> Result<Vec<Range<u32>>, Damaged> {
        let mut found = Vec::new();
        self.probe(kind, fingerprints, |_, rows| found.push(rows))?;
        Ok(found)
    }

    /// Calls `each` with every fingerprint (by its place) and the rows that may be under it; `fingerprints` in
    /// order. Every block is read once at most, however many fingerprints there are.
    pub fn probe(
        &self,
        kind: Kind,
        fingerprints: &[u64],
        mut each: impl FnMut(usize, Range<u32>),
    ) -> Result<(), Damaged> {
        let row_shift = match self.parts.get(kind as usize) {
            Some(OpenPart::Packed { part, .. }) => part.row_shift,
            _ => 0,
        };
        let each = |place: usize, entry: Entry| {
            let rows = entry.rows();
            let row = |number: u32| (u64::from(number) << row_shift).min(u64::from(self.rows)) as u32;
            if row(rows.start) < self.rows {
                each(place, row(rows.start)..row(rows.end));
            }
        };
        match self.parts.get(kind as usize) {
            // Segments from before there was that kind.
            None => Ok(()),
            Some(OpenPart::Plain(plain)) => plain.probe(&self.file, fingerprints, each),
            Some(OpenPart::Packed { start, part }) => {
                self.probe_packed(kind, (*start, part), fingerprints, each)
            }
        }
    }

    fn probe_packed(
        &self,
        kind: Kind,
        (start, part): (u64, &Part),
        fingerprints: &[u64],
        mut each: impl FnMut(usize, Entry),
    ) -> Result<(), Damaged> {
        if part.count == 0 {
            return Ok(());
        }
        let fences = self.fences(kind, start, part)?;
        let kept = |fingerprint: u64| fingerprint >> (u64::BITS - part.fingerprint_bits);
        let mut place = 0;
        while let Some(fingerprint) = fingerprints.get(place) {
            // The block before the first fence past it may end with it.
            let wanted = kept(*fingerprint);
            let mut number = fences.firsts.partition_point(|first| *first < wanted).saturating_sub(1);
            let next = fences.firsts.get(number + 1).copied();
            let only_here = |fingerprint: &u64| next.is_none_or(|next| kept(*fingerprint) < next);
            let here = fingerprints[place..].partition_point(only_here);
            if here > 0 {
                let wanted = fingerprints[place..place + here].iter().map(|fingerprint| kept(*fingerprint));
                let bytes = self.block_bytes(&fences, number)?;
                let block = self.block(&fences, number, &bytes)?;
                under_each(block, fences.blocks[number].1, wanted, |nth, entry| each(place + nth, entry));
                place += here;
                continue;
            }
            // It begins a block: those before it may end with it, and it may fill several.
            while fences.firsts.get(number).is_some_and(|first| *first <= wanted) {
                let bytes = self.block_bytes(&fences, number)?;
                let block = self.block(&fences, number, &bytes)?;
                block.under(wanted).for_each(|entry| each(place, entry));
                number += 1;
            }
            place += 1;
        }
        Ok(())
    }

    fn block_bytes(&self, fences: &Fences, number: usize) -> Result<Bytes, Damaged> {
        let (range, _) = &fences.blocks[number];
        self.file.read(range.start, (range.end - range.start) as usize)
    }

    fn block<'b>(&self, fences: &Fences, number: usize, bytes: &'b [u8]) -> Result<Block<'b>, Damaged> {
        let count = fences.blocks[number].1 as usize;
        Block::new(bytes, fences.firsts[number], count).map_err(|odd| self.odd(odd))
    }

    fn fences(&self, kind: Kind, start: u64, part: &Part) -> Result<Arc<Fences>, Damaged> {
        self.file.metadata(kind as u8, || {
            let bytes = self.file.read(start + part.block_bytes, part.blocks as usize * FENCE_BYTES)?;
            let fences = read_fences(start, part, &bytes).map_err(|odd| self.odd(odd))?;
            let each = size_of::<u64>() + size_of::<(Range<u64>, u32)>();
            Ok((fences, size_of::<Fences>() + part.blocks as usize * each))
        })
    }

    fn odd(&self, odd: Malformed) -> Damaged {
        self.file.damaged(format!("key index {}", odd.0))
    }

    /// The file.
    pub fn file(&self) -> &CheckedFile {
        &self.file
    }
}

/// Entries of a block for each of which one fingerprint is looked for, at the most, when it is gone through from its
/// begin to its end; with fewer fingerprints each is searched by itself.
const ENTRIES_GONE_THROUGH: usize = 16;

/// Calls `each` with the place of every fingerprint (in order, none before the block's first is found) and its entries.
fn under_each(
    block: Block<'_>,
    count: u32,
    wanted: impl ExactSizeIterator<Item = u64>,
    mut each: impl FnMut(usize, Entry),
) {
    let first = block.first();
    if wanted.len() * ENTRIES_GONE_THROUGH < count as usize {
        let wanted = wanted.enumerate().filter(|(_, fingerprint)| *fingerprint >= first);
        wanted.for_each(|(nth, wanted)| block.under(wanted).for_each(|entry| each(nth, entry)));
        return;
    }
    let mut entries = block.entries();
    let mut next = entries.next();
    for (nth, wanted) in wanted.enumerate() {
        while next.is_some_and(|entry| entry.fingerprint < wanted) {
            next = entries.next();
        }
        // Not gone past: the next one wanted may be the same.
        let (mut same, mut behind) = (next, entries.clone());
        while let Some(entry) = same.filter(|entry| entry.fingerprint == wanted) {
            each(nth, entry);
            same = behind.next();
        }
    }
}

fn open_part(start: u64, part: Part) -> Result<(OpenPart, u64), String> {
    let misfit = || "does not fit its key index".to_owned();
    match part.format {
        1 => {
            let plain = Plain::new(start, part.count, part.fences).ok_or_else(misfit)?;
            let bytes = plain.bytes();
            Ok((OpenPart::Plain(plain), bytes))
        }
        2 | FORMAT => {
            let fences = u64::from(part.blocks) * FENCE_BYTES as u64;
            let bytes = part.block_bytes.checked_add(fences).ok_or_else(misfit)?;
            let sound = (1..=PLACE_BITS).contains(&part.fingerprint_bits)
                && part.row_shift <= ROW_BITS
                && (part.count == 0) == (part.blocks == 0);
            sound.then_some((OpenPart::Packed { start, part }, bytes)).ok_or_else(misfit)
        }
        newer => Err(format!("key index was written by a newer hopscope format={newer} known={FORMAT}")),
    }
}

fn read_fences(start: u64, part: &Part, bytes: &[u8]) -> Result<Fences, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut fences = Fences { firsts: Vec::new(), blocks: Vec::new() };
    let (mut place, mut entries) = (start, 0u64);
    for _ in 0..part.blocks {
        let first = reader.u64()?;
        let (len, count) = (reader.u32()?, reader.u32()?);
        if count as usize > BLOCK_ENTRIES || fences.firsts.last().is_some_and(|last| *last > first) {
            return Err(Malformed("has an odd fence"));
        }
        let end = place + u64::from(len);
        fences.firsts.push(first);
        fences.blocks.push((place..end, count));
        (place, entries) = (end, entries + u64::from(count));
    }
    match place == start + part.block_bytes && entries == u64::from(part.count) {
        true => Ok(fences),
        false => Err(Malformed("has other blocks than it says")),
    }
}

#[cfg(test)]
mod tests;
