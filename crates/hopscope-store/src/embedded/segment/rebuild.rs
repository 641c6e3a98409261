//! A segment's index and counts, made anew out of its events.

use super::arrays::Arrays;
use super::checked::{CheckedFile, Damaged, block_sums};
use super::implied::put_back;
use super::rollup::Summing;
use super::write::index_rows;
use super::{Extra, ExtraParts, SegmentId, keys, sums};
use crate::embedded::dir::{Dir, write_all};
use crate::embedded::frame;
use crate::embedded::manifest::SegmentEntry;
use hopscope_model::{BatchBuilder, Source, Tenant};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::io;

/// What of a segment is not as its checksums say; its events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The key index.
    pub keys: bool,
    /// Rollup, progress and tallies.
    pub extra: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rebuilt {
    /// For the manifest.
    pub entry: SegmentEntry,
    /// Whether progress and tallies went with their file: they are not in the events.
    pub rest_is_lost: bool,
}

/// A segment with sound events, in the folder it lies in.
pub(crate) struct Rebuild<'a> {
    dir: &'a dyn Dir,
    /// The tenant's folder, or that of its quarantine.
    folder: &'a str,
    sums: sums::Sums,
    /// What has to be made anew.
    pub parts: Parts,
}

impl<'a> Rebuild<'a> {
    /// Looks at every block of a segment's files.
    ///
    /// # Errors
    /// Where there is nothing to build from: its checksums or its events are damaged.
    pub fn look(dir: &'a dyn Dir, folder: &'a str, id: SegmentId) -> Result<Self, Damaged> {
        let [events, keys, extra, sums_name] = id.file_names();
        let damaged = |what: String| Damaged::new(&sums_name, what);
        let bytes = super::read::read_sums(dir, folder, &sums_name)?;
        let sums = sums::decode(&bytes).map_err(|malformed| damaged(malformed.0.to_owned()))?;
        let verify = |number: usize, name: &str| {
            CheckedFile::alone(dir, (folder, name), sums.head.lens[number], sums.of(number))?.verify()
        };
        verify(0, &events)?;
        let broken = |verified: Result<(), Damaged>| match verified {
            Err(damaged) if damaged.passing => Err(damaged),
            verified => Ok(verified.is_err()),
        };
        let parts = Parts { keys: broken(verify(1, &keys))?, extra: broken(verify(2, &extra))? };
        Ok(Self { dir, folder, sums, parts })
    }

    /// Makes anew what has to be, beside what is there and then in its place.
    pub fn finish(mut self, tenant: &Tenant) -> Result<Rebuilt, RebuildError> {
        let [events_name, keys_name, extra_name, sums_name] = self.sums.head.entry.id().file_names();
        let (lens, files) = (self.sums.head.lens, [0, 1, 2].map(|number| self.sums.of(number)));
        let read = |number: usize, name: &str| {
            CheckedFile::alone(self.dir, (self.folder, name), lens[number], files[number].clone())
        };
        let events = read(0, &events_name)?;
        let mut built = Built::default();
        built.read(events.clone(), &events_name)?;
        let keys = if self.parts.keys {
            let (bytes, parts) = built.keys.finish();
            self.sums.head.keys = parts;
            bytes
        } else {
            read(1, &keys_name)?.read(0, lens[1] as usize)?.to_vec()
        };
        let mut rest_is_lost = false;
        let extra = if self.parts.extra {
            let entry = &mut self.sums.head.entry;
            let sound = read(2, &extra_name).and_then(|file| {
                let ExtraParts { rest, .. } = ExtraParts::in_file(&file)?;
                file.read(rest.start, (rest.end - rest.start) as usize).map(|rest| rest.to_vec())
            });
            let rest = match sound {
                Ok(rest) => rest,
                Err(damaged) if damaged.passing => return Err(damaged.into()),
                Err(_) => {
                    rest_is_lost = true;
                    (entry.progress, entry.tally_ns) = (0, None);
                    let none = BatchBuilder::new(tenant.clone(), Source::Otlp, entry.received_ns.0);
                    frame::encode(&none.finish())
                }
            };
            Extra { rollup: built.summing.finish().unwrap_or_default(), rest }.encode()
        } else {
            read(2, &extra_name)?.read(0, lens[2] as usize)?.to_vec()
        };
        let events = events.read(0, lens[0] as usize)?;
        let mut head = self.sums.head;
        head.lens = [events.len() as u64, keys.len() as u64, extra.len() as u64];
        head.entry.bytes = head.lens.iter().sum();
        let blocks = [&events[..], &keys, &extra].map(|bytes| block_sums(bytes, head.block_bytes as usize));
        let sums = sums::Sums { head, blocks };
        let (bytes, mut entry) = (sums::encode(&sums), sums.head.entry);
        // The old checksums go with the old files: in between the segment is damaged, as it was before.
        for (name, bytes) in [(&keys_name, &keys), (&extra_name, &extra), (&sums_name, &bytes)] {
            let path = format!("{}/{name}", self.folder);
            let new = format!("{path}.new");
            write_all(self.dir, &new, bytes)?;
            self.dir.rename(&new, &path)?;
        }
        self.dir.sync_dir(self.folder)?;
        entry.bytes += bytes.len() as u64;
        entry.sums_crc32c = crc32c::crc32c(&bytes);
        Ok(Rebuilt { entry, rest_is_lost })
    }
}

/// Why a segment could not be rebuilt.
#[derive(Debug)]
pub(crate) enum RebuildError {
    Damaged(Damaged),
    Io(io::Error),
}

impl From<Damaged> for RebuildError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl From<io::Error> for RebuildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What comes out of the events.
#[derive(Default)]
struct Built {
    keys: keys::Writer,
    summing: Summing,
}

impl Built {
    fn read(&mut self, events: CheckedFile, name: &str) -> Result<(), Damaged> {
        let damaged = |what: String| Damaged::new(name, what);
        let odd = || damaged("holds a value that is none of ours".into());
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(events).and_then(ParquetRecordBatchReaderBuilder::build);
        let mut first = 0;
        for rows in reader.map_err(|error| damaged(error.to_string()))? {
            let rows = rows.and_then(put_back).map_err(|error| damaged(error.to_string()))?;
            let rows = Arrays::of(&rows).ok_or_else(odd)?;
            index_rows(&mut self.keys, first, &rows).ok_or_else(odd)?;
            self.summing.add(&rows);
            first += rows.rows() as u32;
        }
        Ok(())
    }
}
