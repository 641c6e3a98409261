//! Looking through the bytes of a log: which records are sound, where the file ends, and what was good once.

use super::{FILE_HEADER_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC, file_header, header_checksum};
use std::ops::Range;

const SECTOR_BYTES: u64 = 512;

/// Fewer zeros than this at the edge of a record say nothing: a payload may end with some.
const ZEROS_MIN: usize = 16;

/// What a log file, or the end of one, holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Sound records in order.
    pub records: Vec<Found>,
    /// Length up to which the file is to be kept; less than the file where a write never completed.
    pub keep: u64,
    /// Bytes that were good once.
    pub damage: Vec<Damage>,
}

/// A sound record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where in the file its payload begins.
    pub start: u64,
    /// Where in the file its payload ends.
    pub end: u64,
    pub rows: u32,
    pub received_ns: i64,
    durable: u64,
    payload_crc32c: u32,
}

impl Found {
    /// Whether this is its payload.
    pub(super) fn is_sound(&self, payload: &[u8]) -> bool {
        crc32c::crc32c(payload) == self.payload_crc32c
    }
}

/// Bytes between two places that can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub from: u64,
    pub to: u64,
    /// Rows and received time, where the record's header is sound.
    pub of: Option<(u32, i64)>,
}

/// The record whose header lies at that place of a log's file; its payload is not looked at.
pub(super) fn header_of(number: u64, place: u64, header: &[u8]) -> Option<Found> {
    let header = header.get(..RECORD_HEADER_BYTES)?;
    let u32_at = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
    // The magic first: this is asked for every place after damage.
    let sound =
        header.starts_with(RECORD_MAGIC) && u32_at(32)? == header_checksum(number, place, &header[..32]);
    if !sound {
        return None;
    }
    let start = place.checked_add(RECORD_HEADER_BYTES as u64)?;
    Some(Found {
        start,
        end: start.checked_add(u64::from(u32_at(4)?))?,
        rows: u32_at(24)?,
        received_ns: u64_at(16)? as i64,
        durable: u64_at(8)?,
        payload_crc32c: u32_at(28)?,
    })
}

/// Looks through a log's file from the place `base` on, where a record begins or, at 0, the file's header.
pub(super) fn scan(number: u64, base: u64, bytes: &[u8]) -> Scan {
    let view = View { number, base, bytes };
    let end = view.end();
    let mut scan = Scan { keep: end, ..Scan::default() };
    let mut bad: Vec<Damage> = Vec::new();
    let mut place = base;
    if base == 0 {
        place = FILE_HEADER_BYTES;
        if view.get(0..place) != Some(&file_header(number)) {
            bad.push(Damage { from: 0, to: place.min(end), of: None });
        }
    }
    while place < end {
        let header = view.header_at(place);
        if let Some(found) = header.filter(|found| view.is_sound(found)) {
            place = found.end;
            scan.records.push(found);
            continue;
        }
        let claimed = header.map(|found| found.end).filter(|claimed| *claimed <= end);
        let next = match claimed {
            // A sound header says where the next record begins.
            Some(claimed) if claimed == end || view.sound_at(claimed) => claimed,
            _ => (place + 1..end).find(|at| view.sound_at(*at)).unwrap_or(end),
        };
        let of = header.map(|found| (found.rows, found.received_ns));
        bad.push(Damage { from: place, to: next, of });
        place = next;
    }
    for damage in bad {
        let after = || scan.records.iter().filter(|record| record.start >= damage.to);
        let was_durable = after().any(|record| record.durable > damage.from);
        if was_durable || !view.never_completed(damage.from, damage.to) {
            scan.damage.push(damage);
        } else {
            // Nothing behind it was acknowledged either.
            scan.keep = damage.from;
            scan.records.retain(|record| record.end <= damage.from);
            break;
        }
    }
    scan
}

/// Bytes of a log's file from a place on; ranges are of the file.
struct View<'a> {
    number: u64,
    base: u64,
    bytes: &'a [u8],
}

impl View<'_> {
    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let index = |place: u64| usize::try_from(place.checked_sub(self.base)?).ok();
        self.bytes.get(index(range.start)?..index(range.end)?)
    }

    fn header_at(&self, place: u64) -> Option<Found> {
        let header = self.get(place..place.checked_add(RECORD_HEADER_BYTES as u64)?)?;
        header_of(self.number, place, header)
    }

    fn is_sound(&self, found: &Found) -> bool {
        self.get(found.start..found.end).is_some_and(|payload| found.is_sound(payload))
    }

    fn sound_at(&self, place: u64) -> bool {
        self.header_at(place).is_some_and(|found| self.is_sound(&found))
    }

    /// Whether bad bytes look like a write that the power cut short: the file ends inside a record, or a sector
    /// of it was never written. (Compressed payloads hold no sector of zeros.)
    fn never_completed(&self, from: u64, to: u64) -> bool {
        let ends_inside = to == self.end()
            && (to - from < RECORD_HEADER_BYTES as u64
                || self.header_at(from).is_some_and(|found| found.end > to));
        let first_sector = from.next_multiple_of(SECTOR_BYTES);
        let zeros = |range: Range<u64>| {
            let part = self.get(range).unwrap_or_default();
            part.len() >= ZEROS_MIN && part.iter().all(|byte| *byte == 0)
        };
        let mut sectors = (first_sector..to).step_by(SECTOR_BYTES as usize);
        // The first and the last sector may be shared with something else: the record's own part of them counts.
        ends_inside
            || zeros(from..first_sector.min(to))
            || sectors.any(|sector| zeros(sector..(sector + SECTOR_BYTES).min(to)))
    }
}
