//! [`Summing`]: the counts of a segment that is made of others or of its own events, a batch at a time.

use super::SummaryRow;
use super::write::SUMMARY_ROWS_MAX;
use hopscope_model::{Batch, EventRef, OutcomeCode, Text};
use std::collections::{BTreeMap, HashMap};

/// What rows of one batch are counted by.
type Combination = ([Text; 6], u8, u8);

/// Counts in the making.
#[derive(Default)]
pub(super) struct Summing {
    rows: BTreeMap<Vec<String>, SummaryRow>,
    too_many: bool,
}

impl Summing {
    pub fn add(&mut self, batch: &Batch) {
        if self.too_many {
            return;
        }
        let mut of_batch: HashMap<Combination, SummaryRow> = HashMap::new();
        for event in batch.events() {
            let row = of_batch.entry(combination(&event)).or_insert_with(|| empty(&event));
            row.events += 1;
            row.failed += u64::from(failed(&event));
            row.first_ns = row.first_ns.min(event.start_ns());
            row.last_ns = row.last_ns.max(event.start_ns());
        }
        of_batch.into_values().for_each(|row| self.add_row(row));
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

fn combination(event: &EventRef<'_>) -> Combination {
    let (columns, index) = (event.batch().columns(), event.index());
    let texts = [
        columns.system[index],
        columns.cluster[index],
        columns.destination[index],
        columns.lane[index],
        columns.group[index],
        columns.service[index],
    ];
    (texts, event.stage().code(), columns.outcome[index] as u8)
}

fn failed(event: &EventRef<'_>) -> bool {
    matches!(event.batch().columns().outcome[event.index()], OutcomeCode::Failed)
}

fn empty(event: &EventRef<'_>) -> SummaryRow {
    let values = [
        event.system(),
        event.cluster(),
        event.destination(),
        event.lane(),
        event.group(),
        event.service(),
        event.stage().name(),
        event.outcome_name(),
    ];
    let (first_ns, last_ns) = (event.start_ns(), event.start_ns());
    SummaryRow { values: values.map(str::to_owned).to_vec(), events: 0, failed: 0, first_ns, last_ns }
}
