//! The write-ahead log: one file after the other, each a header and records; a record is one batch.
//!
//! Every record says how far the file was durable when it was written. That is how a scan tells two kinds of
//! bad bytes apart: before a record that knew them to be durable they are *damage* to something that was
//! acknowledged; at the end they may be a write that never completed, and are cut off.

use super::dir::{Dir, File};
use std::io;
use std::sync::Arc;

const FILE_MAGIC: &[u8; 8] = b"HOPSLOG1";
const RECORD_MAGIC: &[u8; 4] = b"HREC";

/// File header: magic, number of the log, CRC32C of both.
pub(crate) const FILE_HEADER_BYTES: u64 = 20;

/// Record header: magic, payload bytes, durable bytes of the file, received time, rows, CRC32C of the payload,
/// CRC32C of all this with the log's number and the record's place before it.
const RECORD_HEADER_BYTES: usize = 36;

const SECTOR_BYTES: usize = 512;

/// Fewer zeros than this at the edge of a record say nothing: a payload may end with some.
const ZEROS_MIN: usize = 16;

/// Name of that log's file.
pub(crate) fn file_name(log: u64) -> String {
    format!("log-{log:010}.wal")
}

/// Number of the log of that file name.
pub(crate) fn log_of(name: &str) -> Option<u64> {
    name.strip_prefix("log-")?.strip_suffix(".wal")?.parse().ok()
}

/// A log that is written to. After a failed sync it takes nothing more: what is on the disk is not known.
#[derive(Debug)]
pub(crate) struct Log {
    pub number: u64,
    file: Arc<dyn File>,
    /// Length of the file, all of it good.
    len: u64,
    /// How much of it is durable.
    durable: u64,
    /// Why it takes nothing more.
    broken: Option<String>,
}

impl Log {
    /// A new log, durable with its name.
    pub fn create(dir: &dyn Dir, folder: &str, number: u64) -> io::Result<Self> {
        let file = dir.create(&format!("{folder}/{}", file_name(number)))?;
        file.append(&file_header(number))?;
        file.sync_data()?;
        dir.sync_dir(folder)?;
        Ok(Self { number, file, len: FILE_HEADER_BYTES, durable: FILE_HEADER_BYTES, broken: None })
    }

    /// Goes on with a log that was scanned, cut to its good length and synced.
    pub fn resume(number: u64, file: Arc<dyn File>, len: u64) -> Self {
        Self { number, file, len, durable: len, broken: None }
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it takes nothing more: another log has to take its place.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Writes records and makes them durable: all of them when it answers `Ok`, none acknowledged otherwise.
    pub fn commit<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) -> io::Result<()> {
        let before = self.len;
        self.write(records)?;
        self.sync().inspect_err(|_| {
            // Nobody was told that it is stored, so nobody should find it. Best effort: a repeat of it is
            // written to the next log all the same.
            if self.file.truncate(before).is_ok() {
                self.len = before;
            }
        })
    }

    /// Writes records; they are durable after [`Log::sync`] only.
    pub fn write<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) -> io::Result<()> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(reason.clone()));
        }
        let mut bytes = Vec::new();
        for record in records {
            let place = self.len + bytes.len() as u64;
            bytes.extend_from_slice(&record_header(self.number, place, self.durable, &record));
            bytes.extend_from_slice(record.payload);
        }
        if let Err(error) = self.file.append(&bytes) {
            // A part may be there: nothing may be written behind it.
            if let Err(cut) = self.file.truncate(self.len) {
                self.broken = Some(format!("a failed write could not be undone: {error}; {cut}"));
            }
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable, where it is not yet.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(reason.clone()));
        }
        if self.durable < self.len {
            self.file.sync_data().inspect_err(|error| {
                // The pages may be gone from memory and not be on the disk: a second sync would lie.
                self.broken = Some(format!("fdatasync failed: {error}"));
            })?;
            self.durable = self.len;
        }
        Ok(())
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub payload: &'a [u8],
    pub received_ns: i64,
    pub rows: u32,
}

fn file_header(number: u64) -> Vec<u8> {
    let mut header = FILE_MAGIC.to_vec();
    header.extend_from_slice(&number.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

fn record_header(number: u64, place: u64, durable: u64, record: &Record<'_>) -> Vec<u8> {
    let mut header = Vec::with_capacity(RECORD_HEADER_BYTES);
    header.extend_from_slice(RECORD_MAGIC);
    header.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
    header.extend_from_slice(&durable.to_le_bytes());
    header.extend_from_slice(&record.received_ns.to_le_bytes());
    header.extend_from_slice(&record.rows.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(record.payload).to_le_bytes());
    let checksum = header_checksum(number, place, &header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

fn header_checksum(number: u64, place: u64, fields: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&number.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(checksum, &place.to_le_bytes()), fields)
}

/// What a log file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Sound records in order, as ranges of their payloads.
    pub records: Vec<Found>,
    /// Length up to which the file is to be kept; less than the file where a write never completed.
    pub keep: u64,
    /// Bytes that were good once.
    pub damage: Vec<Damage>,
}

/// A sound record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub start: usize,
    pub end: usize,
    pub rows: u32,
    pub received_ns: i64,
    durable: u64,
}

/// Bytes between two places that can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub from: u64,
    pub to: u64,
    /// Rows and received time, where the record's header is sound.
    pub of: Option<(u32, i64)>,
}

/// Looks through a whole log file.
pub(crate) fn scan(number: u64, bytes: &[u8]) -> Scan {
    let mut scan = Scan { keep: bytes.len() as u64, ..Scan::default() };
    let mut bad: Vec<Damage> = Vec::new();
    let mut place = FILE_HEADER_BYTES as usize;
    let header_sound = bytes.get(..place) == Some(&file_header(number));
    if !header_sound {
        bad.push(Damage { from: 0, to: place.min(bytes.len()) as u64, of: None });
    }
    while place < bytes.len() {
        let header = header_at(number, bytes, place);
        if let Some(found) = header.filter(|found| payload_sound(bytes, place, found)) {
            place = found.end;
            scan.records.push(found);
            continue;
        }
        let claimed = header.map(|found| found.end).filter(|end| *end <= bytes.len());
        let next = match claimed {
            // A sound header says where the next record begins.
            Some(end) if end == bytes.len() || sound_at(number, bytes, end) => end,
            _ => (place + 1..bytes.len()).find(|at| sound_at(number, bytes, *at)).unwrap_or(bytes.len()),
        };
        let of = header.map(|found| (found.rows, found.received_ns));
        bad.push(Damage { from: place as u64, to: next as u64, of });
        place = next;
    }
    for damage in bad {
        let after = || scan.records.iter().filter(|record| record.start as u64 >= damage.to);
        let was_durable = after().any(|record| record.durable > damage.from);
        let from = damage.from as usize;
        if was_durable || !never_completed(number, bytes, from, damage.to as usize) {
            scan.damage.push(damage);
        } else {
            // Nothing behind it was acknowledged either.
            scan.keep = damage.from;
            scan.records.retain(|record| record.end <= from);
            break;
        }
    }
    scan
}

/// Whether bad bytes look like a write that the power cut short: the file ends inside a record, or a sector of
/// it was never written. (Compressed payloads hold no sector of zeros.)
fn never_completed(number: u64, bytes: &[u8], from: usize, to: usize) -> bool {
    let ends_inside = to == bytes.len()
        && (to - from < RECORD_HEADER_BYTES
            || header_at(number, bytes, from).is_some_and(|found| found.end > bytes.len()));
    let first_sector = from.next_multiple_of(SECTOR_BYTES);
    let zeros = |range: std::ops::Range<usize>| {
        let part = bytes.get(range).unwrap_or_default();
        part.len() >= ZEROS_MIN && part.iter().all(|byte| *byte == 0)
    };
    let mut sectors = (first_sector..to).step_by(SECTOR_BYTES);
    // The first and the last sector may be shared with something else: the record's own part of them counts.
    ends_inside
        || zeros(from..first_sector.min(to))
        || sectors.any(|sector| zeros(sector..(sector + SECTOR_BYTES).min(to)))
}

fn sound_at(number: u64, bytes: &[u8], place: usize) -> bool {
    // The magic first: this is asked for every place after damage.
    bytes.get(place..place + 4) == Some(RECORD_MAGIC)
        && header_at(number, bytes, place).is_some_and(|found| payload_sound(bytes, place, &found))
}

fn header_at(number: u64, bytes: &[u8], place: usize) -> Option<Found> {
    let header = bytes.get(place..place.checked_add(RECORD_HEADER_BYTES)?)?;
    let u32_at = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
    let sound = header.starts_with(RECORD_MAGIC)
        && u32_at(32)? == header_checksum(number, place as u64, &header[..32]);
    let start = place + RECORD_HEADER_BYTES;
    let found = Found {
        start,
        end: start.checked_add(u32_at(4)? as usize)?,
        rows: u32_at(24)?,
        received_ns: u64_at(16)? as i64,
        durable: u64_at(8)?,
    };
    sound.then_some(found)
}

fn payload_sound(bytes: &[u8], place: usize, found: &Found) -> bool {
    let checksum =
        bytes.get(place + 28..place + 32).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    bytes.get(found.start..found.end).is_some_and(|payload| Some(crc32c::crc32c(payload)) == checksum)
}

#[cfg(test)]
mod tests {
    use super::super::dir::read_all;
    use super::super::sim_dir::{Failure, Fault, Operation, SimDir};
    use super::*;
    use crate::kit::random::Random;

    const PATH: &str = "t/log-0000000007.wal";

    /// A log of three commits with 1, 2 and 1 records, payloads without zeros.
    fn log_of_four() -> (SimDir, Vec<Vec<u8>>) {
        let dir = SimDir::new();
        dir.make_dir("t").and_then(|()| dir.sync_dir("")).expect("made");
        let mut log = Log::create(&dir, "t", 7).expect("created");
        let mut random = Random(3);
        let payloads: Vec<Vec<u8>> =
            [900, 40, 3_000, 700].map(|len| (0..len).map(|_| 1 + random.below(255) as u8).collect()).into();
        for commit in [&payloads[..1], &payloads[1..3], &payloads[3..]] {
            let record = |payload| Record { payload, received_ns: 5, rows: 2 };
            log.commit(commit.iter().map(|payload| record(&payload[..]))).expect("committed");
        }
        (dir, payloads)
    }

    fn found<'a>(bytes: &'a [u8], scan: &Scan) -> Vec<&'a [u8]> {
        scan.records.iter().map(|record| &bytes[record.start..record.end]).collect()
    }

    #[test]
    fn a_sound_log_is_read_whole() {
        let (dir, payloads) = log_of_four();
        let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
        let scan = scan(7, &bytes);
        assert_eq!(found(&bytes, &scan), payloads);
        assert_eq!((scan.keep, scan.damage), (bytes.len() as u64, vec![]));
    }

    #[test]
    fn any_cut_end_is_cut_off_without_damage() {
        let (dir, payloads) = log_of_four();
        let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
        for len in 0..bytes.len() {
            let scan = scan(7, &bytes[..len]);
            let whole = found(&bytes, &scan);
            assert_eq!(whole, payloads[..whole.len()], "len={len}");
            assert_eq!(
                scan.keep as usize,
                scan.records.last().map_or(20.min(len / 20 * 20), |last| last.end)
            );
            assert_eq!(scan.damage, [], "len={len}");
        }
    }

    #[test]
    fn any_flipped_bit_is_damage_and_costs_one_record() {
        let (dir, payloads) = log_of_four();
        let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let scan = scan(7, &bad);
            let lost = if at < 20 { 0 } else { 1 };
            assert_eq!(scan.damage.len(), 1, "at={at}");
            assert_eq!(scan.records.len(), payloads.len() - lost, "at={at}");
            assert!(found(&bad, &scan).iter().all(|payload| payloads.iter().any(|good| good == payload)));
        }
    }

    #[test]
    fn a_sector_that_was_never_written_is_cut_off() {
        let (dir, payloads) = log_of_four();
        let mut bytes = read_all(&dir, PATH, 1 << 20).expect("read");
        bytes[4_096..4_608].fill(0);
        let scan = scan(7, &bytes);
        assert_eq!(found(&bytes, &scan), payloads[..3]);
        assert_eq!(scan.damage, []);
    }

    #[test]
    fn zeros_before_something_acknowledged_are_damage() {
        let (dir, payloads) = log_of_four();
        let mut bytes = read_all(&dir, PATH, 1 << 20).expect("read");
        bytes[20..532].fill(0);
        let scan = scan(7, &bytes);
        assert_eq!(found(&bytes, &scan), payloads[1..]);
        assert_eq!(scan.damage.len(), 1);
    }

    #[test]
    fn a_failed_sync_breaks_the_log_for_good() {
        let (dir, payloads) = log_of_four();
        let mut log = Log::create(&dir, "t", 8).expect("created");
        let record = Record { payload: &payloads[0], received_ns: 5, rows: 2 };
        dir.fail(Fault { operation: Operation::Sync, after: 0, times: 1, failure: Failure::Broken });
        assert!(log.commit([record].into_iter()).is_err());
        assert!(log.is_broken());
        assert!(log.commit([record].into_iter()).is_err(), "never retried into success");
        assert!(log.sync().is_err(), "never retried into success");
        let bytes = read_all(&dir, "t/log-0000000008.wal", 1 << 20).expect("read");
        assert_eq!(scan(8, &bytes).records, [], "nobody finds what was refused");
    }

    #[test]
    fn what_was_not_synced_is_written_and_may_be_lost() {
        let (dir, _) = log_of_four();
        let mut log = Log::create(&dir, "t", 8).expect("created");
        let record = |payload: &'static [u8]| Record { payload, received_ns: 5, rows: 2 };
        log.write([record(&[1; 100])].into_iter()).expect("written");
        log.sync().expect("synced");
        log.write([record(&[2; 2_000])].into_iter()).expect("written");
        let mut shown = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let after = dir.after_power_loss(&mut Random(seed));
            let bytes = read_all(&after, "t/log-0000000008.wal", 1 << 20).expect("read");
            let scan = scan(8, &bytes);
            assert_eq!(scan.damage, [], "seed {seed}: a write that never completed is no damage");
            shown.insert(scan.records.len());
        }
        assert_eq!(shown.into_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_written() {
        let (dir, payloads) = log_of_four();
        let mut log = Log::create(&dir, "t", 8).expect("created");
        let record = Record { payload: &payloads[0], received_ns: 5, rows: 2 };
        dir.set_bytes_free(Some(100));
        assert_eq!(log.commit([record].into_iter()).expect_err("full").kind(), io::ErrorKind::StorageFull);
        dir.set_bytes_free(None);
        log.commit([record].into_iter()).expect("space again");
        let bytes = read_all(&dir, "t/log-0000000008.wal", 1 << 20).expect("read");
        assert_eq!(found(&bytes, &scan(8, &bytes)), payloads[..1]);
    }
}
