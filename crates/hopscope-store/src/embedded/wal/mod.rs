//! The write-ahead log: one file after the other, each a header and records; a record is one batch.
//!
//! Every record says how far the file was durable when it was written. That is how a scan tells two kinds of
//! bad bytes apart: before a record that knew them to be durable they are *damage* to something that was
//! acknowledged; at the end they may be a write that never completed, and are cut off.

mod read;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use read::{Records, Rest, verify};
pub(crate) use scan::{Damage, Found};

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
