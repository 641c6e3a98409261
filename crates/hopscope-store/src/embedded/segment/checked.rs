//! [`CheckedFile`]: a file of which every block is verified when it is read from the disk.

use super::caches::Caches;
use crate::embedded::dir::{Dir, File};
use crate::embedded::options::Options;
use bytes::{Bytes, BytesMut};
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

/// A file with the checksums of its blocks. It is opened when a block is read that is in no cache, and closed
/// when others need its descriptor.
#[derive(Clone, Debug)]
pub(crate) struct CheckedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opened: Opened,
    caches: Arc<Caches>,
    /// Its number in the caches.
    number: u64,
    folder: String,
    name: String,
    len: u64,
    sums: Box<[u32]>,
}

/// Where the open file is.
#[derive(Debug)]
enum Opened {
    /// In the caches, as long as they have room; in this folder otherwise.
    InCaches(Arc<dyn Dir>),
    /// Here.
    Held(Arc<dyn File>),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.caches.forget(self.number, self.sums.len() as u32);
    }
}

impl CheckedFile {
    /// A file that must be there and have this length; its blocks are looked at when they are read.
    pub fn open(
        dir: &Arc<dyn Dir>,
        caches: &Arc<Caches>,
        place: (&str, &str),
        len: u64,
        sums: Vec<u32>,
    ) -> Result<Self, Damaged> {
        Self::checked(Opened::InCaches(Arc::clone(dir)), caches, place, len, sums)
    }

    /// The same of a file that stays open, with caches of its own: for what is no part of a store's reads.
    pub fn alone(
        dir: &dyn Dir,
        (folder, name): (&str, &str),
        len: u64,
        sums: Vec<u32>,
    ) -> Result<Self, Damaged> {
        let file = dir.open(&format!("{folder}/{name}"));
        let file =
            file.map_err(|error| Damaged { file: name.to_owned(), what: format!("cannot open: {error}") })?;
        let caches = Arc::new(Caches::new(&Options::default()));
        Self::checked(Opened::Held(file), &caches, (folder, name), len, sums)
    }

    fn checked(
        opened: Opened,
        caches: &Arc<Caches>,
        (folder, name): (&str, &str),
        len: u64,
        sums: Vec<u32>,
    ) -> Result<Self, Damaged> {
        let inner = Inner {
            opened,
            caches: Arc::clone(caches),
            number: caches.number(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            len,
            sums: sums.into(),
        };
        let file = Self(Arc::new(inner));
        let actual = file.file()?.len().map_err(|error| file.damaged(format!("cannot read: {error}")))?;
        if actual != len || file.0.sums.len() as u64 != len.div_ceil(BLOCK_BYTES as u64) {
            return Err(file.damaged(format!("wrong length bytes={actual} expected={len}")));
        }
        Ok(file)
    }

    pub fn byte_len(&self) -> u64 {
        self.0.len
    }

    /// The caches that its blocks are in.
    pub fn caches(&self) -> &Caches {
        &self.0.caches
    }

    /// Damage of this file.
    pub fn damaged(&self, what: String) -> Damaged {
        Damaged { file: self.0.name.clone(), what }
    }

    /// What is decoded of a part of it; `load` says its bytes of memory too.
    pub fn metadata<T: Send + Sync + 'static>(
        &self,
        part: u8,
        load: impl FnOnce() -> Result<(T, usize), Damaged>,
    ) -> Result<Arc<T>, Damaged> {
        self.0.caches.metadata((self.0.number, part), load)
    }

    /// Bytes of a range, out of verified blocks.
    pub fn read(&self, start: u64, len: usize) -> Result<Bytes, Damaged> {
        let end = start
            .checked_add(len as u64)
            .filter(|end| *end <= self.0.len)
            .ok_or_else(|| self.damaged(format!("points outside of itself place={start} bytes={len}")))?;
        let block = BLOCK_BYTES as u64;
        let numbers = start / block..end.div_ceil(block).max(start / block);
        let part = |number: u64, bytes: Bytes| {
            let from = start.saturating_sub(number * block) as usize;
            let to = (end - number * block).min(bytes.len() as u64) as usize;
            bytes.slice(from..to)
        };
        if numbers.end - numbers.start == 1 {
            return Ok(part(numbers.start, self.block(numbers.start)?));
        }
        let mut bytes = BytesMut::with_capacity(len);
        for number in numbers {
            bytes.extend_from_slice(&part(number, self.block(number)?));
        }
        Ok(bytes.freeze())
    }

    fn block(&self, number: u64) -> Result<Bytes, Damaged> {
        self.0.caches.block(self.0.number, number as u32, || self.load(number))
    }

    /// A block from the disk.
    fn load(&self, number: u64) -> Result<Bytes, Damaged> {
        let start = number * BLOCK_BYTES as u64;
        let mut bytes = vec![0; (BLOCK_BYTES as u64).min(self.0.len - start) as usize];
        let read = self.file()?.read_exact_at(start, &mut bytes);
        read.map_err(|error| self.damaged(format!("cannot read: {error}")))?;
        match self.0.sums.get(number as usize) == Some(&crc32c::crc32c(&bytes)) {
            true => Ok(bytes.into()),
            false => Err(self.damaged(format!("checksum of a block does not hold block={number}"))),
        }
    }

    fn file(&self) -> Result<Arc<dyn File>, Damaged> {
        let Inner { opened, folder, name, number, .. } = &*self.0;
        let file = match opened {
            Opened::Held(file) => return Ok(Arc::clone(file)),
            Opened::InCaches(dir) => self.0.caches.file(*number, || dir.open(&format!("{folder}/{name}"))),
        };
        file.map_err(|error| self.damaged(format!("cannot open: {error}")))
    }

    /// Looks at every block on the disk.
    pub fn verify(&self) -> Result<(), Damaged> {
        (0..self.0.sums.len() as u64).try_for_each(|number| self.load(number).map(drop))
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.0.len
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
            let len = to_block_end.min(self.file.0.len.saturating_sub(self.place));
            self.block = self.file.read(self.place, len as usize).map_err(io::Error::other)?;
            self.place += len;
        }
        let len = buffer.len().min(self.block.len());
        buffer[..len].copy_from_slice(&self.block.split_to(len));
        Ok(len)
    }
}
