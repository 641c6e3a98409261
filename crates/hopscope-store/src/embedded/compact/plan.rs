//! Which segments to merge next. A pure function of the manifest: no clock, "now" is the newest receipt.

use crate::embedded::manifest::SegmentEntry;
use crate::embedded::options::Options;
use crate::embedded::segment::{SegmentId, keys::ROWS_MAX};
use std::collections::BTreeMap;

/// How long after its newest receipt a day is over.
const DAY_OVER_NS: i64 = 3_600_000_000_000;

/// How eagerly to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eagerness {
    /// Where it pays: enough rows, too many segments, or a day that is over.
    WhenDue,
    /// Whatever can be merged.
    Everything,
}

/// Segments of one day that become one, the oldest first; empty when there is nothing to do.
///
/// They are always neighbours in the order of their logs: so "older" stays an order of segments, and of two
/// rows with one identity the first durable one is known. Merged segments are merged again only with about as
/// many rows as they have, so that a row is written a few times in its life, however many segments there are.
pub(crate) fn plan(entries: &[SegmentEntry], options: &Options, eagerness: Eagerness) -> Vec<SegmentId> {
    let now_ns = entries.iter().map(|entry| entry.received_ns.1).max().unwrap_or_default();
    let mut days: BTreeMap<i32, Vec<&SegmentEntry>> = BTreeMap::new();
    for entry in entries {
        days.entry(entry.received_day()).or_default().push(entry);
    }
    let chosen = days.into_values().map(|of_day| choose(of_day, now_ns, options, eagerness));
    chosen.into_iter().find(|chosen| chosen.len() > 1).unwrap_or_default()
}

fn choose(
    mut of_day: Vec<&SegmentEntry>,
    now_ns: i64,
    options: &Options,
    eagerness: Eagerness,
) -> Vec<SegmentId> {
    of_day.sort_by_key(|entry| entry.id());
    let rows_max = options.compact_rows.min(ROWS_MAX as usize) as u64;
    let (sealed, merged): (Vec<_>, Vec<_>) = of_day.iter().copied().partition(|entry| entry.level() == 0);
    let newest_ns = of_day.iter().map(|entry| entry.received_ns.1).max().unwrap_or_default();
    let over = newest_ns.saturating_add(DAY_OVER_NS) < now_ns;
    if over || eagerness == Eagerness::Everything {
        return neighbours(&of_day, rows_max);
    }
    if rows_of(&sealed) < rows_max && sealed.len() < options.compact_segments_max.max(2) {
        return Vec::new();
    }
    let mut chosen: Vec<&SegmentEntry> = Vec::new();
    for entry in sealed {
        if chosen.len() > 1 && rows_of(&chosen) + rows(entry) > rows_max {
            break;
        }
        chosen.push(entry);
    }
    for entry in merged.into_iter().rev() {
        let sum = rows_of(&chosen);
        if rows(entry) > sum || sum + rows(entry) > rows_max {
            break;
        }
        chosen.insert(0, entry);
    }
    chosen.into_iter().map(SegmentEntry::id).collect()
}

/// The first neighbours that fit into one segment: two or more, or none.
fn neighbours(of_day: &[&SegmentEntry], rows_max: u64) -> Vec<SegmentId> {
    let mut chosen: Vec<&SegmentEntry> = Vec::new();
    for entry in of_day {
        if rows_of(&chosen) + rows(entry) > rows_max {
            if chosen.len() > 1 {
                break;
            }
            chosen.clear();
        }
        chosen.push(entry);
    }
    if chosen.len() > 1 { chosen.into_iter().map(SegmentEntry::id).collect() } else { Vec::new() }
}

fn rows(entry: &SegmentEntry) -> u64 {
    u64::from(entry.rows)
}

fn rows_of(entries: &[&SegmentEntry]) -> u64 {
    entries.iter().map(|entry| rows(entry)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;

    fn entry(log: u64, day: i32, generation: u32, rows: u32) -> SegmentEntry {
        let received_ns = i64::from(day) * DAY_NS + log as i64;
        SegmentEntry {
            log,
            day: Some(day),
            generation,
            rows,
            progress: 0,
            tally_ns: None,
            received_ns: (received_ns, received_ns),
            start_ns: (0, 0),
            bytes: 0,
            sums_crc32c: 0,
        }
    }

    fn check(entries: &[SegmentEntry], eagerness: Eagerness, expected: &[u64]) {
        let options = Options { compact_rows: 100, compact_segments_max: 4, ..Options::default() };
        let chosen = plan(entries, &options, eagerness);
        assert_eq!(chosen.iter().map(|id| id.log).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn enough_rows_are_merged() {
        check(&[entry(1, 0, 0, 50), entry(2, 0, 0, 40)], Eagerness::WhenDue, &[]);
        check(&[entry(1, 0, 0, 50), entry(2, 0, 0, 50), entry(3, 0, 0, 1)], Eagerness::WhenDue, &[1, 2]);
    }

    #[test]
    fn too_many_segments_are_merged_with_merged_ones_of_their_size() {
        let sealed: Vec<_> = (5..9).map(|log| entry(log, 0, 0, 2)).collect();
        let with = |merged: &[SegmentEntry]| [merged, &sealed].concat();
        check(&with(&[]), Eagerness::WhenDue, &[5, 6, 7, 8]);
        check(&with(&[entry(3, 0, 1, 9)]), Eagerness::WhenDue, &[5, 6, 7, 8]);
        check(&with(&[entry(3, 0, 1, 16), entry(4, 0, 1, 8)]), Eagerness::WhenDue, &[3, 4, 5, 6, 7, 8]);
        // Never past a neighbour.
        check(&with(&[entry(3, 0, 1, 2), entry(4, 0, 1, 90)]), Eagerness::WhenDue, &[5, 6, 7, 8]);
    }

    #[test]
    fn a_day_that_is_over_becomes_few_segments() {
        let old = [entry(1, 0, 1, 60), entry(2, 0, 0, 30), entry(3, 0, 0, 50)];
        check(&old, Eagerness::WhenDue, &[]);
        check(&[&old[..], &[entry(4, 1, 0, 1)]].concat(), Eagerness::WhenDue, &[1, 2]);
        check(&[entry(2, 0, 1, 90), entry(3, 0, 0, 50), entry(4, 1, 0, 1)], Eagerness::WhenDue, &[]);
    }

    #[test]
    fn merging_everything_comes_to_an_end() {
        let two_days = [entry(1, 0, 0, 1), entry(1, 1, 0, 1), entry(2, 1, 0, 1)];
        check(&two_days, Eagerness::Everything, &[1, 2]);
        check(&[entry(1, 0, 0, 1), entry(2, 1, 1, 2)], Eagerness::Everything, &[]);
        check(&[entry(1, 0, 0, 99), entry(2, 0, 0, 60), entry(3, 0, 0, 40)], Eagerness::Everything, &[2, 3]);
    }
}
