//! [`Counting`]: counts in the making. Combinations of names are numbered, so that counting one event, or one sum of
//! events, touches no text.

use crate::measured::{Facts, Sum};
use crate::sketch::Sketch;
use crate::{Aggregation, Dimension, Row};
use hashbrown::HashTable;
use hopscope_model::{Batch, EventColumns, EventRef};
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// Counts of an aggregation.
pub(super) struct Counting<'q> {
    aggregation: &'q Aggregation,
    numbers: HashTable<Group>,
    /// Values of each combination, by its number.
    groups: Vec<Vec<String>>,
    cells: HashMap<(Group, i64), Cell>,
}

/// Number of a combination.
pub(super) type Group = u32;

/// What is counted of one combination in one step.
#[derive(Clone, Default)]
struct Cell {
    sum: Sum,
    latencies: [Sketch; 5],
}

impl<'q> Counting<'q> {
    pub fn new(aggregation: &'q Aggregation) -> Self {
        Self { aggregation, numbers: HashTable::new(), groups: Vec::new(), cells: HashMap::new() }
    }

    /// The combination that an event belongs to.
    pub fn group_of(&mut self, event: &EventRef<'_>) -> Group {
        self.group(self.aggregation.by.iter().map(|dimension| dimension.of(event)))
    }

    fn group<'v>(&mut self, values: impl Iterator<Item = &'v str> + Clone) -> Group {
        let hash = hash_of(values.clone());
        let groups = &self.groups;
        let same = |group: &Group| groups[*group as usize].iter().map(String::as_str).eq(values.clone());
        if let Some(group) = self.numbers.find(hash, same) {
            return *group;
        }
        let group = self.groups.len() as Group;
        self.groups.push(values.map(str::to_owned).collect());
        let groups = &self.groups;
        let rehash = |group: &Group| hash_of(groups[*group as usize].iter().map(String::as_str));
        self.numbers.insert_unique(hash, group, rehash);
        group
    }

    /// Counts the events of a batch that are wanted.
    pub fn add_batch(&mut self, batch: &Batch, mut wanted: impl FnMut(EventRef<'_>) -> bool) {
        let aggregation = self.aggregation;
        // A number has one text within a batch.
        let mut known: HashMap<Vec<u32>, Group> = HashMap::new();
        let (mut key, mut last_key, mut last) = (Vec::new(), Vec::new(), None);
        for event in batch.events().filter(|event| wanted(*event)) {
            key.clear();
            key.extend(aggregation.by.iter().map(|by| number_of(*by, batch.columns(), event.index())));
            let group = match last.filter(|_| last_key == key) {
                Some(group) => group,
                None => match known.get(&key) {
                    Some(group) => *group,
                    None => {
                        let group = self.group_of(&event);
                        known.insert(key.clone(), group);
                        group
                    }
                },
            };
            last = Some(group);
            last_key.clone_from(&key);
            let facts = Facts::of(&event);
            let cell = self.cells.entry((group, aggregation.step_of(facts.start_ns))).or_default();
            cell.sum.add(&Sum::of(&facts));
            if aggregation.measured {
                facts.each_latency(|latency, ns| cell.latencies[latency as usize].add(ns));
            }
        }
    }

    /// Counts a sum of events of one combination, of which all are in the step of `at_ns`.
    pub fn add_sum(&mut self, group: Group, at_ns: i64, sum: &Sum, latencies: &[Option<Sketch>; 5]) {
        let cell = self.cells.entry((group, self.aggregation.step_of(at_ns))).or_default();
        cell.sum.add(sum);
        for (own, latency) in cell.latencies.iter_mut().zip(latencies) {
            latency.iter().for_each(|latency| own.merge(latency));
        }
    }

    /// Counts what another one counted of the same aggregation.
    pub fn merge(&mut self, other: Self) {
        let groups: Vec<Group> =
            other.groups.iter().map(|values| self.group(values.iter().map(String::as_str))).collect();
        for ((group, step_ns), cell) in other.cells {
            let own = self.cells.entry((groups[group as usize], step_ns)).or_default();
            own.sum.add(&cell.sum);
            own.latencies.iter_mut().zip(&cell.latencies).for_each(|(own, other)| own.merge(other));
        }
    }

    /// The rows, in no order.
    pub fn finish(self) -> Vec<Row> {
        let measured = self.aggregation.measured;
        let row = |((group, step_ns), Cell { sum, latencies }): ((Group, i64), Cell)| Row {
            values: self.groups[group as usize].clone(),
            step_ns,
            events: sum.events,
            failed: sum.failed,
            first_ns: sum.first_ns,
            last_ns: sum.last_ns,
            measured: measured.then(|| Box::new(sum.measured(&latencies))),
            ..Row::default()
        };
        self.cells.into_iter().map(row).collect()
    }
}

fn hash_of<'v>(values: impl Iterator<Item = &'v str>) -> u64 {
    let mut hash = Xxh3::new();
    for value in values {
        hash.update(value.as_bytes());
        hash.update(&[0xFF]);
    }
    hash.digest()
}

/// What tells the values of a dimension apart within one batch.
fn number_of(by: Dimension, columns: &EventColumns, index: usize) -> u32 {
    let text = match by {
        Dimension::System => columns.system[index],
        Dimension::Cluster => columns.cluster[index],
        Dimension::Destination => columns.destination[index],
        Dimension::Lane => columns.lane[index],
        Dimension::Group => columns.group[index],
        Dimension::Service => columns.service[index],
        Dimension::Instance => columns.instance[index],
        Dimension::Stage => return u32::from(columns.stage[index].code()),
        Dimension::Outcome => return columns.outcome[index] as u32,
        Dimension::Detail => return 0,
    };
    text.index() as u32
}
