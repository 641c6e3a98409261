//! Counting by rollups: what of an aggregation over a segment its rollup tells, and which times are left to look at
//! events for.

use super::counting::{Counting, Group};
use super::segment::rollup::{HOUR_NS, MINUTE_NS, Rollup, Table};
use super::segment::{Damaged, Segment};
use crate::{Aggregation, Dimension};
use hopscope_model::query::{Field, Literal, Term};
use hopscope_model::{Query, Tenant};
use std::ops::Range;

/// Counts what the segment's rollup tells. Gives back the ranges of start times that it does not tell: everything
/// where it is of no use for what is asked.
pub(super) fn count_rolled(
    counting: &mut Counting<'_>,
    aggregation: &Aggregation,
    segment: &Segment,
) -> Result<Vec<Range<i64>>, Damaged> {
    let (since, until) = aggregation.query.range(aggregation.now_ns);
    let (first, last) = segment.entry.start_ns;
    // Where a range goes beyond the segment, it need not end with a minute.
    let since = if since <= first { i64::MIN } else { since };
    let until = if until > last { i64::MAX } else { until };
    let everything = || vec![since..until];
    let (rollup, file) = segment.rollup()?;
    let Some(rollup) = rollup.as_ref() else { return Ok(everything()) };
    if aggregation.by.contains(&Dimension::Instance) || !tells(rollup, &aggregation.query) {
        return Ok(everything());
    }
    let whole = since == i64::MIN && until == i64::MAX;
    if whole && aggregation.step_ns.is_none() && !aggregation.measured {
        let groups = groups_of(counting, aggregation, rollup, Table::LaneHours);
        for (group, (_, sum)) in groups.into_iter().zip(rollup.combinations()) {
            if let Some(group) = group {
                counting.add_sum(group, sum.first_ns, sum, &Default::default());
            }
        }
        return Ok(Vec::new());
    }
    let Some((parts, told)) = parts_of(aggregation, since, until).filter(|_| rollup.has_tables()) else {
        return Ok(everything());
    };
    for (table, steps) in parts {
        let groups = groups_of(counting, aggregation, rollup, table);
        rollup.each_row(file, table, steps, aggregation.measured, |combination, sum, latencies| {
            if let Some(group) = groups.get(combination as usize).copied().flatten() {
                counting.add_sum(group, sum.first_ns, sum, latencies);
            }
        })?;
    }
    Ok([since..told.start, told.end..until].into_iter().filter(|range| !range.is_empty()).collect())
}

/// Which steps of which tables make up as much of a range as they can, and the range that they make up.
fn parts_of(
    aggregation: &Aggregation,
    since: i64,
    until: i64,
) -> Option<(Vec<(Table, Range<i64>)>, Range<i64>)> {
    let lanes = aggregation.by.contains(&Dimension::Lane);
    if lanes && aggregation.measured {
        return None;
    }
    let step_of = |step_ns: i64| aggregation.step_ns.is_none_or(|step| step.get() % step_ns == 0);
    let hours = steps_in(since, until, HOUR_NS);
    if lanes {
        let fits = step_of(HOUR_NS) && !hours.is_empty();
        return fits
            .then(|| (vec![(Table::LaneHours, hours.clone())], range_of(&hours, since, until, HOUR_NS)));
    }
    let minutes = steps_in(since, until, MINUTE_NS);
    if !step_of(MINUTE_NS) || minutes.is_empty() {
        return None;
    }
    let told = range_of(&minutes, since, until, MINUTE_NS);
    if !step_of(HOUR_NS) || hours.is_empty() {
        return Some((vec![(Table::Minutes, minutes)], told));
    }
    let (begin, end) = (hours.start.saturating_mul(60), hours.end.saturating_mul(60));
    let parts = vec![
        (Table::Minutes, minutes.start..begin),
        (Table::Hours, hours),
        (Table::Minutes, end..minutes.end),
    ];
    Some((parts.into_iter().filter(|(_, steps)| !steps.is_empty()).collect(), told))
}

/// The steps that lie wholly within a range; an end that is open has no step that goes beyond it.
fn steps_in(since: i64, until: i64, step_ns: i64) -> Range<i64> {
    let begin = since.div_euclid(step_ns);
    let cut = since != i64::MIN && since.rem_euclid(step_ns) != 0;
    let end = until.div_euclid(step_ns);
    begin + i64::from(cut)..end + i64::from(until == i64::MAX)
}

fn range_of(steps: &Range<i64>, since: i64, until: i64, step_ns: i64) -> Range<i64> {
    let begin = if since == i64::MIN { since } else { steps.start.saturating_mul(step_ns) };
    let end = if until == i64::MAX { until } else { steps.end.saturating_mul(step_ns) };
    begin..end
}

/// Whether the names of a combination decide each term of a query.
fn tells(rollup: &Rollup, query: &Query) -> bool {
    query.terms.iter().all(|term| match term {
        Term::Field { field: Field::Destination, value: Literal::Text(text), .. } => {
            // It may also be the address of an event, which no combination has.
            let matches = |address: &str| match text.strip_suffix('*') {
                Some(prefix) => address.starts_with(prefix),
                None => address == text,
            };
            !text.is_empty() && !rollup.may_have_address(matches)
        }
        Term::Field { field, .. } => {
            matches!(
                field,
                Field::Service | Field::System | Field::Group | Field::Stage | Field::Outcome | Field::State
            )
        }
        Term::Free(_) | Term::AnyOf(_) | Term::Attribute { .. } => false,
    })
}

/// For every combination of a table the group that it counts for, where it is asked for.
fn groups_of(
    counting: &mut Counting<'_>,
    aggregation: &Aggregation,
    rollup: &Rollup,
    table: Table,
) -> Vec<Option<Group>> {
    let terms = Query { since: None, until: None, ..aggregation.query.clone() };
    let events = rollup.events_of(table, &Tenant::default());
    let group = events.events().map(|event| terms.matches(event, 0).then(|| counting.group_of(&event)));
    group.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_made_of_whole_steps_and_what_is_left() {
        let minute = MINUTE_NS;
        assert_eq!(steps_in(minute, 3 * minute, minute), 1..3);
        assert_eq!(steps_in(minute + 1, 3 * minute - 1, minute), 2..2);
        assert_eq!(steps_in(-minute - 1, minute, minute), -1..1);
        assert!(steps_in(i64::MIN, i64::MAX, minute).contains(&(i64::MIN / minute - 1)));
        let hours = Aggregation::default();
        let (parts, told) = parts_of(&hours, 30 * minute + 1, 150 * minute).expect("minutes");
        let expected = [(Table::Minutes, 31..60), (Table::Hours, 1..2), (Table::Minutes, 120..150)];
        assert_eq!((parts, told), (expected.to_vec(), 31 * minute..150 * minute));
        assert_eq!(parts_of(&hours, 1, minute), None, "no minute is whole");
    }
}
