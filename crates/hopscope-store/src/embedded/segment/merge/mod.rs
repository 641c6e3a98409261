//! Merging: several segments of one day become one, with the rows of every message together again. The same
//! segments always become the same one.
//!
//! Two passes. The first ([`survey`]) reads what identifies and orders rows, and finds repeats and messages
//! that lie in several inputs; the second streams all columns, a page of every input at a time, through a merge.

mod gather;
mod stream;
mod survey;

use super::columns::schema;
use super::draft::{Draft, Summed};
use super::output::{Output, Put};
use super::rollup::Summing;
use super::write::{CHUNK_ROWS, Kept, rest_of, tally_ns};
use super::{Damaged, Extra, Failed, Segment, SegmentId, keys, sums};
use crate::Error;
use crate::embedded::dir::Dir;
use crate::embedded::frame;
use crate::embedded::manifest::SegmentEntry;
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use gather::{Place, gather};
use hopscope_model::{Batch, Tenant};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use stream::{Page, RowKey, Stream, put_in_order};
use survey::{Survey, survey};

/// Called between units of work: it may wait, and an error of its ends the merge.
pub(crate) type Pace<'a> = &'a dyn Fn() -> Result<(), Error>;

/// Something of one of the inputs, by its number.
#[derive(Debug)]
pub(crate) struct Input<T> {
    pub number: usize,
    pub what: T,
}

/// Why a merge came to nothing. The inputs are as they were.
#[derive(Debug)]
pub(crate) enum MergeFailed {
    /// An input is damaged.
    Damaged(Input<Damaged>),
    /// It was asked to stop.
    Stopped(Error),
    /// The output could not be written.
    Io(io::Error),
}

impl From<Input<Failed>> for MergeFailed {
    fn from(input: Input<Failed>) -> Self {
        match input.what {
            Failed::Damaged(what) => Self::Damaged(Input { number: input.number, what }),
            Failed::Stopped(error) => Self::Stopped(error),
        }
    }
}

fn unwritten(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> MergeFailed {
    MergeFailed::Io(io::Error::other(error))
}

/// Merges segments of one day, the oldest of which comes first, and writes the outcome, all of it synced.
pub(crate) fn merge(
    dir: &dyn Dir,
    tenant: &Tenant,
    id: SegmentId,
    inputs: &[Arc<Segment>],
    pace: Pace<'_>,
) -> Result<SegmentEntry, MergeFailed> {
    let draft = Draft::new(dir, tenant.name(), id);
    let merged = write(tenant, id, inputs, pace, &draft);
    match merged {
        Ok((head, events, keys, extra)) => draft.finish(head, events, keys, &extra).map_err(MergeFailed::Io),
        Err(failed) => {
            if let Err(error) = draft.discard() {
                tracing::warn!(tenant = tenant.name(), segment = %id, %error, "an unfinished segment is left");
            }
            Err(failed)
        }
    }
}

type Written = (sums::Head, Summed, (Vec<u8>, Vec<keys::Part>), Extra);

fn write(
    tenant: &Tenant,
    id: SegmentId,
    inputs: &[Arc<Segment>],
    pace: Pace<'_>,
    draft: &Draft<'_>,
) -> Result<Written, MergeFailed> {
    let survey = survey(inputs, pace)?;
    let rest = merged_rest(tenant, inputs)?;
    let events = draft.events().map_err(MergeFailed::Io)?;
    let mut output = Output::new(events, Kept::Long).map_err(unwritten)?;
    let expected: usize = survey
        .rows
        .iter()
        .flat_map(|rows| rows.here.iter().chain(&rows.moved))
        .map(Range::len)
        .sum::<usize>();
    if expected == inputs.iter().map(|input| input.entry.rows as usize).sum::<usize>()
        && let Some(counts) = counts_of(inputs)?
    {
        output.count_by(counts);
    }
    write_all(&mut output, inputs, &survey, pace)?;
    let Put { events, keys, rollup, rows, start_ns } = output.finish().map_err(unwritten)?;
    if rows as usize != expected {
        return Err(unwritten(format!("a merge lost rows rows={rows} expected={expected}")));
    }
    let received = || inputs.iter().map(|input| input.entry.received_ns);
    let earliest = received().map(|received| received.0).min();
    let entry = SegmentEntry {
        log: id.log,
        day: id.day,
        generation: id.generation,
        rows,
        progress: rest.progress().len() as u32,
        tally_ns: tally_ns(&rest),
        received_ns: earliest.zip(received().map(|received| received.1).max()).unwrap_or_default(),
        start_ns,
        bytes: 0,
        sums_crc32c: 0,
    };
    let extra = Extra { rollup, rest: frame::encode(&rest) };
    let head = sums::Head::merged(entry, replaced(inputs)?);
    Ok((head, events, keys, extra))
}

/// The counts of all inputs together, as their rollups tell them: those of their rows, where none is a repeat.
fn counts_of(inputs: &[Arc<Segment>]) -> Result<Option<Summing>, MergeFailed> {
    let mut counts = Summing::default();
    for (number, input) in inputs.iter().enumerate() {
        let told = counts.add_rollup(input);
        if !told.map_err(|what| MergeFailed::Damaged(Input { number, what }))? {
            return Ok(None);
        }
    }
    Ok(Some(counts))
}

/// The inputs, and those that were merged in them: their files may still be there.
fn replaced(inputs: &[Arc<Segment>]) -> Result<Vec<SegmentId>, MergeFailed> {
    let mut replaced = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let head = input.head().map_err(|what| MergeFailed::Damaged(Input { number, what }))?;
        replaced.extend(head.replaces);
        replaced.push(input.id());
    }
    replaced.sort_unstable();
    Ok(replaced)
}

/// Progress and tallies of all inputs, without what later reads do not need.
fn merged_rest(tenant: &Tenant, inputs: &[Arc<Segment>]) -> Result<Batch, MergeFailed> {
    let rest = inputs.iter().enumerate().map(|(number, input)| {
        let rest = input.with_rest(Batch::clone);
        rest.map_err(|what| MergeFailed::Damaged(Input { number, what }))
    });
    let rest: Vec<Batch> = rest.collect::<Result<_, _>>()?;
    Ok(rest_of(tenant, &rest.iter().collect::<Vec<_>>()))
}

/// Rows that are chosen for the next arrays: their pages, and the row of each.
#[derive(Default)]
struct Chunk {
    pages: Vec<Arc<Page>>,
    /// Of every stream the number of its last page.
    last: Vec<Option<usize>>,
    places: Vec<Place>,
}

impl Chunk {
    fn push(&mut self, stream: usize, page: &Arc<Page>, row: usize) {
        self.last.resize(self.last.len().max(stream + 1), None);
        let known = self.last[stream].filter(|number| Arc::ptr_eq(&self.pages[*number], page));
        let number = known.unwrap_or_else(|| {
            self.pages.push(Arc::clone(page));
            self.pages.len() - 1
        });
        self.last[stream] = Some(number);
        self.places.push((number, row));
    }
}

/// Writes all rows that the survey left, in their order.
fn write_all(
    output: &mut Output,
    inputs: &[Arc<Segment>],
    survey: &Survey,
    pace: Pace<'_>,
) -> Result<(), MergeFailed> {
    let schema = schema();
    let mut put = |chunk: Chunk| {
        if chunk.places.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = chunk.pages.iter().map(|page| &page.rows).collect();
        gather(&schema, &batches, &chunk.places).and_then(|rows| output.push(&rows)).map_err(unwritten)
    };
    let mut streams = streams(inputs, survey, &schema)?;
    let mut heap: BinaryHeap<Reverse<(RowKey, usize)>> = BinaryHeap::with_capacity(streams.len());
    for (number, stream) in streams.iter_mut().enumerate() {
        heap.extend(next_of(stream, inputs, survey)?.map(|(_, _, key)| Reverse((key, number))));
    }
    let mut chunk = Chunk::default();
    while let Some(Reverse((_, number))) = heap.pop() {
        let until = heap.peek().map(|next| next.0);
        // As long as it stays the first, the others need not be asked.
        while let Some((page, row, key)) = next_of(&mut streams[number], inputs, survey)? {
            if until.is_some_and(|until| until < (key, number)) {
                heap.push(Reverse((key, number)));
                break;
            }
            chunk.push(number, page, row);
            streams[number].advance();
            if chunk.places.len() == CHUNK_ROWS {
                pace().map_err(MergeFailed::Stopped)?;
                put(std::mem::take(&mut chunk))?;
            }
        }
    }
    put(chunk)
}

fn streams(
    inputs: &[Arc<Segment>],
    survey: &Survey,
    schema: &Arc<Schema>,
) -> Result<Vec<Stream>, MergeFailed> {
    let mut streams = Vec::with_capacity(inputs.len());
    for (number, (input, rows)) in inputs.iter().zip(&survey.rows).enumerate() {
        let damaged = |what: Damaged| MergeFailed::Damaged(Input { number, what });
        let odd = |error: ArrowError| damaged(input.damaged(&error));
        if !rows.here.is_empty() {
            streams.push(Stream::new(number, Box::new(input.arrays(&rows.here, None).map_err(damaged)?)));
        }
        if !rows.moved.is_empty() {
            let moved = input.arrays(&rows.moved, None).map_err(damaged)?;
            let moved: Vec<RecordBatch> = moved.collect::<Result<_, _>>().map_err(odd)?;
            streams.extend(put_in_order(number, schema, &moved, survey).map_err(odd)?);
        }
    }
    Ok(streams)
}

fn next_of<'s>(
    stream: &'s mut Stream,
    inputs: &[Arc<Segment>],
    survey: &Survey,
) -> Result<Option<(&'s Arc<Page>, usize, RowKey)>, MergeFailed> {
    let number = stream.input;
    stream.peek(survey).map_err(|error| {
        let what = inputs[number].damaged(&error);
        MergeFailed::Damaged(Input { number, what })
    })
}
