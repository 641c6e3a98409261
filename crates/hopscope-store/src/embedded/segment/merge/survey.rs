//! The first look at segments that are to be merged: only what identifies and orders their rows is read, and
//! only what differs from "as they lie" is remembered.

use super::super::arrays::Arrays;
use super::super::{Failed, IDENTITY, Segment, merged};
use super::{Input, Pace};
use crate::embedded::fingerprint::Keyed;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use hopscope_model::{EventId, SpanContext, UNKNOWN};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Most rows that are taken out of their place and put beside the others of their message: they are in memory
/// at one time. More stay where they are, where a look-up finds them with one more page.
const MOVED_ROWS_MAX: u32 = 131_072;

/// System, destination and lane.
pub(super) type Lane = [String; 3];

/// A message's creation, hashed: two that share a number merely share a place.
type Creation = u64;

/// How rows of several segments become the rows of one.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Rank of every lane.
    pub lanes: HashMap<Lane, u32>,
    /// For an input and a creation: the start that says where its rows without a position belong, where that is
    /// not the start of the first of them in their lane.
    pub places: HashMap<(usize, Creation), i64>,
    /// Of every input the rows that lie in order, and those that belong elsewhere. Repeats are in neither.
    pub rows: Vec<Rows>,
}

/// Rows of one input.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub here: Vec<Range<u32>>,
    pub moved: Vec<Range<u32>>,
}

/// Rows in a row without a position, of one creation and lane.
#[derive(Debug)]
struct Run {
    creation: Creation,
    start_ns: i64,
    rows: Range<u32>,
}

/// What one pass over the inputs found.
#[derive(Default)]
struct Pass {
    lanes: HashSet<Lane>,
    runs: Vec<Vec<Run>>,
    /// Low halves of all identities.
    identities: Vec<u64>,
}

pub(super) fn creation_number(creation: SpanContext) -> Creation {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&creation.trace.0);
    bytes[16..].copy_from_slice(&creation.span.0);
    xxh3_64(&bytes)
}

/// Surveys the inputs, the oldest of which comes first.
pub(super) fn survey(inputs: &[Arc<Segment>], pace: Pace<'_>) -> Result<Survey, Input<Failed>> {
    let mut pass = read(inputs, &vec![HashSet::new(); inputs.len()], pace)?;
    let mut dropped = vec![HashSet::new(); inputs.len()];
    let repeated = repeated(std::mem::take(&mut pass.identities));
    if !repeated.is_empty() {
        dropped = repeats(inputs, &repeated, pace)?;
        // Where a message lies must not depend on rows that are no more.
        pass = read(inputs, &dropped, pace)?;
    }
    let mut lanes: Vec<Lane> = pass.lanes.into_iter().collect();
    lanes.sort_unstable();
    let lanes = lanes.into_iter().zip(0..).collect();
    let (places, mut moved) = places_of(&pass.runs);
    let rows = inputs.iter().enumerate().map(|(number, input)| {
        let moved = merged(std::mem::take(&mut moved[number]));
        let out = dropped[number].iter().map(|row| *row..*row + 1).chain(moved.iter().cloned());
        Rows { here: without(input.entry.rows, merged(out.collect())), moved }
    });
    Ok(Survey { lanes, places, rows: rows.collect() })
}

/// All rows but these.
fn without(rows: u32, out: Vec<Range<u32>>) -> Vec<Range<u32>> {
    let mut here = Vec::with_capacity(out.len() + 1);
    let mut next = 0;
    for range in out {
        here.push(next..range.start);
        next = range.end;
    }
    here.push(next..rows);
    here.retain(|range| !range.is_empty());
    here
}

fn read(inputs: &[Arc<Segment>], dropped: &[HashSet<u32>], pace: Pace<'_>) -> Result<Pass, Input<Failed>> {
    let mut pass = Pass::default();
    for (number, input) in inputs.iter().enumerate() {
        let (mut runs, mut last_lane): (Vec<Run>, _) = (Vec::new(), Lane::default());
        let dropped = &dropped[number];
        let each = &mut |first: u32, rows: &Arrays<'_>| {
            let columns = [rows.system, rows.destination, rows.lane];
            // Numbers of names are of these rows only: the first row of a lane is compared by name.
            let mut last_numbers = None;
            for index in 0..rows.rows() {
                let (row, event) = (first + index as u32, rows.row(index));
                if !dropped.is_empty() && dropped.contains(&row) {
                    continue;
                }
                pass.identities.push(event.id()?.0 as u64);
                let numbers = columns.map(|column| column.number(index));
                let mut same_lane = last_numbers == Some(numbers);
                if !same_lane {
                    last_numbers = Some(numbers);
                    let lane = columns.map(|column| column.at(index));
                    same_lane = row > 0 && lane == [&*last_lane[0], &*last_lane[1], &*last_lane[2]];
                    if !same_lane {
                        last_lane = lane.map(str::to_owned);
                        pass.lanes.insert(last_lane.clone());
                    }
                }
                let (None, Some(creation)) = (event.position(), event.creation()) else { continue };
                let creation = creation_number(creation);
                match runs.last_mut().filter(|run| same_lane && run.creation == creation) {
                    Some(run) => run.rows.end = row + 1,
                    None => {
                        let start_ns = rows.start_ns.at(index).unwrap_or(UNKNOWN);
                        runs.push(Run { creation, start_ns, rows: row..row + 1 });
                    }
                }
            }
            Some(())
        };
        each_page(input, each, pace).map_err(|failed| Input { number, what: failed })?;
        pass.runs.push(runs);
    }
    Ok(pass)
}

/// Calls `each` with the number of the first row of every page, and what identifies its rows; `None` is damage.
fn each_page(
    input: &Segment,
    each: &mut dyn FnMut(u32, &Arrays<'_>) -> Option<()>,
    pace: Pace<'_>,
) -> Result<(), Failed> {
    let everything = 0..input.entry.rows;
    if everything.is_empty() {
        return Ok(());
    }
    let mut first = 0;
    for rows in input.arrays(&[everything], Some(&[IDENTITY]))? {
        pace()?;
        let rows = rows.map_err(|error| input.damaged(&error))?;
        let arrays = Arrays::of(&rows);
        let known = arrays.and_then(|arrays| each(first, &arrays));
        known.ok_or_else(|| input.damaged(&"holds a value that is none of ours"))?;
        first += rows.num_rows() as u32;
    }
    Ok(())
}

fn repeated(mut identities: Vec<u64>) -> HashSet<u64> {
    identities.sort_unstable();
    identities.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect()
}

/// Of rows with the same identity those that came later.
fn repeats(
    inputs: &[Arc<Segment>],
    suspects: &HashSet<u64>,
    pace: Pace<'_>,
) -> Result<Vec<HashSet<u32>>, Input<Failed>> {
    let mut first: HashSet<EventId> = HashSet::new();
    let mut dropped = vec![HashSet::new(); inputs.len()];
    for (number, input) in inputs.iter().enumerate() {
        let each = &mut |begin: u32, rows: &Arrays<'_>| {
            for index in 0..rows.rows() {
                let id = rows.row(index).id()?;
                if suspects.contains(&(id.0 as u64)) && !first.insert(id) {
                    dropped[number].insert(begin + index as u32);
                }
            }
            Some(())
        };
        each_page(input, each, pace).map_err(|failed| Input { number, what: failed })?;
    }
    Ok(dropped)
}

type Places = HashMap<(usize, Creation), i64>;

/// Where runs belong that do not belong where they lie, and which rows are to be moved there.
fn places_of(runs: &[Vec<Run>]) -> (Places, Vec<Vec<Range<u32>>>) {
    let spread = spread(runs);
    let (mut places, mut moved, mut moved_rows) = (Places::new(), vec![Vec::new(); runs.len()], 0);
    for (input, runs) in runs.iter().enumerate() {
        for run in runs {
            // Most creations are one run of one input: they lie where they belong.
            let Some((own, anywhere)) = spread.get(&(input, run.creation)).copied() else { continue };
            let rows = run.rows.end - run.rows.start;
            let fits = moved_rows + rows <= MOVED_ROWS_MAX;
            let place = if fits { anywhere } else { own };
            if anywhere != own && fits {
                moved_rows += rows;
                moved[input].push(run.rows.clone());
            }
            if place != run.start_ns {
                places.insert((input, run.creation), place);
            }
        }
    }
    (places, moved)
}

/// Of creations with several runs: when each begins in an input, and when in all of them.
fn spread(runs: &[Vec<Run>]) -> HashMap<(usize, Creation), (i64, i64)> {
    let mut begins: Vec<(Creation, usize, i64)> = Vec::with_capacity(runs.iter().map(Vec::len).sum());
    for (input, runs) in runs.iter().enumerate() {
        begins.extend(runs.iter().map(|run| (run.creation, input, run.start_ns)));
    }
    begins.sort_unstable();
    let mut spread = HashMap::new();
    for of_creation in begins.chunk_by(|one, other| one.0 == other.0).filter(|begins| begins.len() > 1) {
        let anywhere = of_creation.iter().map(|begin| begin.2).min().unwrap_or_default();
        for of_input in of_creation.chunk_by(|one, other| one.1 == other.1) {
            let (creation, input, own) = of_input[0];
            spread.insert((input, creation), (own, anywhere));
        }
    }
    spread
}
