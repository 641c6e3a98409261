//! [`Space`]: what the store takes on the disk, by tenant, day, level and destination; how fast it grows; when
//! the disk will be full.

use super::folder::{Folder, io_error};
use super::manifest::Gap;
use super::retain::DroppedDay;
use super::segment::rollup::{Combination, Rollup};
use super::segment::{self, DAY_NS};
use super::wal;
use crate::{Error, Finding};
use hopscope_model::Tenant;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Growth is that of the last so many days.
const GROWTH_DAYS: i64 = 7;

/// The day of an instant, counted from the epoch, in UTC.
pub fn day_of(at_ns: i64) -> i64 {
    segment::day_of(at_ns).into()
}

/// When a day begins.
pub fn day_begins_ns(day: i64) -> i64 {
    day.saturating_mul(DAY_NS)
}

/// What the whole store takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// By name.
    pub tenants: Vec<TenantSpace>,
}

/// What one tenant takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSpace {
    /// Whose.
    pub tenant: Tenant,
    /// Segments by day and level, oldest first.
    pub days: Vec<DaySpace>,
    /// By destination, most bytes first.
    pub destinations: Vec<DestinationSpace>,
    /// Bytes of segments that no destination could be told for.
    pub unattributed_bytes: u64,
    /// Events that are in the log only.
    pub log_events: u64,
    /// Bytes of the logs.
    pub log_bytes: u64,
    /// What is missing.
    pub gaps: Vec<Finding>,
    /// What retention dropped, oldest first.
    pub dropped: Vec<DroppedDay>,
    /// Earliest and latest receipt of what is in segments.
    pub received_ns: Option<(i64, i64)>,
    /// Bytes of every segment with its times of receipt: what growth is computed from.
    pub received: Vec<Received>,
}

/// Bytes that came in over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Earliest and latest receipt.
    pub received_ns: (i64, i64),
    /// Bytes of all files.
    pub bytes: u64,
}

/// Segments of one day and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpace {
    /// Days since the epoch, UTC, of the latest receipt.
    pub day: i64,
    /// How often it was merged: 0 as sealed.
    pub level: u32,
    /// Segments.
    pub segments: u64,
    /// Events.
    pub events: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What one destination takes. Events of many destinations share a segment: its bytes are divided by events, so this
/// is an estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSpace {
    /// Of the broker.
    pub system: String,
    /// Name; empty for spans that are about no message.
    pub destination: String,
    /// Events.
    pub events: u64,
    /// Bytes, estimated.
    pub bytes: u64,
}

impl Space {
    /// Bytes of all segments and logs.
    pub fn bytes(&self) -> u64 {
        self.tenants.iter().map(TenantSpace::bytes).sum()
    }

    /// How fast the segments of all tenants grow.
    pub fn growth(&self, now_ns: i64) -> Option<Growth> {
        let received: Vec<Received> =
            self.tenants.iter().flat_map(|tenant| tenant.received.iter().copied()).collect();
        Growth::of(&received, now_ns)
    }
}

impl TenantSpace {
    /// Bytes of segments and logs.
    pub fn bytes(&self) -> u64 {
        self.segment_bytes() + self.log_bytes
    }

    /// Bytes of segments.
    pub fn segment_bytes(&self) -> u64 {
        self.days.iter().map(|day| day.bytes).sum()
    }

    /// Events in segments.
    pub fn segment_events(&self) -> u64 {
        self.days.iter().map(|day| day.events).sum()
    }
}

/// How fast a store grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes that came in over the time that was looked at.
    pub bytes: u64,
    /// That time: the last days, or since the first receipt where that is less ago.
    pub over_ns: i64,
}

impl Growth {
    /// `None` with less than an hour to look at: too early to tell.
    fn of(received: &[Received], now_ns: i64) -> Option<Self> {
        let first = received.iter().map(|one| one.received_ns.0).min()?;
        let since = first.max(now_ns.saturating_sub(GROWTH_DAYS * DAY_NS));
        let over_ns = now_ns.saturating_sub(since);
        let bytes = received.iter().map(|one| bytes_since(one, since)).sum();
        (over_ns >= HOUR_NS).then_some(Self { bytes, over_ns })
    }

    /// Bytes a day at that rate.
    pub fn bytes_per_day(&self) -> u64 {
        let bytes = u128::from(self.bytes) * DAY_NS as u128 / self.over_ns.unsigned_abs().max(1) as u128;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// When so many more bytes will have come in; `None` where nothing does, or not within a hundred years.
    pub fn full_ns(&self, free_bytes: u64, now_ns: i64) -> Option<i64> {
        let per_day = u128::from(self.bytes_per_day());
        let ns = (u128::from(free_bytes) * DAY_NS as u128).checked_div(per_day)?;
        let ns = i64::try_from(ns).ok().filter(|ns| *ns < 36_525 * DAY_NS)?;
        now_ns.checked_add(ns)
    }
}

/// The part of bytes that came in since then, as if they had come in evenly.
fn bytes_since(one: &Received, since: i64) -> u64 {
    let (first, last) = one.received_ns;
    if first >= since {
        return one.bytes;
    }
    let (all, part) = (last.saturating_sub(first), last.saturating_sub(since).max(0));
    let bytes = u128::from(one.bytes) * part.unsigned_abs() as u128 / all.unsigned_abs().max(1) as u128;
    u64::try_from(bytes).unwrap_or(one.bytes)
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
}

impl Disk {
    /// The file system that a folder is on.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

impl Folder {
    /// What this tenant takes.
    pub fn space(&self) -> Result<TenantSpace, Error> {
        let state = self.state();
        let mut space = TenantSpace {
            tenant: self.tenant.clone(),
            days: Vec::new(),
            destinations: Vec::new(),
            unattributed_bytes: 0,
            log_events: 0,
            log_bytes: self.log_bytes()?,
            gaps: self.gaps(),
            dropped: self.dropped_days(),
            received_ns: None,
            received: Vec::new(),
        };
        let tables = std::iter::once(&state.active).chain(&state.frozen);
        space.log_events = tables.map(|table| table.read().events() as u64).sum();
        let mut days: BTreeMap<(i64, u32), DaySpace> = BTreeMap::new();
        let mut destinations: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for segment in &state.segments {
            let entry = &segment.entry;
            let key = (i64::from(entry.received_day()), entry.level());
            let empty = DaySpace { day: key.0, level: key.1, segments: 0, events: 0, bytes: 0 };
            let day = days.entry(key).or_insert(empty);
            day.segments += 1;
            day.events += u64::from(entry.rows);
            day.bytes += entry.bytes;
            space.received.push(Received { received_ns: entry.received_ns, bytes: entry.bytes });
            let (first, last) = entry.received_ns;
            let range = space.received_ns.get_or_insert((first, last));
            *range = (range.0.min(first), range.1.max(last));
            // Damage is what a check is for: here its bytes are only not told apart.
            let rollup = segment.rollup().ok().map(|(rollup, _)| rollup);
            let told = rollup.as_deref().and_then(Option::as_ref).is_some_and(|rollup| {
                divide(rollup, entry.bytes, &mut destinations);
                entry.rows > 0
            });
            space.unattributed_bytes += if told { 0 } else { entry.bytes };
        }
        space.days = days.into_values().collect();
        let of = |((system, destination), (events, bytes))| DestinationSpace {
            system,
            destination,
            events,
            bytes,
        };
        space.destinations = destinations.into_iter().map(of).collect();
        space.destinations.sort_by_key(|destination| std::cmp::Reverse(destination.bytes));
        Ok(space)
    }

    /// What is missing, files relative to the store's folder.
    pub fn gaps(&self) -> Vec<Finding> {
        let finding = |gap: &Gap| Finding {
            file: format!("{}/{}", self.tenant.name(), gap.file),
            what: gap.what.clone(),
            received_ns: gap.received_ns,
            events: gap.events,
        };
        self.state().gaps.iter().map(finding).collect()
    }

    fn log_bytes(&self) -> Result<u64, Error> {
        let folder = self.tenant.name();
        let names = self.dir.list(folder).map_err(io_error("cannot list the tenant's folder"))?;
        let logs = names.iter().filter(|name| wal::log_of(name).is_some());
        // One that is gone by now was sealed.
        let bytes = logs.filter_map(|name| self.dir.open(&format!("{folder}/{name}")).ok()?.len().ok());
        Ok(bytes.sum())
    }
}

/// Divides the bytes of a segment among its destinations, by events.
fn divide(rollup: &Rollup, bytes: u64, destinations: &mut BTreeMap<(String, String), (u64, u64)>) {
    let all: u64 = rollup.combinations().iter().map(|(_, counted)| counted.events).sum();
    for (of, counted) in rollup.combinations() {
        let [system, destination] = [Combination::SYSTEM, Combination::DESTINATION]
            .map(|name| rollup.name(of.names[name]).to_owned());
        let sum = destinations.entry((system, destination)).or_default();
        let part = u128::from(bytes) * u128::from(counted.events) / u128::from(all.max(1));
        sum.0 += counted.events;
        sum.1 += u64::try_from(part).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: i64 = 20_000 * DAY_NS;

    fn growth(received: &[(i64, i64, u64)]) -> Option<Growth> {
        let of = |(first, last, bytes): &(i64, i64, u64)| Received {
            received_ns: (NOW_NS - first * HOUR_NS, NOW_NS - last * HOUR_NS),
            bytes: *bytes,
        };
        Growth::of(&received.iter().map(of).collect::<Vec<_>>(), NOW_NS)
    }

    #[test]
    fn growth_is_that_of_the_last_week_or_since_the_first_receipt() {
        assert_eq!(growth(&[]), None, "nothing was ever received");
        assert_eq!(growth(&[(0, 0, 100)]), None, "too early to tell");
        let day = growth(&[(24, 12, 500), (12, 0, 1_500)]).expect("a day to look at");
        assert_eq!(day.bytes_per_day(), 2_000);
        // The first segment lies half before the week.
        let week = growth(&[(240, 96, 1_000), (96, 0, 6_500)]).expect("more than a week to look at");
        assert_eq!((week.over_ns, week.bytes), (7 * DAY_NS, 7_000));
        assert_eq!(week.bytes_per_day(), 1_000);
        assert_eq!(week.full_ns(10_000, NOW_NS), Some(NOW_NS + 10 * DAY_NS));
    }

    #[test]
    fn what_does_not_grow_is_never_full() {
        let idle = growth(&[(900, 800, 1_000)]).expect("long enough");
        assert_eq!((idle.bytes_per_day(), idle.full_ns(1, NOW_NS)), (0, None));
        let slow = Growth { bytes: 1, over_ns: DAY_NS };
        assert_eq!(slow.full_ns(u64::MAX, NOW_NS), None);
    }
}
