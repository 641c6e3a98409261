//! [`Summing`]: the counts of a segment, made of its rows.

use super::SummaryRow;
use super::arrays::{Arrays, Names};
use super::write::SUMMARY_ROWS_MAX;
use hopscope_model::{OutcomeCode, UNKNOWN};
use std::collections::{BTreeMap, HashMap};

/// What rows of one record batch are counted by: numbers of names.
type Combination = [Option<u32>; 8];

/// Counts in the making.
#[derive(Default)]
pub(super) struct Summing {
    rows: BTreeMap<Vec<String>, SummaryRow>,
    too_many: bool,
}

impl Summing {
    /// Counts these rows.
    pub fn add(&mut self, rows: &Arrays<'_>) {
        if self.too_many {
            return;
        }
        let columns = [
            rows.system,
            rows.cluster,
            rows.destination,
            rows.lane,
            rows.group,
            rows.service,
            rows.stage,
            rows.outcome,
        ];
        let mut places: HashMap<Combination, usize> = HashMap::new();
        let mut sums: Vec<SummaryRow> = Vec::new();
        let mut last: Option<(Combination, usize)> = None;
        for row in 0..rows.rows() {
            let combination = columns.map(|column| column.number(row));
            let start_ns = rows.start_ns.at(row).unwrap_or(UNKNOWN);
            let place = match last.filter(|(same, _)| *same == combination) {
                Some((_, place)) => place,
                None => *places.entry(combination).or_insert_with(|| {
                    sums.push(empty(&columns, &combination, start_ns));
                    sums.len() - 1
                }),
            };
            last = Some((combination, place));
            let sum = &mut sums[place];
            sum.events += 1;
            sum.first_ns = sum.first_ns.min(start_ns);
            sum.last_ns = sum.last_ns.max(start_ns);
        }
        for mut sum in sums {
            if sum.values.last().is_some_and(|outcome| outcome == OutcomeCode::Failed.name()) {
                sum.failed = sum.events;
            }
            self.add_row(sum);
        }
        if self.rows.len() > SUMMARY_ROWS_MAX {
            (self.rows, self.too_many) = (BTreeMap::new(), true);
        }
    }

    fn add_row(&mut self, row: SummaryRow) {
        match self.rows.get_mut(&row.values) {
            Some(sum) => {
                sum.events += row.events;
                sum.failed += row.failed;
                sum.first_ns = sum.first_ns.min(row.first_ns);
                sum.last_ns = sum.last_ns.max(row.last_ns);
            }
            None => drop(self.rows.insert(row.values.clone(), row)),
        }
    }

    /// In order; `None` where there are too many combinations.
    pub fn finish(self) -> Option<Vec<SummaryRow>> {
        (!self.too_many).then(|| self.rows.into_values().collect())
    }
}

fn empty(columns: &[Names<'_>; 8], combination: &Combination, start_ns: i64) -> SummaryRow {
    let name = |(column, number): (&Names<'_>, &Option<u32>)| {
        number.map_or("", |number| column.name(number)).to_owned()
    };
    let values = columns.iter().zip(combination).map(name).collect();
    SummaryRow { values, events: 0, failed: 0, first_ns: start_ns, last_ns: start_ns }
}
