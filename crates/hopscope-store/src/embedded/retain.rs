//! Dropping segments: what a [`Policy`] no longer keeps, in whole segments, and a record of what went.
//!
//! Single destinations of a segment that others still need stay with it: merging does not leave them out yet.
//! [`Policy::keeps`] is what it is to ask then.

use super::dir::{read_all, replace};
use super::folder::{Folder, io_error, locked};
use super::manifest::{Gap, SegmentEntry};
use super::segment::rollup::Combination;
use super::segment::{Damaged, Segment, SegmentId};
use super::space::{day_begins_ns, day_of};
use crate::{Error, Policy, Retained, Retention, Unit, Why};
use hopscope_model::query::instant_text;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

/// What went, newest last, one JSON object a line after a line that names the format.
pub(super) const FILE: &str = "DROPPED";
const HEAD: &str = "hopscope-dropped 1\n";

/// Lines that are kept: more than a year of days.
const LINES_MAX: usize = 400;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Segments of one day that went at one time for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedDay {
    /// When it went.
    pub at_ns: i64,
    /// Day of receipt, days since the epoch, UTC.
    pub day: i64,
    /// Why.
    pub why: Why,
    /// Segments.
    pub segments: u64,
    /// Events.
    pub events: u64,
    /// Bytes given back.
    pub bytes: u64,
}

impl Folder {
    /// See [`Store::retain`](crate::Store::retain): segments of which everything was received before that time.
    pub fn retain(&self, retention: &Retention) -> Result<Retained, Error> {
        let gone = |received_ns: (i64, i64)| received_ns.1 < retention.keep_since_ns;
        let gap_goes = |gap: &Gap| gap.received_ns.is_some_and(gone);
        let chosen = |segments: &[Arc<Segment>]| -> Vec<(SegmentId, Why)> {
            let old = segments.iter().filter(|segment| gone(segment.entry.received_ns));
            old.map(|segment| (segment.id(), Why::Age)).collect()
        };
        self.drop_segments(chosen, gap_goes, None)
    }

    /// Drops what the policy no longer keeps.
    pub fn apply(&self, policy: &Policy, now_ns: i64) -> Result<Retained, Error> {
        let today = day_of(now_ns);
        let gap_goes = |gap: &Gap| {
            let unit = gap.received_ns.map(|received_ns| unit_of(received_ns, 0, None));
            unit.is_some_and(|unit| {
                policy.drops(std::slice::from_ref(&unit), today).iter().any(|(_, why)| *why == Why::Age)
            })
        };
        let chosen = |segments: &[Arc<Segment>]| -> Vec<(SegmentId, Why)> {
            let units: Vec<Unit> = segments.iter().map(|segment| unit_of_segment(segment)).collect();
            let dropped = policy.drops(&units, today).into_iter();
            dropped.map(|(unit, why)| (segments[unit].id(), why)).collect()
        };
        self.drop_segments(chosen, gap_goes, Some(now_ns))
    }

    /// What went before, oldest first; nothing where the record cannot be read.
    pub fn dropped_days(&self) -> Vec<DroppedDay> {
        let bytes = read_all(&*self.dir, &format!("{}/{FILE}", self.tenant.name()), FILE_BYTES_MAX);
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let lines = text.strip_prefix(HEAD).unwrap_or_default().lines();
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What retention dropped of all that may start at or after `since_ns`, in one sentence; `None` where that is
    /// nothing. An event is received later than it starts, so all days that are not over by then count.
    pub fn dropped_since(&self, since_ns: i64) -> Option<String> {
        let days = self.dropped_days().into_iter();
        let within: Vec<DroppedDay> = days
            .filter(|day| day.events > 0 && day_begins_ns(day.day.saturating_add(1)) > since_ns)
            .collect();
        let last = within.iter().map(|day| day.day).max()?;
        let events: u64 = within.iter().map(|day| day.events).sum();
        let until = instant_text(day_begins_ns(last.saturating_add(1)));
        Some(format!("retention dropped some of what was received before {until} events={events}"))
    }

    fn drop_segments(
        &self,
        choose: impl FnOnce(&[Arc<Segment>]) -> Vec<(SegmentId, Why)>,
        gap_goes: impl Fn(&Gap) -> bool,
        record_ns: Option<i64>,
    ) -> Result<Retained, Error> {
        let mut manifest = locked(&self.manifest);
        let chosen = choose(&self.state().segments);
        if chosen.is_empty() && !manifest.gaps.iter().any(&gap_goes) {
            return Ok(Retained::default());
        }
        let mut next = manifest.clone();
        let out: HashSet<SegmentId> = chosen.iter().map(|(id, _)| *id).collect();
        let dropped: Vec<_> = next.segments.extract_if(.., |entry| out.contains(&entry.id())).collect();
        if let Some(at_ns) = record_ns {
            self.record(&days_of(&dropped, &chosen, at_ns))
                .map_err(io_error("cannot record what retention drops"))?;
        }
        self.change_state(|state| {
            let mut gaps = state.gaps.to_vec();
            gaps.retain(|gap| !gap_goes(gap));
            state.gaps = Arc::new(gaps);
        });
        self.write_manifest(&mut manifest, next)?;
        self.swap_segments(&out, None);
        let dropped_events = dropped.iter().map(|entry| u64::from(entry.rows)).sum();
        Ok(Retained { dropped_events, freed_bytes: dropped.iter().map(|entry| entry.bytes).sum() })
    }

    /// Written before anything goes: after a crash the record may name what is dropped a second time, and
    /// never misses what went.
    fn record(&self, days: &[DroppedDay]) -> io::Result<()> {
        let mut all = self.dropped_days();
        all.extend_from_slice(days);
        let mut text = HEAD.to_owned();
        for day in &all[all.len().saturating_sub(LINES_MAX)..] {
            text += &serde_json::to_string(day).map_err(io::Error::other)?;
            text.push('\n');
        }
        replace(&*self.dir, self.tenant.name(), FILE, text.as_bytes())
    }
}

fn unit_of(received_ns: (i64, i64), bytes: u64, destinations: Option<BTreeSet<String>>) -> Unit {
    Unit { days: (day_of(received_ns.0), day_of(received_ns.1)), bytes, destinations }
}

fn unit_of_segment(segment: &Segment) -> Unit {
    let entry = &segment.entry;
    unit_of(entry.received_ns, entry.bytes, destinations_of(segment).unwrap_or_default())
}

/// Every destination that the segment says anything of; `None` where it cannot be told.
fn destinations_of(segment: &Segment) -> Result<Option<BTreeSet<String>>, Damaged> {
    let (rollup, _) = segment.rollup()?;
    let of_events = rollup.as_ref().as_ref().map(|rollup| {
        let destination = |of: &Combination| rollup.name(of.names[Combination::DESTINATION]).to_owned();
        rollup.combinations().iter().map(|(of, _)| destination(of)).collect::<BTreeSet<String>>()
    });
    let of_rest = segment.with_rest(|rest| {
        let progress = rest.progress().iter().map(|row| row.destination);
        let tallies = rest.tallies().iter().map(|row| row.destination);
        progress.chain(tallies).map(|text| rest.texts().get(text).to_owned()).collect::<BTreeSet<_>>()
    })?;
    Ok(of_events.map(|of_events| of_events.into_iter().chain(of_rest).collect()))
}

fn days_of(dropped: &[SegmentEntry], chosen: &[(SegmentId, Why)], at_ns: i64) -> Vec<DroppedDay> {
    let mut days: Vec<DroppedDay> = Vec::new();
    for entry in dropped {
        let day = day_of(entry.received_ns.1);
        let why = chosen.iter().find(|(id, _)| *id == entry.id()).map_or(Why::Age, |(_, why)| *why);
        let same = days.iter().position(|one| (one.day, one.why) == (day, why));
        let place = same.unwrap_or_else(|| {
            days.push(DroppedDay { at_ns, day, why, segments: 0, events: 0, bytes: 0 });
            days.len() - 1
        });
        days[place].segments += 1;
        days[place].events += u64::from(entry.rows);
        days[place].bytes += entry.bytes;
    }
    days.sort_by_key(|day| day.day);
    days
}
