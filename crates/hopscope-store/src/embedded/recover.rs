//! Opening a tenant's folder: what is sound is used, what is not is put aside and named.

use super::dir::Dir;
use super::folder::io_error;
use super::manifest::{self, Gap, Manifest, SegmentEntry, Unreadable};
use super::options::Options;
use super::segment::sums::Head;
use super::segment::{Caches, Damaged, Segment, SegmentId};
use super::table::Table;
use super::wal::{self, Log};
use crate::{Error, ErrorKind};
use hopscope_model::Tenant;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Where damaged files go.
pub(crate) const QUARANTINE: &str = "quarantine";

/// What a folder turned out to hold.
pub(crate) struct Recovered {
    pub manifest: Manifest,
    pub segments: Vec<Arc<Segment>>,
    /// Tables of the logs that are not in segments, oldest first.
    pub tables: Vec<Table>,
    /// The log to go on with: of the last table, or new.
    pub log: Log,
}

pub(super) struct Recovery<'a> {
    pub(super) dir: &'a Arc<dyn Dir>,
    pub(super) tenant: &'a Tenant,
    pub(super) manifest: Manifest,
    /// The manifest on the disk says something else.
    changed: bool,
}

pub(crate) fn recover(
    dir: &Arc<dyn Dir>,
    tenant: &Tenant,
    options: &Options,
    caches: &Arc<Caches>,
) -> Result<Recovered, Error> {
    let path = tenant.name();
    dir.make_dir(path)
        .and_then(|()| dir.sync_dir(""))
        .map_err(io_error("cannot make the tenant's folder"))?;
    let mut recovery = Recovery { dir, tenant, manifest: Manifest::default(), changed: false };
    recovery.read_manifest()?;
    let segments = recovery.open_segments(caches)?;
    let (tables, log) = recovery.replay(options)?;
    if recovery.changed {
        manifest::write(&**dir, path, &recovery.manifest).map_err(io_error("cannot write the manifest"))?;
    }
    recovery.remove_strays()?;
    let log = match log {
        Some(log) => log,
        None => {
            let last = tables.last().map_or(recovery.manifest.first_log, |table| table.log + 1);
            Log::create(&**dir, path, last).map_err(io_error("cannot create the log"))?
        }
    };
    Ok(Recovered { manifest: recovery.manifest, segments, tables, log })
}

impl Recovery<'_> {
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        self.dir.list(self.tenant.name()).map_err(io_error("cannot list the tenant's folder"))
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.tenant.name())
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        tracing::error!(tenant = self.tenant.name(), file = gap.file, events = gap.events, "{}", gap.what);
        self.changed |= self.manifest.add(gap);
    }

    fn read_manifest(&mut self) -> Result<(), Error> {
        let what = match manifest::read(&**self.dir, self.tenant.name()) {
            Ok(manifest) => {
                self.manifest = manifest;
                return Ok(());
            }
            Err(Unreadable::Io(error)) => return Err(io_error("cannot read the manifest")(error)),
            Err(Unreadable::Newer(format)) => {
                let known = manifest::FORMAT;
                let message = format!(
                    "this store was written by a newer hopscope format={format} known={known}\nhint: start that version, or restore a backup of this one"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            Err(Unreadable::Missing) => {
                "the manifest was missing and was made anew from the segments".to_owned()
            }
            Err(Unreadable::Damaged(what)) => {
                format!("the manifest was damaged ({what}) and was made anew from the segments")
            }
        };
        let is_new = self.rebuild_manifest()?;
        if !is_new {
            self.put_aside(manifest::FILE)?;
            self.gap(Gap { file: manifest::FILE.to_owned(), what, received_ns: None, events: None });
        }
        manifest::write(&**self.dir, self.tenant.name(), &self.manifest)
            .map_err(io_error("cannot write the manifest"))
    }

    /// Makes a manifest out of what the complete segments say of themselves; true where there is nothing yet.
    fn rebuild_manifest(&mut self) -> Result<bool, Error> {
        let names = self.names()?;
        let ids: BTreeSet<SegmentId> = names.iter().filter_map(|name| SegmentId::of_name(name)).collect();
        let mut heads: Vec<Head> = Vec::new();
        for id in ids {
            match Segment::head_of(&**self.dir, self.tenant, id) {
                Ok(head) => heads.push(head),
                // One that cannot be looked at now is not one that was never finished: that would be removed.
                Err(damaged) if damaged.passing => return Err(passing(&damaged)),
                Err(_) => {}
            }
        }
        let logs: BTreeSet<u64> = names.iter().filter_map(|name| wal::log_of(name)).collect();
        let (segments, first_log) = pieced_together(heads, &logs);
        // A new tenant gets its manifest before its first log: where there is a log, there was a manifest.
        let is_new = segments.is_empty() && logs.is_empty();
        self.manifest.segments = segments;
        self.manifest.first_log = first_log;
        Ok(is_new)
    }

    /// Moves a file into quarantine, where it is there.
    fn put_aside(&self, name: &str) -> Result<(), Error> {
        put_aside(&**self.dir, self.tenant, name)
            .map_err(io_error("cannot move a damaged file into quarantine"))
    }

    fn open_segments(&mut self, caches: &Arc<Caches>) -> Result<Vec<Arc<Segment>>, Error> {
        let mut segments = Vec::new();
        for entry in self.manifest.segments.clone() {
            match Segment::open(self.dir, self.tenant, &entry, caches) {
                Ok(segment) => segments.push(Arc::new(segment)),
                // What cannot be looked at now may be sound: nothing is changed.
                Err(damaged) if damaged.passing => return Err(passing(&damaged)),
                Err(Damaged { file, what, .. }) => {
                    for name in entry.id().file_names() {
                        self.put_aside(&name)?;
                    }
                    self.manifest.segments.retain(|other| other.id() != entry.id());
                    let events = Some(u64::from(entry.rows));
                    self.gap(Gap { file, what, received_ns: Some(entry.received_ns), events });
                }
            }
        }
        Ok(segments)
    }

    /// Removes what the manifest does not name: unfinished segments, logs that are in segments.
    fn remove_strays(&self) -> Result<(), Error> {
        let known: BTreeSet<SegmentId> = self.manifest.segments.iter().map(SegmentEntry::id).collect();
        for name in self.names()? {
            let sealed = wal::log_of(&name).is_some_and(|log| log < self.manifest.first_log);
            let unfinished = SegmentId::of_name(&name).is_some_and(|id| !known.contains(&id));
            if sealed || unfinished || name == manifest::NEW_FILE {
                self.dir.remove(&self.path(&name)).map_err(io_error("cannot remove a file"))?;
            }
        }
        Ok(())
    }
}

/// Of complete segments those that count, and the log from which on to replay.
///
/// What was merged counts in place of what it was merged out of, whose files may still be there. A log that is
/// still there and did not become all of its segments is replayed, and those that it did become are left out.
fn pieced_together(heads: Vec<Head>, logs: &BTreeSet<u64>) -> (Vec<SegmentEntry>, u64) {
    let replaced: BTreeSet<SegmentId> = heads.iter().flat_map(|head| head.replaces.iter().copied()).collect();
    let here: BTreeSet<SegmentId> = heads.iter().map(|head| head.entry.id()).collect();
    let is_whole = |head: &Head| {
        let part = |day: &i32| SegmentId { day: Some(*day), ..head.entry.id() };
        head.days.iter().map(part).all(|id| here.contains(&id) || replaced.contains(&id))
    };
    let sealed = heads.iter().filter(|head| head.entry.level() == 0 && is_whole(head));
    let sealed: BTreeSet<u64> =
        sealed.map(|head| head.entry.log).chain(replaced.iter().map(|id| id.log)).collect();
    let after_sealed = heads.iter().map(|head| head.entry.log + 1).max();
    let unsealed = logs.iter().copied().find(|log| !sealed.contains(log));
    let first_log = match (unsealed, after_sealed) {
        (Some(unsealed), Some(after)) => unsealed.min(after),
        (unsealed, after) => unsealed.or(after).unwrap_or(1),
    };
    let counts = |head: &Head| {
        let replayed =
            head.entry.level() == 0 && head.entry.log >= first_log && logs.contains(&head.entry.log);
        !replaced.contains(&head.entry.id()) && !replayed
    };
    let mut segments: Vec<SegmentEntry> = heads.into_iter().filter(counts).map(|head| head.entry).collect();
    segments.sort_by_key(SegmentEntry::id);
    (segments, first_log)
}

/// A file that cannot be looked at, and may be sound.
pub(crate) fn passing(damaged: &Damaged) -> Error {
    let message = format!(
        "{damaged}\nhint: it is not known whether it is damaged: mend what stands in the way, and start again"
    );
    Error::new(ErrorKind::Internal, message)
}

/// Moves a file of a tenant's folder into quarantine, where it is there.
pub(crate) fn put_aside(dir: &dyn Dir, tenant: &Tenant, name: &str) -> io::Result<()> {
    let folder = format!("{}/{QUARANTINE}", tenant.name());
    dir.make_dir(&folder)?;
    match dir.rename(&format!("{}/{name}", tenant.name()), &format!("{folder}/{name}")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
        // Gone from one folder and there in the other, or a later loss of power could undo half of it.
        Ok(()) => dir.sync_dir(&folder).and_then(|()| dir.sync_dir(tenant.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(log: u64, day: i32, generation: u32) -> SegmentId {
        SegmentId { log, day: Some(day), generation }
    }

    fn head(id: SegmentId, days: &[i32], replaces: &[SegmentId]) -> Head {
        let entry = SegmentEntry {
            log: id.log,
            day: id.day,
            generation: id.generation,
            rows: 1,
            progress: 0,
            tally_ns: None,
            received_ns: (0, 0),
            start_ns: (0, 0),
            bytes: 0,
            sums_crc32c: 0,
        };
        Head { days: days.to_vec(), ..Head::merged(entry, replaces.to_vec()) }
    }

    fn check(heads: &[Head], logs: &[u64], expected: &[SegmentId], expected_first_log: u64) {
        let (segments, first_log) = pieced_together(heads.to_vec(), &logs.iter().copied().collect());
        assert_eq!(segments.iter().map(SegmentEntry::id).collect::<Vec<_>>(), expected);
        assert_eq!(first_log, expected_first_log);
    }

    #[test]
    fn what_was_merged_counts_in_place_of_its_parts() {
        let parts =
            [head(id(1, 5, 0), &[5], &[]), head(id(2, 5, 0), &[5], &[]), head(id(3, 5, 0), &[5], &[])];
        let whole = head(id(2, 5, 1), &[], &[id(1, 5, 0), id(2, 5, 0)]);
        check(&parts, &[4], &[id(1, 5, 0), id(2, 5, 0), id(3, 5, 0)], 4);
        check(&[&parts[..], &[whole.clone()]].concat(), &[4], &[id(2, 5, 1), id(3, 5, 0)], 4);
        // The log of a part may be there again after a loss of power.
        check(&[&parts[..], &[whole]].concat(), &[2, 4], &[id(2, 5, 1), id(3, 5, 0)], 4);
    }

    #[test]
    fn a_log_that_became_some_of_its_segments_is_replayed() {
        let first = head(id(1, 5, 0), &[5], &[]);
        let half = head(id(2, 5, 0), &[5, 6], &[]);
        let other = head(id(2, 6, 0), &[5, 6], &[]);
        check(&[first.clone(), half.clone()], &[2, 3], &[id(1, 5, 0)], 2);
        check(&[first.clone(), half.clone(), other], &[2, 3], &[id(1, 5, 0), id(2, 5, 0), id(2, 6, 0)], 3);
        // Without the log, what there is of it counts.
        check(&[first, half], &[3], &[id(1, 5, 0), id(2, 5, 0)], 3);
    }

    #[test]
    fn an_empty_folder_begins_with_the_first_log() {
        check(&[], &[], &[], 1);
        check(&[], &[1, 2], &[], 1);
    }
}
