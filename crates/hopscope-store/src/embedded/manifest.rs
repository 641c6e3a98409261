//! The manifest of a tenant's folder: which segments count, from which log on to replay, what is missing.
//!
//! It is written last (new file, sync, rename, sync of the folder): what it does not name does not exist.

use super::dir::{Dir, read_all, replace};
use super::segment::{SegmentId, day_of};
use serde::{Deserialize, Serialize};
use std::io;

pub(crate) const FILE: &str = "MANIFEST";
pub(crate) const NEW_FILE: &str = "MANIFEST.new";
/// What a manifest begins with, in all formats: then the format's number, ` crc32c=`, the checksum and a line
/// feed. The checksum is of the number and of what follows the line; in format 1, of what follows alone.
const MAGIC: &str = "hopscope-manifest ";

/// The format that is written. Format 1 had segments of several days of receipt, no merged ones, and key indexes
/// of their first format; up to format 2 a checksum covered 64 KiB, and
/// counts were JSON without times.
pub(crate) const FORMAT: u32 = 3;

/// Most bytes of a manifest: about 200,000 segments.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What a tenant's folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Logs before this one are in segments.
    pub first_log: u64,
    /// Segments in order of their logs.
    pub segments: Vec<SegmentEntry>,
    /// What is known to be missing, oldest first.
    pub gaps: Vec<Gap>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    /// The newest log that it has something of.
    pub log: u64,
    /// See [`SegmentId::day`].
    #[serde(default)]
    pub day: Option<i32>,
    /// See [`SegmentId::generation`].
    #[serde(default)]
    pub generation: u32,
    /// Events.
    pub rows: u32,
    /// Samples of progress.
    pub progress: u32,
    /// Earliest and latest time of its tallies, where it has any.
    #[serde(default)]
    pub tally_ns: Option<(i64, i64)>,
    /// Earliest and latest time of receipt.
    pub received_ns: (i64, i64),
    /// Earliest and latest start; of no meaning without events.
    pub start_ns: (i64, i64),
    /// Bytes of all its files.
    pub bytes: u64,
    /// CRC32C of its file of checksums.
    pub sums_crc32c: u32,
}

/// Something that was stored and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    /// File, relative to the tenant's folder.
    pub file: String,
    /// One sentence.
    pub what: String,
    /// Received time that is missing, where it is known.
    pub received_ns: Option<(i64, i64)>,
    /// Events that are missing, where it is known.
    pub events: Option<u64>,
}

impl SegmentEntry {
    /// Which segment it is.
    pub fn id(&self) -> SegmentId {
        SegmentId { log: self.log, day: self.day, generation: self.generation }
    }

    /// 0 as it was sealed, 1 where it was merged.
    pub fn level(&self) -> u32 {
        self.generation.min(1)
    }

    /// The day of receipt that it goes with; of several days the last one, so that nothing is dropped early.
    pub fn received_day(&self) -> i32 {
        self.day.unwrap_or_else(|| day_of(self.received_ns.1))
    }
}

impl Manifest {
    /// Adds a gap; false where it is there already.
    pub fn add(&mut self, gap: Gap) -> bool {
        let new = !self.gaps.contains(&gap);
        if new {
            self.gaps.push(gap);
        }
        new
    }
}

/// Why there is no manifest to read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Missing,
    Damaged(String),
    /// It is sound, and of a format that is not known yet.
    Newer(u32),
    Io(io::Error),
}

pub(crate) fn read(dir: &dyn Dir, folder: &str) -> Result<Manifest, Unreadable> {
    let bytes = match read_all(dir, &format!("{folder}/{FILE}"), MANIFEST_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Missing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Unreadable::Damaged(error.to_string()));
        }
        Err(error) => return Err(Unreadable::Io(error)),
    };
    let damaged = || Unreadable::Damaged("its checksum does not hold".to_owned());
    let (format, body) = sound(&bytes).ok_or_else(damaged)?;
    if format > FORMAT {
        return Err(Unreadable::Newer(format));
    }
    serde_json::from_slice(body).map_err(|_| damaged())
}

/// Format and body, where the checksum holds.
fn sound(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, body) = (std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]);
    let (format, told) = line.split_once(" crc32c=")?;
    let format: u32 = format.parse().ok()?;
    let actual = if format == 1 { crc32c::crc32c(body) } else { checksum(format, body) };
    (format!("{actual:08x}") == told).then_some((format, body))
}

/// The format goes in, so that a flipped bit in it is damage, and not a newer hopscope.
fn checksum(format: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(format.to_string().as_bytes()), body)
}

/// Puts a manifest into the place of the one before, durably.
pub(crate) fn write(dir: &dyn Dir, folder: &str, manifest: &Manifest) -> io::Result<()> {
    let body = serde_json::to_vec(manifest).map_err(io::Error::other)?;
    let mut bytes = format!("{MAGIC}{FORMAT} crc32c={:08x}\n", checksum(FORMAT, &body)).into_bytes();
    bytes.extend(body);
    replace(dir, folder, FILE, &bytes)
}

#[cfg(test)]
mod tests {
    use super::super::dir::write_all;
    use super::super::sim_dir::SimDir;
    use super::*;

    #[test]
    fn an_entry_from_before_there_were_tallies_is_read() {
        let text = r#"{"log":7,"rows":1,"progress":0,"received_ns":[1,2],"start_ns":[3,4],"bytes":5,"sums_crc32c":6}"#;
        let entry: SegmentEntry = serde_json::from_str(text).expect("an entry");
        assert_eq!((entry.log, entry.sums_crc32c, entry.tally_ns), (7, 6, None));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let dir = SimDir::new();
        dir.make_dir("t").expect("made");
        let body = b"whatever it will hold";
        let mut bytes = format!("{MAGIC}7 crc32c={:08x}\n", checksum(7, body)).into_bytes();
        bytes.extend(body);
        write_all(&dir, &format!("t/{FILE}"), &bytes).expect("written");
        assert!(matches!(read(&dir, "t"), Err(Unreadable::Newer(7))));
    }

    #[test]
    fn comes_back_and_any_flip_shows() {
        let dir = SimDir::new();
        dir.make_dir("t").expect("made");
        let gap = Gap { file: "f".into(), what: "w".into(), received_ns: Some((1, 2)), events: None };
        let manifest = Manifest { first_log: 7, segments: Vec::new(), gaps: vec![gap] };
        assert!(matches!(read(&dir, "t"), Err(Unreadable::Missing)));
        write(&dir, "t", &manifest).expect("written");
        assert_eq!(read(&dir, "t").expect("sound"), manifest);
        let (path, len) = dir.files().swap_remove(0);
        for at in 0..len {
            let bad = dir.copied();
            bad.flip(&path, at, at as u8);
            assert!(matches!(read(&bad, "t"), Err(Unreadable::Damaged(_))), "at={at}");
        }
    }
}
