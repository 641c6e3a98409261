//! [`Summing`]: a rollup in the making, a record batch at a time, in whatever order they come.

use super::super::Segment;
use super::super::arrays::{Arrays, Names};
use super::super::checked::{CheckedFile, Damaged};
use super::super::numbered::Numbered;
use super::{
    ADDRESSES_MAX, BLOCK_BYTES, Block, COMBINATIONS_MAX, Combination, NAMES, ROWS_MAX, Rollup, Table,
};
use super::{encode, outcome_of, rows};
use crate::measured::{Facts, Sum};
use crate::sketch::{Sketch, bucket_of};
use foldhash::{HashMap, HashSet};
use hopscope_model::{Disposition, OutcomeCode, Stage, UNKNOWN};

/// Latencies of one kind that are gathered before they are sorted into a sketch.
const GATHERED_MAX: usize = 128;

/// Combinations of a record batch that are found at once; others are looked up.
const RECENT: usize = 512;

/// What tells combinations of one record batch apart: numbers of names, stage and outcome.
type Key = [u32; NAMES + 2];

/// In place of a name that is absent.
const ABSENT: u32 = u32::MAX;

/// See the module.
#[derive(Default)]
pub(crate) struct Summing {
    names: Numbered<String>,
    combinations: Numbered<Combination>,
    /// Of each combination that of the same without its lane.
    without_lane: Vec<u32>,
    laneless: Numbered<Combination>,
    minutes: Cells<Timed>,
    lane_hours: Cells<Sum>,
    /// Names of addresses.
    addresses: HashSet<u32>,
    given_up: bool,
}

/// What is summed up by combination and step of time.
#[derive(Default)]
struct Cells<T> {
    places: HashMap<(u32, i64), u32>,
    /// Of each combination the step that it had last, and its place.
    last: Vec<(i64, u32)>,
    all: Vec<((u32, i64), T)>,
}

impl<T: Default> Cells<T> {
    fn at(&mut self, combination: u32, step: i64) -> &mut T {
        let number = combination as usize;
        if self.last.len() <= number {
            self.last.resize(number + 1, (0, ABSENT));
        }
        let last = &mut self.last[number];
        if *last == (step, last.1) && last.1 != ABSENT {
            return &mut self.all[last.1 as usize].1;
        }
        let all = &mut self.all;
        let place = *self.places.entry((combination, step)).or_insert_with(|| {
            all.push(((combination, step), T::default()));
            all.len() as u32 - 1
        });
        *last = (step, place);
        &mut self.all[place as usize].1
    }
}

/// Sums and latencies.
#[derive(Default)]
struct Timed {
    sum: Sum,
    /// Most have one kind, none has many.
    latencies: Vec<(u8, Gathered)>,
}

/// Values on their way into a sketch: sorting many at once is cheaper than finding the bucket of each.
#[derive(Default)]
struct Gathered {
    buckets: Vec<u16>,
    sketch: Sketch,
}

impl Timed {
    fn of(&mut self, latency: u8) -> &mut Gathered {
        let place = self.latencies.iter().position(|(own, _)| *own == latency).unwrap_or_else(|| {
            self.latencies.push((latency, Gathered::default()));
            self.latencies.len() - 1
        });
        &mut self.latencies[place].1
    }

    fn merge(&mut self, latency: u8, sketch: &Sketch) {
        self.of(latency).sketch.merge(sketch);
    }

    fn gather(&mut self, latency: u8, ns: i64) {
        let gathered = self.of(latency);
        let sum = &mut gathered.sketch.sum;
        *sum = sum.saturating_add(u64::try_from(ns).unwrap_or_default());
        gathered.buckets.push(bucket_of(ns));
        if gathered.buckets.len() == GATHERED_MAX {
            gathered.settle();
        }
    }

    fn sketches(self) -> (Sum, [Sketch; 5]) {
        let mut sketches: [Sketch; 5] = Default::default();
        for (latency, mut gathered) in self.latencies {
            gathered.settle();
            sketches[usize::from(latency)] = gathered.sketch;
        }
        (self.sum, sketches)
    }
}

impl Gathered {
    fn settle(&mut self) {
        self.buckets.sort_unstable();
        let runs = self.buckets.chunk_by(|one, other| one == other);
        let counts: Vec<(u16, u64)> = runs.map(|run| (run[0], run.len() as u64)).collect();
        self.sketch.merge_buckets(&counts);
        self.buckets.clear();
    }
}

/// Numbers of the names of one column of a record batch, as far as they were asked for.
struct Column<'a> {
    names: Names<'a>,
    known: Vec<u32>,
}

impl Column<'_> {
    fn number(&mut self, key: u32, summing: &mut Summing) -> u32 {
        if key == ABSENT {
            return summing.name("");
        }
        let known = self.known[key as usize];
        if known != ABSENT {
            return known;
        }
        let number = summing.name(self.names.name(key));
        self.known[key as usize] = number;
        number
    }
}

impl Summing {
    fn name(&mut self, name: &str) -> u32 {
        self.names.number(name)
    }

    /// Counts these rows.
    pub fn add(&mut self, rows: &Arrays<'_>) {
        if self.given_up {
            return;
        }
        let names =
            [rows.system, rows.cluster, rows.destination, rows.lane, rows.group, rows.service, rows.source];
        let mut columns = names.map(|names| Column { names, known: vec![ABSENT; names.count()] });
        let rejects = |number: u32| rows.disposition.name(number) == Disposition::Reject.name();
        let rejects: Vec<bool> = (0..rows.disposition.count() as u32).map(rejects).collect();
        let mut recent: Vec<(Key, u32)> = vec![([ABSENT; NAMES + 2], ABSENT); RECENT];
        let mut addressed: HashSet<(u32, u32)> = HashSet::default();
        for row in 0..rows.rows() {
            let mut key = [ABSENT; NAMES + 2];
            for (own, names) in key.iter_mut().zip(names.iter().chain([&rows.stage, &rows.outcome])) {
                *own = names.number(row).unwrap_or(ABSENT);
            }
            let slot = slot_of(&key);
            let mut number = recent[slot].1;
            if recent[slot].0 != key || number == ABSENT {
                let Some(found) = self.combination(rows, &key, &mut columns) else {
                    // A word that is none of ours: who looks at the rows will say so.
                    self.give_up();
                    return;
                };
                number = found;
                recent[slot] = (key, number);
            }
            if let Some(address) = rows.address.number(row)
                && addressed.insert((key[Combination::DESTINATION], address))
            {
                self.address(rows.address.name(address), rows.destination.at(row));
            }
            let of = self.combinations.all[number as usize];
            let facts = Facts {
                stage: of.stage,
                failed: of.outcome == OutcomeCode::Failed,
                dead_lettered: rows.disposition.number(row).is_some_and(|number| rejects[number as usize]),
                start_ns: rows.start_ns.at(row).unwrap_or(UNKNOWN),
                duration_ns: rows.duration_ns.at(row),
                broker_ns: rows.broker_ns.at(row),
                origin_ns: rows.origin_ns.at(row),
                attempt: rows.attempt.at(row).unwrap_or_default(),
                body_bytes: rows.body_bytes.at(row),
            };
            self.count(number, &facts);
        }
        self.check_limits();
    }

    /// Counts the events of a segment by its own rollup; `false` where that does not tell everything.
    pub fn add_rollup(&mut self, segment: &Segment) -> Result<bool, Damaged> {
        let (rollup, file) = segment.rollup()?;
        let rollup = rollup.as_ref().as_ref();
        let Some(rollup) = rollup.filter(|rollup| rollup.has_tables() && rollup.addresses.is_some()) else {
            return Ok(false);
        };
        self.add_tables(rollup, file)?;
        Ok(true)
    }

    fn add_tables(&mut self, rollup: &Rollup, file: &CheckedFile) -> Result<(), Damaged> {
        // The empty name is the first, so that an absent lane is number 0.
        self.name("");
        let mut renamed = |of: &Combination| {
            let names = of.names.map(|name| self.name(rollup.name(name)));
            Combination { names, ..*of }
        };
        let laneless: Vec<Combination> = rollup.laneless.iter().map(&mut renamed).collect();
        let combinations: Vec<Combination> = rollup.combinations.iter().map(|(of, _)| renamed(of)).collect();
        let laneless: Vec<u32> = laneless.into_iter().map(|of| self.laneless.number(&of)).collect();
        let combinations: Vec<u32> = combinations.into_iter().map(|of| self.number(of)).collect();
        let addresses = rollup.addresses.iter().flatten();
        let addresses: Vec<u32> = addresses.map(|address| self.name(rollup.name(*address))).collect();
        self.addresses.extend(addresses);
        let ever = i64::MIN..i64::MAX;
        rollup.each_row(file, Table::Minutes, ever.clone(), true, |number, sum, latencies| {
            let Some(number) = laneless.get(number as usize) else { return };
            let timed = self.minutes.at(*number, step_of(sum, Table::Minutes));
            timed.sum.add(sum);
            for (latency, sketch) in latencies.iter().enumerate() {
                if let Some(sketch) = sketch {
                    timed.merge(latency as u8, sketch);
                }
            }
        })?;
        rollup.each_row(file, Table::LaneHours, ever, false, |number, sum, _| {
            if let Some(number) = combinations.get(number as usize) {
                self.lane_hours.at(*number, step_of(sum, Table::LaneHours)).add(sum);
            }
        })?;
        self.check_limits();
        Ok(())
    }

    fn check_limits(&mut self) {
        let too_many = |count: usize| count > ROWS_MAX;
        if self.combinations.all.len() > COMBINATIONS_MAX
            || too_many(self.minutes.all.len())
            || too_many(self.lane_hours.all.len())
        {
            self.give_up();
        }
    }

    fn count(&mut self, number: u32, facts: &Facts) {
        let sum = Sum::of(facts);
        self.lane_hours.at(number, step_of(&sum, Table::LaneHours)).add(&sum);
        let laneless = self.without_lane[number as usize];
        let timed = self.minutes.at(laneless, step_of(&sum, Table::Minutes));
        timed.sum.add(&sum);
        facts.each_latency(|latency, ns| timed.gather(latency as u8, ns));
    }

    fn combination(
        &mut self,
        rows: &Arrays<'_>,
        key: &Key,
        columns: &mut [Column<'_>; NAMES],
    ) -> Option<u32> {
        let word = |names: Names<'_>, number: u32| (number != ABSENT).then(|| names.name(number).to_owned());
        let stage = Stage::from_name(&word(rows.stage, key[NAMES])?)?;
        let outcome = outcome_of(&word(rows.outcome, key[NAMES + 1]).unwrap_or_default())?;
        // The empty name is the first, so that an absent lane is number 0.
        self.name("");
        let mut names = [0; NAMES];
        for ((name, column), key) in names.iter_mut().zip(columns).zip(key) {
            *name = column.number(*key, self);
        }
        Some(self.number(Combination { names, stage, outcome }))
    }

    fn number(&mut self, of: Combination) -> u32 {
        let number = self.combinations.number(&of);
        if number as usize == self.without_lane.len() {
            self.without_lane.push(self.laneless.number(&of.without_lane()));
        }
        number
    }

    fn address(&mut self, address: &str, destination: &str) {
        if !address.is_empty() && address != destination && self.addresses.len() <= ADDRESSES_MAX {
            let number = self.name(address);
            self.addresses.insert(number);
        }
    }

    fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }

    /// The rollup as bytes; `None` where there are too many combinations or rows.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if self.given_up {
            return None;
        }
        self.name("");
        let names = ranks(&self.names.all, |one, other| one.cmp(other));
        let renamed =
            |of: &Combination| Combination { names: of.names.map(|name| names[name as usize]), ..*of };
        let combinations: Vec<Combination> = self.combinations.all.iter().map(renamed).collect();
        let laneless: Vec<Combination> = self.laneless.all.iter().map(renamed).collect();
        let order = |of: &Combination| (of.names, of.stage, of.outcome as u8);
        let rank = |one: &Combination, other: &Combination| order(one).cmp(&order(other));
        let (with_lanes, without) = (ranks(&combinations, rank), ranks(&laneless, rank));
        let mut sums = vec![Sum::default(); combinations.len()];
        self.lane_hours.all.iter().for_each(|((number, _), sum)| sums[*number as usize].add(sum));
        let (mut rows, none) = (Vec::new(), <[Sketch; 5]>::default());
        let minutes = sorted(
            self.minutes
                .all
                .into_iter()
                .map(|((number, step), timed)| ((step, without[number as usize]), timed.sketches())),
        );
        let mut hours: HashMap<(i64, u32), (Sum, [Sketch; 5])> = HashMap::default();
        for ((minute, number), (sum, latencies)) in &minutes {
            let hour = hours.entry((minute.div_euclid(60), *number)).or_default();
            hour.0.add(sum);
            hour.1.iter_mut().zip(latencies).for_each(|(own, other)| own.merge(other));
        }
        let (hours, lane_hours) = (
            sorted(hours.into_iter()),
            sorted(
                self.lane_hours
                    .all
                    .into_iter()
                    .map(|((number, step), sum)| ((step, with_lanes[number as usize]), sum)),
            ),
        );
        let tables = [
            put_rows(&mut rows, Table::Minutes, minutes.iter().map(|(at, (sum, timed))| (*at, sum, timed))),
            put_rows(&mut rows, Table::Hours, hours.iter().map(|(at, (sum, timed))| (*at, sum, timed))),
            put_rows(&mut rows, Table::LaneHours, lane_hours.iter().map(|(at, sum)| (*at, sum, &none))),
        ];
        let mut addresses: Vec<u32> = self.addresses.iter().map(|name| names[*name as usize]).collect();
        addresses.sort_unstable();
        let rollup = Rollup {
            laneless: in_ranks(laneless, &without),
            combinations: in_ranks(combinations.into_iter().zip(sums).collect(), &with_lanes),
            names: in_ranks(self.names.all, &names),
            addresses: (addresses.len() <= ADDRESSES_MAX).then_some(addresses),
            tables: Some(tables),
            blocks_at: 0,
        };
        Some(encode(&rollup, &rows))
    }
}

/// The step of a table that a sum of its is of.
fn step_of(sum: &Sum, table: Table) -> i64 {
    sum.first_ns.div_euclid(table.step_ns())
}

/// Where a combination is kept among the recent ones.
fn slot_of(key: &Key) -> usize {
    let mixed = key.iter().fold(0u64, |mixed, name| {
        (mixed ^ u64::from(*name)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
    });
    (mixed >> 32) as usize % RECENT
}

/// Of each item its place in that order.
fn ranks<T>(items: &[T], order: impl Fn(&T, &T) -> std::cmp::Ordering) -> Vec<u32> {
    let mut places: Vec<u32> = (0..items.len() as u32).collect();
    places.sort_unstable_by(|one, other| order(&items[*one as usize], &items[*other as usize]));
    let mut ranks = vec![0; items.len()];
    places.iter().zip(0..).for_each(|(place, rank)| ranks[*place as usize] = rank);
    ranks
}

/// Items in the order of their ranks.
fn in_ranks<T>(items: Vec<T>, ranks: &[u32]) -> Vec<T> {
    let mut ranked: Vec<(u32, T)> = ranks.iter().copied().zip(items).collect();
    ranked.sort_unstable_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, item)| item).collect()
}

fn sorted<T>(rows: impl Iterator<Item = ((i64, u32), T)>) -> Vec<((i64, u32), T)> {
    let mut rows: Vec<((i64, u32), T)> = rows.collect();
    rows.sort_unstable_by_key(|(at, _)| *at);
    rows
}

/// Appends the rows of a table; its blocks.
fn put_rows<'r>(
    out: &mut Vec<u8>,
    table: Table,
    rows: impl Iterator<Item = ((i64, u32), &'r Sum, &'r [Sketch; 5])>,
) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut before = (0, 0);
    for (at, sum, latencies) in rows {
        let full = blocks.last().is_none_or(|block| out.len() as u64 - block.place >= BLOCK_BYTES as u64);
        if full {
            blocks.push(Block { steps: (at.0, at.0), place: out.len() as u64, len: 0 });
            before = (at.0, 0);
        }
        rows::put(out, table.step_ns(), before, at, sum, latencies);
        before = at;
        if let Some(block) = blocks.last_mut() {
            (block.steps.1, block.len) = (at.0, (out.len() as u64 - block.place) as u32);
        }
    }
    blocks
}
