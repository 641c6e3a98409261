//! Compaction: many small segments of a day become few large ones, beside everything else.
//!
//! What is merged is published by one manifest, that names the outcome and no longer its inputs; until then
//! the inputs count, from then on the outcome does. Reads that hold the inputs keep them until they are done.

mod plan;

pub(crate) use plan::Eagerness;

use super::folder::{Folder, io_error, locked};
use super::manifest::{Manifest, SegmentEntry};
use super::segment::merge::{Input, MergeFailed, Pace, merge};
use super::segment::{Segment, SegmentId};
use crate::{Error, ErrorKind};
use plan::plan;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// Free space that a merge wants, as often as its inputs are large.
const SPACE_FACTOR: u64 = 2;

/// How a tenant's segments are doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Segments as they were sealed, and merged ones.
    pub levels: [Level; 2],
    /// Bytes of the segments that are due to be merged, those of a merge under way among them.
    pub pending_bytes: u64,
    /// Bytes of the segments that are being merged now.
    pub merging_bytes: u64,
    /// Merges since the store was opened.
    pub merges: u64,
    /// Rows that were written by them: a row counts each time.
    pub merged_rows: u64,
    /// Bytes that were written by them.
    pub merged_bytes: u64,
    /// Why the last try to merge came to nothing, where it did.
    pub last_error: Option<String>,
}

/// The segments of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// How many.
    pub segments: u64,
    /// Their events.
    pub rows: u64,
    /// Their bytes, indexes included.
    pub bytes: u64,
}

impl Status {
    /// Bytes on the disk at the most, while a merge is under way, by those that are needed; 1 without one.
    pub fn space_amplification(&self) -> f64 {
        let bytes: u64 = self.levels.iter().map(|level| level.bytes).sum();
        if bytes == 0 { 1.0 } else { (bytes + self.merging_bytes) as f64 / bytes as f64 }
    }
}

/// What compaction remembers between its runs.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Held during a merge: there is one at a time.
    running: Mutex<()>,
    told: Mutex<Told>,
}

#[derive(Clone, Debug, Default)]
struct Told {
    merging_bytes: u64,
    merges: u64,
    merged_rows: u64,
    merged_bytes: u64,
    last_error: Option<String>,
}

impl Folder {
    /// Merges one group of segments; `false` where there is nothing to do. `pace` is asked now and then.
    pub fn compact_one(&self, eagerness: Eagerness, pace: Pace<'_>) -> Result<bool, Error> {
        let _running = locked(&self.compaction.running);
        let inputs = self.inputs(eagerness);
        if inputs.is_empty() {
            return Ok(false);
        }
        let merged = self.merge_inputs(&inputs, pace);
        let mut told = locked(&self.compaction.told);
        told.merging_bytes = 0;
        match &merged {
            Ok(Some(entry)) => {
                told.merges += 1;
                told.merged_rows += u64::from(entry.rows);
                told.merged_bytes += entry.bytes;
                told.last_error = None;
            }
            Ok(None) => {}
            Err(error) => told.last_error = Some(error.to_string()),
        }
        merged.map(|_| true)
    }

    /// The segments that are to be merged next.
    fn inputs(&self, eagerness: Eagerness) -> Vec<Arc<Segment>> {
        let state = self.state();
        let sound = self.sound_entries(&state.segments);
        let chosen = plan(&sound, &self.options, eagerness);
        let segment = |id: &SegmentId| state.segments.iter().find(|segment| segment.id() == *id).cloned();
        chosen.iter().filter_map(segment).collect()
    }

    /// What is damaged is left as it is: for whoever wants to mend it, and because it would stop every merge.
    fn sound_entries(&self, segments: &[Arc<Segment>]) -> Vec<SegmentEntry> {
        let state = self.state();
        let damaged: HashSet<SegmentId> =
            state.gaps.iter().filter_map(|gap| SegmentId::of_name(&gap.file)).collect();
        let sound = segments.iter().filter(|segment| !damaged.contains(&segment.id()));
        sound.map(|segment| segment.entry.clone()).collect()
    }

    fn merge_inputs(&self, inputs: &[Arc<Segment>], pace: Pace<'_>) -> Result<Option<SegmentEntry>, Error> {
        let bytes = inputs.iter().map(|input| input.entry.bytes).sum();
        self.check_room(bytes)?;
        self.confirm_manifest(&mut locked(&self.manifest))?;
        locked(&self.compaction.told).merging_bytes = bytes;
        let merged = merge(&*self.dir, &self.tenant, outcome_of(inputs), inputs, pace);
        let entry = merged.map_err(|failed| self.failed(failed, inputs))?;
        self.publish(entry, inputs)
    }

    /// Refuses to merge where the disk could become full by it.
    fn check_room(&self, bytes: u64) -> Result<(), Error> {
        let Ok(free) = self.dir.free_space() else { return Ok(()) };
        let wanted = bytes.saturating_mul(SPACE_FACTOR);
        if free >= wanted {
            return Ok(());
        }
        let message = format!("too little space to merge segments bytes_free={free} bytes_wanted={wanted}");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    fn failed(&self, failed: MergeFailed, inputs: &[Arc<Segment>]) -> Error {
        match failed {
            MergeFailed::Stopped(error) => error,
            MergeFailed::Io(error) => io_error("cannot write a merged segment")(error),
            MergeFailed::Damaged(Input { number, what }) => {
                let damaged = self.note(what, &inputs[number]);
                Error::new(ErrorKind::Corrupt, format!("a segment cannot be merged: {damaged}"))
            }
        }
    }

    /// Puts the outcome in place of the inputs; `None` where some of them were dropped in the meantime.
    fn publish(&self, entry: SegmentEntry, inputs: &[Arc<Segment>]) -> Result<Option<SegmentEntry>, Error> {
        let out: HashSet<SegmentId> = inputs.iter().map(|input| input.id()).collect();
        let segment = self.open_written(&entry)?;
        let mut manifest = locked(&self.manifest);
        let still = |manifest: &Manifest| {
            manifest.segments.iter().filter(|entry| out.contains(&entry.id())).count() == out.len()
        };
        if !still(&manifest) {
            segment.retire();
            return Ok(None);
        }
        let mut next = manifest.clone();
        next.segments.retain(|entry| !out.contains(&entry.id()));
        next.segments.push(entry.clone());
        self.write_manifest(&mut manifest, next)?;
        self.swap_segments(&out, Some(segment));
        Ok(Some(entry))
    }

    /// How the segments are doing.
    pub fn status(&self) -> Status {
        let state = self.state();
        let told = locked(&self.compaction.told).clone();
        let mut levels = [Level::default(); 2];
        for segment in &state.segments {
            let level = &mut levels[segment.entry.level() as usize];
            level.segments += 1;
            level.rows += u64::from(segment.entry.rows);
            level.bytes += segment.entry.bytes;
        }
        let due = self.inputs(Eagerness::WhenDue);
        Status {
            levels,
            pending_bytes: due.iter().map(|segment| segment.entry.bytes).sum(),
            merging_bytes: told.merging_bytes,
            merges: told.merges,
            merged_rows: told.merged_rows,
            merged_bytes: told.merged_bytes,
            last_error: told.last_error,
        }
    }
}

/// Which segment these become.
fn outcome_of(inputs: &[Arc<Segment>]) -> SegmentId {
    let ids = || inputs.iter().map(|input| input.id());
    SegmentId {
        log: ids().map(|id| id.log).max().unwrap_or_default(),
        day: inputs.iter().map(|input| input.entry.received_day()).max(),
        generation: ids().map(|id| id.generation).max().unwrap_or_default() + 1,
    }
}
