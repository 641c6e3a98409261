//! [`CheckedFile`]: a file of which every block is verified each time it is read.

use crate::embedded::dir::{Dir, File};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that one checksum covers.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// Stored bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// File, relative to the tenant's folder.
    pub file: String,
    /// One sentence.
    pub what: String,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl std::error::Error for Damaged {}

/// CRC32C of every block.
pub(crate) fn block_sums(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(BLOCK_BYTES).map(crc32c::crc32c).collect()
}

/// An open file with the checksums of its blocks.
#[derive(Clone, Debug)]
pub(crate) struct CheckedFile {
    name: String,
    file: Arc<dyn File>,
    len: u64,
    sums: Arc<[u32]>,
}

impl CheckedFile {
    /// Opens a file that must have this length; its blocks are looked at when they are read.
    pub fn open(dir: &dyn Dir, folder: &str, name: &str, len: u64, sums: Vec<u32>) -> Result<Self, Damaged> {
        let damaged = |what: String| Damaged { file: name.to_owned(), what };
        let file = dir
            .open(&format!("{folder}/{name}"))
            .map_err(|error| damaged(format!("cannot open: {error}")))?;
        let actual = file.len().map_err(|error| damaged(format!("cannot read: {error}")))?;
        if actual != len || sums.len() as u64 != len.div_ceil(BLOCK_BYTES as u64) {
            return Err(damaged(format!("wrong length bytes={actual} expected={len}")));
        }
        Ok(Self { name: name.to_owned(), file, len, sums: sums.into() })
    }

    pub fn byte_len(&self) -> u64 {
        self.len
    }

    /// Damage of this file.
    pub fn damaged(&self, what: String) -> Damaged {
        Damaged { file: self.name.clone(), what }
    }

    /// Bytes of a range, out of verified blocks.
    pub fn read(&self, start: u64, len: usize) -> Result<Bytes, Damaged> {
        let damaged = |what: String| Damaged { file: self.name.clone(), what };
        let end = start.checked_add(len as u64).filter(|end| *end <= self.len);
        let end =
            end.ok_or_else(|| damaged(format!("points outside of itself place={start} bytes={len}")))?;
        let block = BLOCK_BYTES as u64;
        let first = start / block * block;
        let last = end.next_multiple_of(block).min(self.len);
        let mut bytes = vec![0; (last - first) as usize];
        self.file
            .read_exact_at(first, &mut bytes)
            .map_err(|error| damaged(format!("cannot read: {error}")))?;
        for (number, part) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let number = (first / block) as usize + number;
            if self.sums.get(number) != Some(&crc32c::crc32c(part)) {
                return Err(damaged(format!("checksum of a block does not hold block={number}")));
            }
        }
        let skip = (start - first) as usize;
        Ok(Bytes::from(bytes).slice(skip..skip + len))
    }

    /// Looks at every block.
    pub fn verify(&self) -> Result<(), Damaged> {
        (0..self.len)
            .step_by(BLOCK_BYTES)
            .try_for_each(|start| self.read(start, BLOCK_BYTES.min((self.len - start) as usize)).map(drop))
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for CheckedFile {
    type T = Blocks;

    fn get_read(&self, start: u64) -> Result<Blocks, ParquetError> {
        Ok(Blocks { file: self.clone(), place: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read(start, length).map_err(|damaged| ParquetError::External(Box::new(damaged)))
    }
}

/// Reads on from a place, block by block.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: CheckedFile,
    place: u64,
    block: Bytes,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let to_block_end = BLOCK_BYTES as u64 - self.place % BLOCK_BYTES as u64;
            let len = to_block_end.min(self.file.len.saturating_sub(self.place));
            self.block = self.file.read(self.place, len as usize).map_err(io::Error::other)?;
            self.place += len;
        }
        let len = buffer.len().min(self.block.len());
        buffer[..len].copy_from_slice(&self.block.split_to(len));
        Ok(len)
    }
}
