//! Repair: what can be done about damage while nobody uses the folder.
//!
//! Events that their checksums vouch for are kept, and what is missing beside them is made anew; also of segments that
//! lie in quarantine because of something beside their events. What is lost stays a gap that every answer names. A dry
//! run is the same done to a snapshot that is thrown away.

use super::backup::unreadable_manifest;
use super::dir::Dir;
use super::folder::io_error;
use super::manifest::{self, Gap, Manifest, Unreadable};
use super::real_dir::RealDir;
use super::recover::{QUARANTINE, passing};
use super::segment::{Damaged, Parts, Rebuild, RebuildError, Rebuilt, SegmentId};
use super::snapshot::{self, Snapshot};
use super::{Embedded, LOCK_FILE, Options};
use crate::{Error, ErrorKind};
use hopscope_model::Tenant;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// File, relative to the store's folder.
    pub file: String,
    /// One sentence.
    pub what: String,
    /// Whether something that was stored is lost.
    pub is_loss: bool,
}

/// Repairs the store in that folder; with `dry_run` says what it would do.
///
/// # Errors
/// `Invalid` where there is no store, `Unavailable` where another process has it.
pub fn repair(data: &Path, dry_run: bool) -> Result<Vec<Repaired>, Error> {
    snapshot::tenants(data)?;
    if !dry_run {
        return repair_in(data);
    }
    let snapshot = Snapshot::take(data)?;
    for tenant in snapshot::tenants(data)? {
        let (from, to) = (data.join(tenant.name()), snapshot.path().join(tenant.name()));
        link_all(&from.join(QUARANTINE), &to.join(QUARANTINE))
            .map_err(io_error("cannot look into the quarantine"))?;
    }
    repair_in(snapshot.path())
}

/// Makes the counts of all segments anew from their events; gives back those that were others before, or were none.
///
/// # Errors
/// `Invalid` where there is no store, `Unavailable` where another process has it, `Corrupt` where a segment is damaged:
/// that is for [`repair`].
pub fn rebuild_rollups(data: &Path) -> Result<Vec<Repaired>, Error> {
    snapshot::tenants(data)?;
    let dir = RealDir::open(data).map_err(io_error("cannot open the folder"))?;
    let lock = dir.lock(LOCK_FILE).map_err(io_error("cannot lock the folder"))?;
    let Some(_lock) = lock else {
        return Err(Error::new(ErrorKind::Unavailable, "another hopscope is using this folder"));
    };
    let mut done = Vec::new();
    for tenant in snapshot::tenants(data)? {
        let mut repair = Repair::begin(&dir, &tenant)?;
        repair.rebuild_rollups(&mut done)?;
        repair.write()?;
    }
    Ok(done)
}

/// Links every file of a folder, where it is there.
fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn repair_in(data: &Path) -> Result<Vec<Repaired>, Error> {
    let dir = RealDir::open(data).map_err(io_error("cannot open the folder"))?;
    let lock = dir.lock(LOCK_FILE).map_err(io_error("cannot lock the folder"))?;
    let Some(lock) = lock else {
        return Err(Error::new(ErrorKind::Unavailable, "another hopscope is using this folder"));
    };
    let mut done = Vec::new();
    for name in
        snapshot::remove_left(data).map_err(io_error("cannot remove a snapshot that was left behind"))?
    {
        done.push(Repaired {
            file: name,
            what: "a snapshot that was left behind was removed".into(),
            is_loss: false,
        });
    }
    for tenant in snapshot::tenants(data)? {
        Repair::begin(&dir, &tenant)?.run(&mut done)?;
    }
    drop(lock);
    // Opening does the rest: it cuts logs, puts aside what is damaged, removes what no manifest names.
    let before: BTreeSet<String> = done.iter().map(|one| one.file.clone()).collect();
    let store = Embedded::open(data, Options { compact: false, ..Options::default() })?;
    for gap in store.gaps() {
        if !before.contains(&gap.file) {
            done.push(Repaired { file: gap.file, what: gap.what, is_loss: true });
        }
    }
    Ok(done)
}

struct Repair<'a> {
    dir: &'a RealDir,
    tenant: &'a Tenant,
    /// `None` where it cannot be read: opening makes it anew, of the segments that are complete.
    manifest: Option<Manifest>,
    changed: bool,
}

impl<'a> Repair<'a> {
    fn begin(dir: &'a RealDir, tenant: &'a Tenant) -> Result<Self, Error> {
        let manifest = match manifest::read(dir, tenant.name()) {
            Ok(manifest) => Some(manifest),
            Err(Unreadable::Missing | Unreadable::Damaged(_)) => None,
            Err(unreadable) => return Err(unreadable_manifest(tenant.name(), unreadable)),
        };
        Ok(Self { dir, tenant, manifest, changed: false })
    }

    fn run(mut self, done: &mut Vec<Repaired>) -> Result<(), Error> {
        self.rebuild_named(done)?;
        self.bring_back(done)?;
        self.write()
    }

    fn write(self) -> Result<(), Error> {
        let Some(manifest) = self.manifest.filter(|_| self.changed) else { return Ok(()) };
        manifest::write(self.dir, self.tenant.name(), &manifest)
            .map_err(io_error("cannot write the manifest"))
    }

    fn rebuild_rollups(&mut self, done: &mut Vec<Repaired>) -> Result<(), Error> {
        let Some(mut manifest) = self.manifest.take() else { return Ok(()) };
        for entry in &mut manifest.segments {
            let damaged =
                |what: String| Error::new(ErrorKind::Corrupt, format!("{what}: `repair` comes first"));
            let mut rebuild = Rebuild::look(self.dir, self.tenant.name(), entry.id())
                .map_err(|error| damaged(error.to_string()))?;
            if rebuild.parts.keys || rebuild.parts.extra {
                return Err(damaged(format!("{} is damaged", entry.id())));
            }
            rebuild.parts.extra = true;
            let Rebuilt { entry: rebuilt, .. } = self.finish(rebuild)?;
            if rebuilt != *entry {
                let [_, _, extra, _] = entry.id().file_names();
                let what = "the counts were made anew from the events".to_owned();
                done.push(Repaired { file: self.file(&extra), what, is_loss: false });
                *entry = rebuilt;
                self.changed = true;
            }
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.tenant.name())
    }

    /// Segments that the manifest names, and that something beside their events is wrong with.
    fn rebuild_named(&mut self, done: &mut Vec<Repaired>) -> Result<(), Error> {
        let Some(mut manifest) = self.manifest.take() else { return Ok(()) };
        for entry in &mut manifest.segments {
            match Rebuild::look(self.dir, self.tenant.name(), entry.id()) {
                Ok(rebuild) if rebuild.parts.keys || rebuild.parts.extra => {
                    let parts = rebuild.parts;
                    let rebuilt = self.finish(rebuild)?;
                    *entry = rebuilt.entry;
                    self.told(entry.id(), parts, rebuilt.rest_is_lost, &mut manifest.gaps, done);
                    self.changed = true;
                }
                Ok(_) => {}
                Err(damaged) if damaged.passing => return Err(passing(&damaged)),
                Err(damaged) => {
                    // Opening looks at footers only: what is damaged deeper is put aside here, as it would be.
                    for name in entry.id().file_names() {
                        super::recover::put_aside(self.dir, self.tenant, &name)
                            .map_err(io_error("cannot move a damaged file into quarantine"))?;
                    }
                    done.push(self.lost(&damaged, entry.rows));
                    let Damaged { file, what, .. } = damaged;
                    let (received_ns, events) = (Some(entry.received_ns), Some(u64::from(entry.rows)));
                    manifest.gaps.retain(|gap| gap.file != file);
                    manifest.gaps.push(Gap { file, what, received_ns, events });
                    entry.rows = GONE;
                    self.changed = true;
                }
            }
        }
        manifest.segments.retain(|entry| entry.rows != GONE);
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Segments in quarantine whose events are sound.
    fn bring_back(&mut self, done: &mut Vec<Repaired>) -> Result<(), Error> {
        let Some(mut manifest) = self.manifest.take() else { return Ok(()) };
        let folder = format!("{}/{QUARANTINE}", self.tenant.name());
        let names = self.dir.list(&folder).unwrap_or_default();
        let ids: BTreeSet<SegmentId> = names.iter().filter_map(|name| SegmentId::of_name(name)).collect();
        for id in ids {
            let Ok(rebuild) = Rebuild::look(self.dir, &folder, id) else { continue };
            if manifest.segments.iter().any(|entry| entry.id() == id) {
                continue;
            }
            let parts = rebuild.parts;
            let Rebuilt { entry, rest_is_lost } = self.finish(rebuild)?;
            for name in id.file_names() {
                self.dir
                    .rename(&format!("{folder}/{name}"), &self.file(&name))
                    .map_err(io_error("cannot bring a file back"))?;
                manifest.gaps.retain(|gap| gap.file != name);
            }
            self.dir.sync_dir(self.tenant.name()).map_err(io_error("cannot sync the tenant's folder"))?;
            let place = manifest.segments.partition_point(|other| other.id() < id);
            manifest.segments.insert(place, entry);
            self.told(id, parts, rest_is_lost, &mut manifest.gaps, done);
            let [events, ..] = id.file_names();
            let what = "the segment was brought back from quarantine".to_owned();
            done.push(Repaired { file: self.file(&events), what, is_loss: false });
            self.changed = true;
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    fn finish(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, Error> {
        rebuild.finish(self.tenant).map_err(|error| match error {
            RebuildError::Io(error) => io_error("cannot write a rebuilt file")(error),
            RebuildError::Damaged(damaged) => {
                Error::new(ErrorKind::Corrupt, format!("cannot be read after it was verified: {damaged}"))
            }
        })
    }

    /// Says what was made anew, and what of it could not be.
    fn told(
        &self,
        id: SegmentId,
        parts: Parts,
        rest_is_lost: bool,
        gaps: &mut Vec<Gap>,
        done: &mut Vec<Repaired>,
    ) {
        let [_, keys_name, extra_name, sums_name] = id.file_names();
        // Reads may have come upon it, and remembered.
        gaps.retain(|gap| ![&keys_name, &extra_name, &sums_name].contains(&&gap.file));
        if parts.keys {
            let what = "the key index was made anew from the events".to_owned();
            done.push(Repaired { file: self.file(&keys_name), what, is_loss: false });
        }
        if rest_is_lost {
            let what =
                "the counts were made anew from the events; progress and metrics of this segment are lost";
            let file = self.file(&extra_name);
            gaps.push(Gap { file: extra_name, what: what.to_owned(), received_ns: None, events: None });
            done.push(Repaired { file, what: what.to_owned(), is_loss: true });
        } else if parts.extra {
            let what = "the counts were made anew from the events".to_owned();
            done.push(Repaired { file: self.file(&extra_name), what, is_loss: false });
        }
    }

    fn lost(&self, damaged: &Damaged, rows: u32) -> Repaired {
        let what = format!("{}; the segment of {rows} events was put into quarantine", damaged.what);
        Repaired { file: self.file(&damaged.file), what, is_loss: true }
    }
}

/// Rows of an entry that is to be taken out: no segment has so many.
const GONE: u32 = u32::MAX;
