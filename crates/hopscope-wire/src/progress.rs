//! What consumers are seen to commit, settle and receive, as [`Progress`](hopscope_model::Progress).

use crate::fields::Fields;
use crate::names::Name;
use hopscope_model::{
    BatchBuilder, Disposition, EventRow, OutcomeCode, ProgressKind, ProgressRow, Stage, Text, UNKNOWN, system,
};
use std::collections::HashMap;

type Lane = [Text; 6];

const SLOTS: usize = 2048;

/// Progress of one batch in the making. That a group was alive is said once per lane, at the latest time.
pub(crate) struct ProgressLog {
    seen: Vec<(Lane, ProgressRow)>,
    index: HashMap<Lane, usize>,
    /// For each slot one more than the place in `seen` of the lane seen last: most events need no hashing.
    slots: Vec<u32>,
    last: Option<(Lane, ProgressKind, i64)>,
}

impl Default for ProgressLog {
    fn default() -> Self {
        Self { seen: Vec::new(), index: HashMap::new(), slots: vec![0; SLOTS], last: None }
    }
}

impl ProgressLog {
    /// Notes what the event says of its group's progress. Its outcome is set already.
    pub(crate) fn note(&mut self, fields: &mut Fields<'_, '_>, row: &EventRow, builder: &mut BatchBuilder) {
        if row.group == Text::NONE || row.destination == Text::NONE {
            return;
        }
        match row.stage {
            Stage::Receive | Stage::Process => self.note_seen(row),
            Stage::Settle if row.outcome == OutcomeCode::Ok => {
                if let Some(kind) = settled(fields, row, builder.text(row.system)) {
                    self.push_once(progress(row, kind), builder);
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn note_seen(&mut self, row: &EventRow) {
        let lane = lane_of(row);
        let mixed = lane.iter().fold(0u64, |mixed, text| {
            (mixed.rotate_left(5) ^ text.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let slot = (mixed >> 53) as usize;
        let place = (self.slots[slot] as usize).wrapping_sub(1);
        let place = match self.seen.get(place) {
            Some((known, _)) if *known == lane => place,
            _ => self.find_or_add(lane, row, slot),
        };
        let at_ns = &mut self.seen[place].1.at_ns;
        *at_ns = (*at_ns).max(end_ns(row));
    }

    fn find_or_add(&mut self, lane: Lane, row: &EventRow, slot: usize) -> usize {
        let new = self.seen.len();
        let place = *self.index.entry(lane).or_insert(new);
        if place == new {
            self.seen.push((lane, progress(row, ProgressKind::Seen)));
        }
        self.slots[slot] = u32::try_from(place + 1).unwrap_or_default();
        place
    }

    /// The links of one commit say the same thing n times: once is enough.
    fn push_once(&mut self, row: ProgressRow, builder: &mut BatchBuilder) {
        let lane = [row.system, row.cluster, row.destination, row.lane, row.group, row.service];
        let this = (lane, row.kind, row.at_ns);
        if self.last != Some(this) {
            self.last = Some(this);
            builder.push_progress(row);
        }
    }

    /// Adds the groups that were seen.
    pub(crate) fn finish(self, builder: &mut BatchBuilder) {
        self.seen.into_iter().for_each(|(_, row)| builder.push_progress(row));
    }
}

/// What a successful settlement says. Only a cumulative one is a floor.
fn settled(fields: &mut Fields<'_, '_>, row: &EventRow, system: &str) -> Option<ProgressKind> {
    if let Some(next) = fields.int(Name::ProgressNext) {
        return Some(ProgressKind::Floor { next });
    }
    if row.position == UNKNOWN {
        return None;
    }
    let passed = matches!(row.disposition, Some(Disposition::Accept | Disposition::Reject));
    match system {
        // A commit names a record or the one after it: the smaller reading calls nothing consumed that may
        // not be.
        system::KAFKA => Some(ProgressKind::Floor { next: row.position }),
        system::NATS | system::ROCKETMQ if passed => Some(ProgressKind::Settled { position: row.position }),
        _ => None,
    }
}

fn progress(row: &EventRow, kind: ProgressKind) -> ProgressRow {
    ProgressRow {
        system: row.system,
        cluster: row.cluster,
        server: row.server,
        destination: row.destination,
        lane: row.lane,
        group: row.group,
        kind,
        at_ns: end_ns(row),
        service: row.service,
        grade: row.grade,
    }
}

fn lane_of(row: &EventRow) -> Lane {
    [row.system, row.cluster, row.destination, row.lane, row.group, row.service]
}

fn end_ns(row: &EventRow) -> i64 {
    if row.duration_ns == UNKNOWN { row.start_ns } else { row.start_ns.saturating_add(row.duration_ns) }
}
