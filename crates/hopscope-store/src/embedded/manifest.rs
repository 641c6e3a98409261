//! The manifest of a tenant's folder: which segments count, from which log on to replay, what is missing.
//!
//! It is written last (new file, sync, rename, sync of the folder): what it does not name does not exist.

use super::dir::{Dir, read_all, write_all};
use serde::{Deserialize, Serialize};
use std::io;

pub(crate) const FILE: &str = "MANIFEST";
pub(crate) const NEW_FILE: &str = "MANIFEST.new";
const MAGIC: &str = "hopscope-manifest 1 crc32c=";

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
    /// The log it was made of: its name.
    pub log: u64,
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
    parse(&bytes).ok_or_else(|| Unreadable::Damaged("its checksum does not hold".to_owned()))
}

fn parse(bytes: &[u8]) -> Option<Manifest> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
    let (checksum, body) = rest.split_at_checked(9)?;
    let checksum = std::str::from_utf8(checksum).ok()?.strip_suffix('\n')?;
    let sound = format!("{:08x}", crc32c::crc32c(body)) == checksum;
    sound.then(|| serde_json::from_slice(body).ok())?
}

/// Puts a manifest into the place of the one before, durably.
pub(crate) fn write(dir: &dyn Dir, folder: &str, manifest: &Manifest) -> io::Result<()> {
    let body = serde_json::to_vec(manifest).map_err(io::Error::other)?;
    let mut bytes = format!("{MAGIC}{:08x}\n", crc32c::crc32c(&body)).into_bytes();
    bytes.extend(body);
    let new = format!("{folder}/{NEW_FILE}");
    write_all(dir, &new, &bytes)?;
    dir.rename(&new, &format!("{folder}/{FILE}"))?;
    dir.sync_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::super::sim_dir::SimDir;
    use super::*;

    #[test]
    fn an_entry_from_before_there_were_tallies_is_read() {
        let text = r#"{"log":7,"rows":1,"progress":0,"received_ns":[1,2],"start_ns":[3,4],"bytes":5,"sums_crc32c":6}"#;
        let entry: SegmentEntry = serde_json::from_str(text).expect("an entry");
        assert_eq!((entry.log, entry.sums_crc32c, entry.tally_ns), (7, 6, None));
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
