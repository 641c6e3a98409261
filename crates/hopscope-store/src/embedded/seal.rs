//! From memory to segments: settling identities, sealing tables, remembering damage.

use super::fingerprint::{Kind, of_identity};
use super::folder::{Folder, io_error, locked};
use super::manifest::{self, Gap, Manifest, SegmentEntry};
use super::read::Cancel;
use super::recover::put_aside;
use super::repeats::is_near;
use super::segment::{self, Damaged, Failed, IDENTITY, Segment, SegmentId, merged};
use super::table::Table;
use super::wal;
use crate::Error;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Folder {
    /// Finds out which rows before `until` a segment of about the same time has already, so that they never
    /// count twice. (Repeats with another time: see [`super::repeats`].)
    ///
    /// Appending compares identities with what is in memory only. The segments are asked later, for many rows
    /// at once and before any read: in order of fingerprint every block of an index is read once at most,
    /// where a look-up for every append would cost as much as the append.
    pub fn settle(
        &self,
        table: &Table,
        until: u32,
        segments: &[Arc<Segment>],
        cancel: &Cancel,
    ) -> Result<Vec<Damaged>, Error> {
        let unsettled = {
            let memtable = table.read();
            let rows = memtable.unsettled();
            if rows.start >= until {
                return Ok(Vec::new());
            }
            let asked = |row| {
                let event = memtable.event(row);
                (of_identity(event.span(), memtable.id(row)), event.start_ns())
            };
            let mut unsettled: Vec<(u64, i64)> = (rows.start..until).map(asked).collect();
            unsettled.sort_unstable();
            unsettled
        };
        let mut sealed_already = Vec::new();
        let mut damage = Vec::new();
        for segment in segments {
            cancel.check()?;
            let near = unsettled.iter().filter(|(_, start_ns)| is_near(&segment.entry, *start_ns));
            let mut near: Vec<u64> = near.map(|(fingerprint, _)| *fingerprint).collect();
            near.dedup();
            let found = segment.keys().rows_under(Kind::Span, &near).map_err(Failed::Damaged);
            let read = found.and_then(|ranges| {
                segment.read(&merged(ranges), Some(&[IDENTITY]), cancel, |rows| {
                    let memtable = table.read();
                    let here = rows.batch.events().filter_map(|event| memtable.row_of(event.id()));
                    sealed_already.extend(here.filter(|row| *row < until));
                    Ok(())
                })
            });
            match read {
                Ok(()) => {}
                Err(Failed::Stopped(error)) => return Err(error),
                Err(Failed::Damaged(damaged)) => damage.push(self.note(damaged, segment)),
            }
        }
        if damage.iter().any(|damaged| damaged.passing) {
            // Whether that segment has them is asked again.
            return Ok(damage);
        }
        table.write().settle(until, sealed_already);
        Ok(damage)
    }

    /// Seals the oldest table that waits; `false` when none does.
    pub fn seal_one(&self) -> Result<bool, Error> {
        let mut manifest = locked(&self.manifest);
        self.confirm_manifest(&mut manifest)?;
        let state = self.state();
        let Some(table) = state.frozen.first() else { return Ok(false) };
        let rows = table.read().rows() as u32;
        let damage = self.settle(table, rows, &state.segments, &Cancel::default())?;
        if let Some(damaged) = damage.iter().find(|damaged| damaged.passing) {
            // What is sealed without asking every segment could count twice.
            return Err(Error::new(crate::ErrorKind::Unavailable, damaged.to_string()));
        }
        let entries = segment::write::write(&*self.dir, &self.tenant, table.log, &table.read());
        let entries = entries.map_err(io_error("cannot write a segment"))?;
        let segments: Vec<Arc<Segment>> =
            entries.iter().map(|entry| self.open_written(entry)).collect::<Result<_, _>>()?;
        let mut next = manifest.clone();
        next.first_log = table.log + 1;
        next.segments.extend(entries);
        self.write_manifest(&mut manifest, next)?;
        self.change_state(|state| {
            state.frozen.remove(0);
            state.first_log = table.log + 1;
            state.segments.extend(segments);
        });
        let name = wal::file_name(table.log);
        let gone = match table.damaged {
            true => put_aside(&*self.dir, &self.tenant, &name),
            false => self.dir.remove(&format!("{}/{name}", self.tenant.name())),
        };
        if let Err(error) = gone {
            // The next start removes it: the manifest says that it is sealed.
            tracing::warn!(tenant = self.tenant.name(), file = name, %error, "a sealed log is left");
        }
        Ok(true)
    }

    pub(super) fn open_written(&self, entry: &SegmentEntry) -> Result<Arc<Segment>, Error> {
        let opened = Segment::open(&self.dir, &self.tenant, entry, &self.caches);
        opened.map(Arc::new).map_err(|damaged| {
            let message = format!("a segment cannot be read after it was written: {damaged}");
            Error::new(crate::ErrorKind::Internal, message)
        })
    }

    /// Seals everything that was appended before.
    pub fn seal_all(&self) -> Result<(), Error> {
        let last = self.state().active.log;
        loop {
            while self.seal_one()? {}
            let state = self.state();
            if state.active.log > last || state.active.read().is_empty() {
                return Ok(());
            }
            self.freeze()?;
        }
    }

    /// Shows reads these segments no more, and the other one instead. No manifest names them any more: their
    /// files go with the last read that has them.
    pub(super) fn swap_segments(&self, out: &HashSet<SegmentId>, into: Option<Arc<Segment>>) {
        // Held until after the change: files are not removed while others wait for the state.
        let mut gone: Vec<Arc<Segment>> = Vec::new();
        self.change_state(|state| {
            gone.extend(state.segments.extract_if(.., |segment| out.contains(&segment.id())));
            state.segments.extend(into);
        });
        gone.iter().for_each(|segment| segment.retire());
    }

    /// Remembers damage that a read came upon, so that every later answer says it.
    pub(super) fn note(&self, damaged: Damaged, segment: &Segment) -> Damaged {
        if damaged.passing {
            return damaged;
        }
        let gap = Gap {
            file: damaged.file.clone(),
            what: damaged.what.clone(),
            received_ns: Some(segment.entry.received_ns),
            events: None,
        };
        if self.state().gaps.contains(&gap) {
            return damaged;
        }
        tracing::error!(tenant = self.tenant.name(), file = damaged.file, "{}", damaged.what);
        self.change_state(|state| {
            if !state.gaps.contains(&gap) {
                let mut gaps = state.gaps.to_vec();
                gaps.push(gap);
                state.gaps = Arc::new(gaps);
            }
        });
        // While a table is sealed, the manifest that it writes takes the gap along.
        if let Ok(mut manifest) = self.manifest.try_lock() {
            let next = manifest.clone();
            if let Err(error) = self.write_manifest(&mut manifest, next) {
                tracing::warn!(tenant = self.tenant.name(), %error, "a gap is not in the manifest yet");
            }
        }
        damaged
    }

    pub(super) fn write_manifest(&self, manifest: &mut Manifest, mut next: Manifest) -> Result<(), Error> {
        next.gaps = self.state().gaps.to_vec();
        let written = manifest::write(&*self.dir, self.tenant.name(), &next);
        self.manifest_unsure.store(written.is_err(), Ordering::Release);
        written.map_err(io_error("cannot write the manifest"))?;
        *manifest = next;
        Ok(())
    }

    /// Makes sure that the manifest on the disk is this one. After a write of it that failed, it may name
    /// segments that nobody counts on: they must not be written over before.
    pub(super) fn confirm_manifest(&self, manifest: &mut Manifest) -> Result<(), Error> {
        match self.manifest_unsure.load(Ordering::Acquire) {
            true => self.write_manifest(manifest, manifest.clone()),
            false => Ok(()),
        }
    }
}
