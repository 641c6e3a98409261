//! [`Rollup`]: the counts of a segment's events, by minute and by hour, so that a dashboard never looks at events.
//!
//! Three tables. Each has a row for every combination of names in every step of time in which it occurs:
//!
//! | Table | Step | Counts | Latencies |
//! |---|---|---|---|
//! | minutes | 1 min | by all but the lane | yes |
//! | hours | 1 h | by all but the lane | yes |
//! | hours of lanes | 1 h | by all | no |
//!
//! A lane has too few events in a minute for a row of its own to be smaller than the events. Times are the events' own
//! starts: what comes late lies in the segment of the day on which it came, under its own minute. A segment never
//! changes, so neither do its counts; those of all segments and tables are added up when they are asked for.
//!
//! ```text
//! bytes of the head u32 · head · rows of the tables, in blocks
//! head: names · combinations without lanes · combinations with their sums · addresses · per table: blocks
//! ```
//!
//! Integers are variable-length. Names and combinations are in order of their texts, rows in order of time and then
//! of combination: the same events give the same bytes, wherever they were before.

mod rows;
mod summing;

pub(crate) use summing::Summing;

use super::checked::{CheckedFile, Damaged};
use crate::embedded::ints::{Malformed, Reader, put_varint};
use crate::measured::Sum;
use crate::sketch::Sketch;
use hopscope_model::{Batch, BatchBuilder, Cell, EventRow, OutcomeCode, Source, Stage, Tenant, Text};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;

pub(crate) const MINUTE_NS: i64 = 60_000_000_000;
pub(crate) const HOUR_NS: i64 = 60 * MINUTE_NS;

/// Most combinations of a segment; one with more has no rollup, and its events are looked at.
const COMBINATIONS_MAX: usize = 65_536;

/// Most rows of a table; as above. Only start times that are spread at random make so many.
const ROWS_MAX: usize = 262_144;

/// Most different addresses that are remembered.
const ADDRESSES_MAX: usize = 1_024;

/// About the bytes of a block of rows: what is read of a table to look at a part of it.
const BLOCK_BYTES: usize = 16 << 10;

/// Names that a combination has.
const NAMES: usize = 7;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Minutes = 0,
    Hours = 1,
    LaneHours = 2,
}

impl Table {
    pub fn step_ns(self) -> i64 {
        match self {
            Self::Minutes => MINUTE_NS,
            Self::Hours | Self::LaneHours => HOUR_NS,
        }
    }
}

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Combination {
    /// System, cluster, destination, lane, group, service, source: numbers of names.
    pub names: [u32; NAMES],
    pub stage: Stage,
    pub outcome: OutcomeCode,
}

impl Combination {
    pub const SYSTEM: usize = 0;
    pub const DESTINATION: usize = 2;
    const LANE: usize = 3;
    pub const SERVICE: usize = 5;

    fn without_lane(mut self) -> Self {
        self.names[Self::LANE] = 0;
        self
    }
}

/// Rows of a table that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    /// First and last step of time.
    steps: (i64, i64),
    /// Where it begins, from the end of the head.
    place: u64,
    len: u32,
}

/// A rollup's head, and where its rows are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollup {
    names: Vec<String>,
    laneless: Vec<Combination>,
    combinations: Vec<(Combination, Sum)>,
    /// Addresses that are not their event's destination; `None` where there are too many, or it was not told.
    addresses: Option<Vec<u32>>,
    /// Blocks of each table; `None` where there are only the sums.
    tables: Option<[Vec<Block>; 3]>,
    /// Where the first block begins in the file.
    blocks_at: u64,
}

impl Rollup {
    /// All combinations, with the sums of their events.
    pub fn combinations(&self) -> &[(Combination, Sum)] {
        &self.combinations
    }

    /// The name of that number.
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }

    /// Whether there are tables, and with them all that is summed up; else there are counts and nothing beside.
    pub fn has_tables(&self) -> bool {
        self.tables.is_some()
    }

    /// Whether an event may have an address, other than its destination, for which `matches` holds.
    pub fn may_have_address(&self, matches: impl Fn(&str) -> bool) -> bool {
        let addresses = self.addresses.as_ref();
        addresses.is_none_or(|addresses| addresses.iter().any(|address| matches(self.name(*address))))
    }

    /// One event for every combination of a table, in their order.
    pub fn events_of(&self, table: Table, tenant: &Tenant) -> Batch {
        let mut builder = BatchBuilder::new(tenant.clone(), Source::Otlp, 0);
        let texts: Vec<Text> = self.names.iter().map(|name| builder.intern(name)).collect();
        let text = |number: u32| texts.get(number as usize).copied().unwrap_or(Text::NONE);
        let mut push = |of: &Combination| {
            let [system, cluster, destination, lane, group, service, _] = of.names.map(text);
            let (stage, outcome) = (of.stage, of.outcome);
            let names =
                EventRow { system, cluster, destination, lane, group, service, ..EventRow::default() };
            let no_attributes: &[(Text, Cell)] = &[];
            builder.push(EventRow { stage, outcome, ..names }, &[], &[], no_attributes);
        };
        match table {
            Table::LaneHours => self.combinations.iter().for_each(|(of, _)| push(of)),
            Table::Minutes | Table::Hours => self.laneless.iter().for_each(push),
        }
        builder.finish()
    }

    /// Calls `each` with every row of a table in these steps of time: number of its combination, sum, latencies. Those
    /// are skipped where they are not wanted.
    pub fn each_row(
        &self,
        file: &CheckedFile,
        table: Table,
        steps: Range<i64>,
        latencies: bool,
        mut each: impl FnMut(u32, &Sum, &[Option<Sketch>; 5]),
    ) -> Result<(), Damaged> {
        let blocks = self.tables.as_ref().map_or(&[][..], |tables| &tables[table as usize]);
        let from = blocks.partition_point(|block| block.steps.1 < steps.start);
        for block in blocks[from..].iter().take_while(|block| block.steps.0 < steps.end) {
            let bytes = file.read(self.blocks_at + block.place, block.len as usize)?;
            let mut rows = rows::Rows::new(&bytes, table.step_ns(), block.steps.0, latencies);
            while let Some(row) = rows.next().map_err(|malformed| file.damaged(malformed.0.to_owned()))? {
                if steps.contains(&row.step) {
                    let outcome = self.outcome(table, row.combination);
                    let failed = if outcome == Some(OutcomeCode::Failed) { row.sum.events } else { 0 };
                    each(row.combination, &Sum { failed, ..row.sum }, row.latencies);
                }
            }
        }
        Ok(())
    }

    fn outcome(&self, table: Table, combination: u32) -> Option<OutcomeCode> {
        let number = combination as usize;
        match table {
            Table::LaneHours => self.combinations.get(number).map(|(of, _)| of.outcome),
            Table::Minutes | Table::Hours => self.laneless.get(number).map(|of| of.outcome),
        }
    }

    /// About the bytes of memory that the head takes.
    pub fn byte_len(&self) -> usize {
        let names: usize = self.names.iter().map(|name| size_of::<String>() + name.len()).sum();
        let blocks: usize = self.tables.iter().flatten().map(Vec::len).sum();
        size_of::<Self>()
            + names
            + self.combinations.len() * size_of::<(Combination, Sum)>()
            + self.laneless.len() * size_of::<Combination>()
            + blocks * size_of::<Block>()
    }

    /// Reads the head, which begins at that place of the file.
    pub fn load(file: &CheckedFile, at: u64) -> Result<Self, Damaged> {
        let odd = |malformed: Malformed| file.damaged(malformed.0.to_owned());
        let len = Reader::new(&file.read(at, 4)?).u32().map_err(odd)?;
        let mut rollup = decode(&file.read(at + 4, len as usize)?).map_err(odd)?;
        rollup.blocks_at = at + 4 + u64::from(len);
        Ok(rollup)
    }

    /// What segments of format 2 have in its place: JSON of combinations and their counts.
    pub fn from_summary(json: &[u8]) -> Result<Option<Self>, Malformed> {
        let rows: Option<Vec<SummaryRow>> =
            serde_json::from_slice(json).map_err(|_| Malformed("has an odd summary"))?;
        let Some(rows) = rows else { return Ok(None) };
        let odd = || Malformed("has an odd summary");
        let mut rollup = Self { names: vec![String::new()], ..Self::default() };
        let mut numbers: HashMap<String, u32> = HashMap::from([(String::new(), 0)]);
        for row in rows {
            let values: [String; 8] = row.values.try_into().map_err(|_| odd())?;
            let stage = Stage::from_name(&values[6]).ok_or_else(odd)?;
            let outcome = outcome_of(&values[7]).ok_or_else(odd)?;
            let mut names = [0; NAMES];
            for (number, name) in names.iter_mut().zip(&values[..6]) {
                *number = *numbers.entry(name.clone()).or_insert_with(|| {
                    rollup.names.push(name.clone());
                    rollup.names.len() as u32 - 1
                });
            }
            let SummaryRow { events, failed, first_ns, last_ns, .. } = row;
            let sum = Sum { events, failed, first_ns, last_ns, ..Sum::default() };
            rollup.combinations.push((Combination { names, stage, outcome }, sum));
        }
        Ok(Some(rollup))
    }
}

/// Counts of one combination, as JSON up to format 2.
#[derive(Deserialize)]
struct SummaryRow {
    /// System, cluster, destination, lane, group, service, stage, outcome.
    values: Vec<String>,
    events: u64,
    failed: u64,
    first_ns: i64,
    last_ns: i64,
}

/// The outcome of that name; an absent one is unknown.
fn outcome_of(name: &str) -> Option<OutcomeCode> {
    let all = [OutcomeCode::Unknown, OutcomeCode::Ok, OutcomeCode::Failed];
    if name.is_empty() {
        Some(OutcomeCode::Unknown)
    } else {
        all.into_iter().find(|code| code.name() == name)
    }
}

/// Head and rows as bytes.
fn encode(rollup: &Rollup, rows: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    put_varint(&mut head, rollup.names.len() as u64);
    for name in &rollup.names {
        put_varint(&mut head, name.len() as u64);
        head.extend_from_slice(name.as_bytes());
    }
    let put = |head: &mut Vec<u8>, of: &Combination| {
        of.names.iter().for_each(|name| put_varint(head, u64::from(*name)));
        head.extend_from_slice(&[of.stage.code(), of.outcome as u8]);
    };
    put_varint(&mut head, rollup.laneless.len() as u64);
    rollup.laneless.iter().for_each(|of| put(&mut head, of));
    put_varint(&mut head, rollup.combinations.len() as u64);
    for (of, sum) in &rollup.combinations {
        put(&mut head, of);
        for count in [sum.events, sum.failed, sum.retries, sum.dead_letters, sum.body_bytes, sum.unpaired] {
            put_varint(&mut head, count);
        }
        head.extend_from_slice(&sum.first_ns.to_le_bytes());
        put_varint(&mut head, sum.last_ns.wrapping_sub(sum.first_ns) as u64);
    }
    // One more than there are, so that 0 says that there were too many.
    put_varint(&mut head, rollup.addresses.as_ref().map_or(0, |addresses| addresses.len() as u64 + 1));
    rollup.addresses.iter().flatten().for_each(|address| put_varint(&mut head, u64::from(*address)));
    for blocks in rollup.tables.iter().flatten() {
        put_varint(&mut head, blocks.len() as u64);
        for block in blocks {
            head.extend_from_slice(&block.steps.0.to_le_bytes());
            put_varint(&mut head, block.steps.1.wrapping_sub(block.steps.0) as u64);
            put_varint(&mut head, block.place);
            put_varint(&mut head, u64::from(block.len));
        }
    }
    let mut out = (head.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&head);
    out.extend_from_slice(rows);
    out
}

fn decode(head: &[u8]) -> Result<Rollup, Malformed> {
    let mut reader = Reader::new(head);
    let mut rollup = Rollup::default();
    for _ in 0..reader.varint_count()? {
        let len = reader.varint_count()?;
        let name =
            std::str::from_utf8(reader.take(len)?).map_err(|_| Malformed("has a name that is no text"))?;
        rollup.names.push(name.to_owned());
    }
    for _ in 0..reader.varint_count()? {
        rollup.laneless.push(combination(&mut reader)?);
    }
    for _ in 0..reader.varint_count()? {
        let of = combination(&mut reader)?;
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = reader.varint()?;
        }
        let [events, failed, retries, dead_letters, body_bytes, unpaired] = counts;
        let first_ns = reader.i64()?;
        let last_ns = first_ns.wrapping_add(reader.varint()? as i64);
        let sum = Sum { events, failed, retries, dead_letters, body_bytes, unpaired, first_ns, last_ns };
        rollup.combinations.push((of, sum));
    }
    if let Some(count) = reader.varint_count()?.checked_sub(1) {
        let addresses = (0..count).map(|_| reader.varint().map(|address| address as u32));
        rollup.addresses = Some(addresses.collect::<Result<_, _>>()?);
    }
    let mut tables: [Vec<Block>; 3] = Default::default();
    for blocks in &mut tables {
        for _ in 0..reader.varint_count()? {
            let first = reader.i64()?;
            let last = first.wrapping_add(reader.varint()? as i64);
            let (place, len) = (reader.varint()?, reader.varint()?);
            let len = u32::try_from(len).map_err(|_| Malformed("has a block that is too long"))?;
            blocks.push(Block { steps: (first, last), place, len });
        }
    }
    rollup.tables = Some(tables);
    reader.end()?;
    Ok(rollup)
}

fn combination(reader: &mut Reader<'_>) -> Result<Combination, Malformed> {
    let mut names = [0; NAMES];
    for name in &mut names {
        *name = u32::try_from(reader.varint()?).map_err(|_| Malformed("has an odd name"))?;
    }
    let stage = Stage::from_code(reader.u8()?).ok_or(Malformed("has an odd stage"))?;
    let outcome = match reader.u8()? {
        0 => OutcomeCode::Unknown,
        1 => OutcomeCode::Ok,
        2 => OutcomeCode::Failed,
        _ => return Err(Malformed("has an odd outcome")),
    };
    Ok(Combination { names, stage, outcome })
}

#[cfg(test)]
mod tests;
