//! [`Memtable`]: the batches of one log, readable as soon as they are durable.

use super::fingerprint::{Kind, each_key};
use crate::Appended;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use hopscope_model::{Batch, EventId, EventRef, MessageEvent, SeriesId};
use std::collections::HashSet;
use std::sync::Arc;

/// Rows that are put into the index by key at a time: appends wait no longer for somebody who looks.
const INDEXED_AT_A_TIME: u32 = 8_192;

/// Events, progress and tallies of one log, with an index by key.
///
/// Identities are unique within it and, at the time of appending, against the tables that were in memory.
/// Whether an event is in an older segment is looked up later, for many at once: see
/// [`Memtable::unsettled`].
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    batches: Vec<Arc<Batch>>,
    /// Row at which each batch begins.
    starts: Vec<u32>,
    ids: Vec<EventId>,
    by_id: HashTable<u32>,
    /// By fingerprint: the newest entry of its chain.
    heads: HashTable<(u64, u32)>,
    /// Row, and the entry before it in the chain, plus one.
    entries: Vec<(u32, u32)>,
    /// Rows before this one are in the index by key: it is made when somebody looks.
    indexed: u32,
    progress: usize,
    /// About how many bytes the batches take.
    batch_bytes: usize,
    /// Identities of the tallies.
    tallies: HashSet<(SeriesId, i64, i64, u64)>,
    /// Rows before this one are known not to be in a segment, except for `sealed_already`.
    settled: usize,
    sealed_already: HashSet<u32>,
    received_ns: Option<(i64, i64)>,
    start_ns: Option<(i64, i64)>,
}

impl Memtable {
    /// Events, those that a segment turned out to have included.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Events that are stored here and nowhere else, as far as is known.
    pub fn events(&self) -> usize {
        self.ids.len() - self.sealed_already.len()
    }

    /// True without events, progress and tallies.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        // A table of hashes is half full in the worst case, and has a byte of its own for each place.
        let hashed = |places: usize, bytes: usize| places * 2 * (bytes + 1);
        self.batch_bytes
            + self.ids.len() * size_of::<EventId>()
            + hashed(self.by_id.len(), size_of::<u32>())
            + hashed(self.heads.len(), size_of::<(u64, u32)>())
            + self.entries.len() * size_of::<(u32, u32)>()
            + hashed(self.tallies.len(), size_of::<(SeriesId, i64, i64, u64)>())
            + hashed(self.sealed_already.len(), size_of::<u32>())
    }

    /// What it weighs for the decision to seal: events, samples of progress, tallies.
    pub fn weight(&self) -> usize {
        self.ids.len() + self.progress + self.tallies.len()
    }

    /// Earliest and latest time of receipt.
    pub fn received_ns(&self) -> Option<(i64, i64)> {
        self.received_ns
    }

    /// Earliest and latest start.
    pub fn start_ns(&self) -> Option<(i64, i64)> {
        self.start_ns
    }

    /// The batches in order of append.
    pub fn batches(&self) -> &[Arc<Batch>] {
        &self.batches
    }

    /// Whether that row is an event of an older segment.
    pub fn is_sealed_already(&self, row: u32) -> bool {
        self.sealed_already.contains(&row)
    }

    /// Rows that are events of older segments.
    pub fn sealed_already(&self) -> &HashSet<u32> {
        &self.sealed_already
    }

    /// The event of that row.
    pub fn event(&self, row: u32) -> EventRef<'_> {
        let batch = self.starts.partition_point(|start| *start <= row) - 1;
        self.batches[batch].event((row - self.starts[batch]) as usize)
    }

    /// The identity of that row.
    pub fn id(&self, row: u32) -> EventId {
        self.ids[row as usize]
    }

    /// The row with that identity.
    pub fn row_of(&self, id: EventId) -> Option<u32> {
        self.by_id.find(id.0 as u64, |row| self.ids[*row as usize] == id).copied()
    }

    /// Whether the index by key has all rows before that one.
    pub fn is_indexed(&self, until: u32) -> bool {
        self.indexed >= until.min(self.ids.len() as u32)
    }

    /// Adds the next rows to the index by key, [`INDEXED_AT_A_TIME`] or a few more.
    pub fn index_more(&mut self) {
        let Self { batches, starts, ids, heads, entries, indexed, .. } = self;
        let mut number = starts.partition_point(|start| *start < *indexed);
        let until = indexed.saturating_add(INDEXED_AT_A_TIME);
        while let (Some(batch), true) = (batches.get(number), *indexed < until) {
            for event in batch.events() {
                let row = *indexed;
                each_key(&event, ids[row as usize], |_: Kind, fingerprint| {
                    let entry = entries.len() as u32 + 1;
                    match heads.entry(fingerprint, |(own, _)| *own == fingerprint, |(own, _)| *own) {
                        Entry::Occupied(mut head) => {
                            entries.push((row, head.get().1));
                            head.get_mut().1 = entry;
                        }
                        Entry::Vacant(head) => {
                            entries.push((row, 0));
                            head.insert((fingerprint, entry));
                        }
                    }
                });
                *indexed += 1;
            }
            number += 1;
        }
    }

    /// Rows that may be under a key of that fingerprint, as far as they are in the index.
    pub fn rows_under(&self, fingerprint: u64) -> impl Iterator<Item = u32> {
        let head =
            self.heads.find(fingerprint, |(own, _)| *own == fingerprint).map_or(0, |(_, entry)| *entry);
        let entries = &self.entries;
        let mut next = head;
        std::iter::from_fn(move || {
            let (row, before) = *entries.get((next as usize).checked_sub(1)?)?;
            next = before;
            Some(row)
        })
    }

    /// Adds a durable batch without the events and tallies that this table or one of the others has.
    pub fn insert(&mut self, mut batch: Batch, others: &[&Memtable]) -> Appended {
        let mut appended = Appended::default();
        let ids: Vec<EventId> = batch.events().map(|event| event.id()).collect();
        let base = self.ids.len() as u32;
        let mut keep = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let first = match self.row_of(*id) {
                // A row of this very batch is not in a table yet.
                Some(row) if row >= base => Some(batch.event(kept_index(&keep, row - base)).to_owned()),
                Some(row) => Some(self.event(row).to_owned()),
                None => {
                    others.iter().find_map(|other| other.row_of(*id).map(|row| other.event(row).to_owned()))
                }
            };
            keep.push(first.is_none());
            if let Some(first) = first {
                appended.duplicates += 1;
                let again = MessageEvent {
                    received_ns: first.received_ns,
                    source: first.source,
                    ..batch.event(index).to_owned()
                };
                appended.conflicts += u64::from(again != first);
                continue;
            }
            let row = self.ids.len() as u32;
            self.ids.push(*id);
            let own = &self.ids;
            self.by_id.insert_unique(id.0 as u64, row, |row| own[*row as usize].0 as u64);
        }
        batch.retain(&keep);
        let is_new = |identity: &(SeriesId, i64, i64, u64)| {
            !others.iter().any(|other| other.tallies.contains(identity))
        };
        let new: Vec<bool> = batch
            .tallies()
            .iter()
            .map(|row| is_new(&row.identity()) && self.tallies.insert(row.identity()))
            .collect();
        batch.retain_tallies(&new);
        appended.tallies = batch.tallies().len() as u64;
        appended.stored = batch.len() as u64;
        if !batch.is_empty() {
            self.push(batch, base);
        }
        appended
    }

    fn push(&mut self, batch: Batch, base: u32) {
        let received = batch.received_ns();
        let wider = |range: Option<(i64, i64)>, value: i64| {
            Some(range.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
        };
        self.received_ns = wider(self.received_ns, received);
        for event in batch.events() {
            self.start_ns = wider(self.start_ns, event.start_ns());
        }
        self.progress += batch.progress().len();
        self.batch_bytes += batch.byte_len();
        self.starts.push(base);
        self.batches.push(Arc::new(batch));
    }

    /// Rows of which it is not known whether a segment has them.
    pub fn unsettled(&self) -> std::ops::Range<u32> {
        self.settled as u32..self.ids.len() as u32
    }

    /// What was found out about the rows before `until`: these are in a segment.
    pub fn settle(&mut self, until: u32, sealed_already: impl IntoIterator<Item = u32>) {
        self.settled = self.settled.max(until as usize);
        self.sealed_already.extend(sealed_already);
    }
}

/// Index in the batch of its `nth` event that is kept.
fn kept_index(keep: &[bool], nth: u32) -> usize {
    let mut kept = keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(index, _)| index);
    kept.nth(nth as usize).unwrap_or(0)
}
