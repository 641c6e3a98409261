//! [`Draft`]: a segment that is being written. Nothing of it counts before a manifest names it.

use super::checked::{BLOCK_BYTES, block_sums};
use super::keys::Part;
use super::{Extra, SegmentId, sums};
use crate::embedded::dir::{Dir, File, write_all};
use crate::embedded::manifest::SegmentEntry;
use std::io::{self, Write};
use std::sync::Arc;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 16 * BLOCK_BYTES;

/// The files of a segment on their way to the disk. What they are written over is an unfinished earlier try.
pub(crate) struct Draft<'a> {
    dir: &'a dyn Dir,
    folder: &'a str,
    id: SegmentId,
}

impl<'a> Draft<'a> {
    pub fn new(dir: &'a dyn Dir, folder: &'a str, id: SegmentId) -> Self {
        Self { dir, folder, id }
    }

    /// The file of events, to write into.
    pub fn events(&self) -> io::Result<Summed> {
        let [events, ..] = self.id.file_names();
        self.create(&events)
    }

    fn create(&self, name: &str) -> io::Result<Summed> {
        let file = self.dir.create(&format!("{}/{name}", self.folder))?;
        Ok(Summed { file, pending: Vec::with_capacity(WRITE_BYTES), sums: Vec::new(), len: 0 })
    }

    /// Writes the other files and syncs all of it, the folder too. `head` is complete but for what is found out
    /// here: lengths and checksums.
    pub fn finish(
        self,
        mut head: sums::Head,
        events: Summed,
        keys: (Vec<u8>, Vec<Part>),
        extra: &Extra,
    ) -> io::Result<SegmentEntry> {
        let [_, keys_name, extra_name, sums_name] = self.id.file_names();
        let (keys, parts) = keys;
        let whole = |name: &str, bytes: &[u8]| {
            let mut file = self.create(name)?;
            file.write_all(bytes)?;
            file.finish()
        };
        let files = [events.finish()?, whole(&keys_name, &keys)?, whole(&extra_name, &extra.encode())?];
        head.keys = parts;
        head.lens = [0, 1, 2].map(|number: usize| files[number].0);
        head.entry.bytes = head.lens.iter().sum();
        let mut entry = head.entry.clone();
        let sums = sums::encode(&sums::Sums { head, blocks: files.map(|(_, blocks)| blocks) });
        write_all(self.dir, &format!("{}/{sums_name}", self.folder), &sums)?;
        self.dir.sync_dir(self.folder)?;
        entry.bytes += sums.len() as u64;
        entry.sums_crc32c = crc32c::crc32c(&sums);
        Ok(entry)
    }

    /// Removes what there is of it: it will not be needed.
    pub fn discard(self) -> io::Result<()> {
        remove_files(self.dir, self.folder, self.id)
    }
}

/// Removes the files of a segment, as far as they are there.
pub(crate) fn remove_files(dir: &dyn Dir, folder: &str, id: SegmentId) -> io::Result<()> {
    // The checksums go first: without them the segment is not complete.
    for name in id.file_names().iter().rev() {
        match dir.remove(&format!("{folder}/{name}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A file that is written from its begin to its end, with the checksum of every block.
pub(crate) struct Summed {
    file: Arc<dyn File>,
    pending: Vec<u8>,
    sums: Vec<u32>,
    len: u64,
}

impl Summed {
    fn put(&mut self) -> io::Result<()> {
        self.file.append(&self.pending)?;
        self.sums.extend(block_sums(&self.pending, BLOCK_BYTES));
        self.len += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Length and checksums, after a sync.
    fn finish(mut self) -> io::Result<(u64, Vec<u32>)> {
        if !self.pending.is_empty() {
            self.put()?;
        }
        self.file.sync_data()?;
        Ok((self.len, self.sums))
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(WRITE_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() == WRITE_BYTES {
            self.put()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // The last block is short: only the end of the file may write it.
        Ok(())
    }
}
