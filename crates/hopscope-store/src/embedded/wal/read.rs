//! [`Records`]: a log read from its beginning, one record after the other, with little of it in memory.

use super::scan::{Damage, Found, Scan, header_of, scan};
use super::{FILE_HEADER_BYTES, RECORD_HEADER_BYTES, file_header};
use crate::embedded::dir::File;
use std::io;
use std::sync::Arc;

/// Most bytes of a log's file behind its first bad place: these are looked through in memory.
const REST_BYTES_MAX: u64 = 4 << 30;

/// Bytes that are read ahead.
const AHEAD_BYTES: u64 = 1 << 20;

/// Sound records from the beginning of a log on. Where they end, [`Records::rest`] looks at what is behind.
///
/// That is right because damage never reaches back: what is sound up to a place counts, whatever is behind it.
#[derive(Debug)]
pub(crate) struct Records {
    number: u64,
    file: Arc<dyn File>,
    /// Length of the file when it was opened.
    len: u64,
    /// Where the next record begins; 0 where the file's own header is not sound.
    place: u64,
    /// What was read ahead, and where in the file it begins.
    ahead: Vec<u8>,
    ahead_at: u64,
    /// How much is read ahead.
    pub(super) ahead_bytes: u64,
}

/// What is behind the sound records.
#[derive(Debug)]
pub(crate) struct Rest {
    pub scan: Scan,
    /// Length of the file.
    pub len: u64,
    base: u64,
    bytes: Vec<u8>,
}

impl Rest {
    /// The payload of a record of the scan.
    pub fn payload(&self, found: &Found) -> &[u8] {
        let index = |place: u64| place.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
        let range = index(found.start).zip(index(found.end));
        range.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default()
    }
}

impl Records {
    /// Begins with the first one.
    pub fn of(number: u64, file: Arc<dyn File>) -> io::Result<Self> {
        let len = file.len()?;
        let mut records =
            Self { number, file, len, place: 0, ahead: Vec::new(), ahead_at: 0, ahead_bytes: AHEAD_BYTES };
        if records.bytes(0, FILE_HEADER_BYTES)?.is_some_and(|header| header == file_header(number)) {
            records.place = FILE_HEADER_BYTES;
        }
        Ok(records)
    }

    /// The next one with its payload; `None` at the end, and at the first place where none is sound.
    pub fn next(&mut self) -> io::Result<Option<(Found, &[u8])>> {
        let (number, place) = (self.number, self.place);
        if place < FILE_HEADER_BYTES {
            return Ok(None);
        }
        let header = self.bytes(place, RECORD_HEADER_BYTES as u64)?;
        let Some(found) = header.and_then(|header| header_of(number, place, header)) else {
            return Ok(None);
        };
        let sound = self.bytes(found.start, found.end - found.start)?;
        if !sound.is_some_and(|payload| found.is_sound(payload)) {
            return Ok(None);
        }
        self.place = found.end;
        Ok(self.bytes(found.start, found.end - found.start)?.map(|payload| (found, payload)))
    }

    /// Looks through everything behind the last record that was given.
    pub fn rest(self) -> io::Result<Rest> {
        let Self { number, file, len, place: base, .. } = self;
        if len.saturating_sub(base) > REST_BYTES_MAX {
            let message =
                format!("a log is too long log={number} bytes={len} rest_bytes_max={REST_BYTES_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut bytes = vec![0; usize::try_from(len.saturating_sub(base)).map_err(io::Error::other)?];
        file.read_exact_at(base, &mut bytes)?;
        Ok(Rest { scan: scan(number, base, &bytes), len, base, bytes })
    }

    /// Bytes of the file; `None` past its end.
    fn bytes(&mut self, from: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = from.checked_add(len).filter(|end| *end <= self.len) else { return Ok(None) };
        if from < self.ahead_at || end > self.ahead_at + self.ahead.len() as u64 {
            let ahead = len.max(self.ahead_bytes).min(self.len - from);
            self.ahead.resize(usize::try_from(ahead).map_err(io::Error::other)?, 0);
            self.ahead_at = from;
            self.file.read_exact_at(from, &mut self.ahead).inspect_err(|_| self.ahead.clear())?;
        }
        let start = usize::try_from(from - self.ahead_at).map_err(io::Error::other)?;
        Ok(self.ahead.get(start..start + usize::try_from(len).map_err(io::Error::other)?))
    }
}

/// Reads every record of a log: what of it is damaged, and its bytes.
pub(crate) fn verify(number: u64, file: Arc<dyn File>) -> io::Result<(Vec<Damage>, u64)> {
    let mut records = Records::of(number, file)?;
    while records.next()?.is_some() {}
    let rest = records.rest()?;
    Ok((rest.scan.damage, rest.len))
}
