//! The tallies of a frame: since its second version.

use super::{Code, text_of};
use crate::embedded::ints::{Malformed, Reader, put as put_ints};
use hopscope_model::{
    Batch, BatchBuilder, Measure, OutcomeCode, SeriesId, Stage, TallyRow, Temporality, Text,
};

/// The text columns in the order of the frame.
const TEXTS: [fn(&mut TallyRow) -> &mut Text; 11] = [
    |row| &mut row.metric,
    |row| &mut row.detail,
    |row| &mut row.system,
    |row| &mut row.cluster,
    |row| &mut row.server,
    |row| &mut row.destination,
    |row| &mut row.lane,
    |row| &mut row.group,
    |row| &mut row.service,
    |row| &mut row.instance,
    |row| &mut row.reason,
];

pub(super) fn put(out: &mut Vec<u8>, batch: &Batch) {
    let rows = batch.tallies();
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    rows.iter().for_each(|row| out.extend_from_slice(&row.series.0.to_le_bytes()));
    for column in TEXTS {
        put_ints(out, rows.iter().map(|row| column(&mut row.clone()).index() as i64));
    }
    put_ints(out, rows.iter().map(|row| i64::from(row.measure.code())));
    put_ints(out, rows.iter().map(|row| i64::from(row.stage.code())));
    put_ints(out, rows.iter().map(|row| row.outcome.code_of()));
    put_ints(out, rows.iter().map(|row| i64::from(row.temporality.code())));
    put_ints(out, rows.iter().map(|row| i64::from(row.spreads)));
    put_ints(out, rows.iter().map(|row| row.start_ns));
    put_ints(out, rows.iter().map(|row| row.at_ns));
    put_ints(out, rows.iter().map(|row| row.sum));
    put_ints(out, rows.iter().map(|row| row.over_from));
    // Counts of 2⁶³ and more come back as they were: the bits are kept.
    put_ints(out, rows.iter().map(|row| row.count.cast_signed()));
    put_ints(out, rows.iter().map(|row| row.over.cast_signed()));
    let buckets: Vec<&[(i64, u64)]> = (0..rows.len()).map(|index| batch.tally_buckets(index)).collect();
    let all = || buckets.iter().flat_map(|buckets| buckets.iter());
    put_ints(out, buckets.iter().map(|buckets| buckets.len() as i64));
    put_ints(out, all().map(|(bound, _)| *bound).collect::<Vec<_>>().into_iter());
    put_ints(out, all().map(|(_, count)| count.cast_signed()).collect::<Vec<_>>().into_iter());
}

pub(super) fn take(
    reader: &mut Reader<'_>,
    texts: &[Text],
    builder: &mut BatchBuilder,
) -> Result<(), Malformed> {
    let count = reader.count(16)?;
    let series = reader.take(count * 16)?.as_chunks::<16>().0;
    let names: Result<Vec<Vec<i64>>, _> = TEXTS.iter().map(|_| reader.ints(count)).collect();
    let names = names?;
    let mut column = || reader.ints(count);
    let (measures, stages, outcomes) = (column()?, column()?, column()?);
    let (temporalities, spreads) = (column()?, column()?);
    let (starts, times, sums, over_froms) = (column()?, column()?, column()?, column()?);
    let (counts, overs) = (column()?, column()?);
    let (lens, total) = super::lens(reader, count)?;
    let (bounds, bucket_counts) = (reader.ints(total)?, reader.ints(total)?);
    let buckets: Vec<(i64, u64)> =
        bounds.into_iter().zip(bucket_counts.into_iter().map(i64::cast_unsigned)).collect();
    let mut lists = super::split(&buckets, &lens);
    let unknown = Malformed("has an unknown code");
    for index in 0..count {
        let mut row = TallyRow {
            measure: <Measure as Code>::of_code(measures[index]).ok_or(unknown)?,
            metric: Text::NONE,
            detail: Text::NONE,
            system: Text::NONE,
            cluster: Text::NONE,
            server: Text::NONE,
            destination: Text::NONE,
            lane: Text::NONE,
            group: Text::NONE,
            service: Text::NONE,
            instance: Text::NONE,
            stage: <Stage as Code>::of_code(stages[index]).ok_or(unknown)?,
            outcome: <OutcomeCode as Code>::of_code(outcomes[index]).ok_or(unknown)?,
            reason: Text::NONE,
            series: SeriesId(u128::from_le_bytes(series[index])),
            temporality: <Temporality as Code>::of_code(temporalities[index]).ok_or(unknown)?,
            start_ns: starts[index],
            at_ns: times[index],
            count: counts[index].cast_unsigned(),
            spreads: spreads[index] != 0,
            sum: sums[index],
            over: overs[index].cast_unsigned(),
            over_from: over_froms[index],
        };
        for (column, names) in TEXTS.iter().zip(&names) {
            *column(&mut row) = text_of(texts, names[index])?;
        }
        builder.push_tally(row, lists.next().unwrap_or_default());
    }
    Ok(())
}
