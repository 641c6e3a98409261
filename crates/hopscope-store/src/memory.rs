//! [`Memory`]: the reference. What it answers is right by being plain: it looks at everything, every time.
//!
//! It is not durable, and not for many events: it is for tests, and for reading what [`Store`] means.

use crate::matching::{event_matches, select_progress};
use crate::measured::{Facts, Sum};
use crate::order::{Place, cursor, page_len, place};
use crate::sketch::Sketch;
use crate::tallying::Tallying;
use crate::{
    Aggregated, Aggregation, Appended, CheckReport, Counted, Depth, Error, ErrorKind, Found, Page, Retained,
    Retention, Row, Store,
};
use async_trait::async_trait;
use hopscope_model::{
    Batch, Coverage, EventId, EventRef, Evidence, Key, Limits, MessageEvent, Query, SeriesId, TallyRow,
    Tenant,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{RwLock, RwLockReadGuard};

/// A store that keeps everything in memory and nothing on disk.
#[derive(Debug, Default)]
pub struct Memory {
    tenants: RwLock<HashMap<Tenant, Stored>>,
}

/// What one tenant has: every event twice, in its batch and under its identity.
#[derive(Debug, Default)]
struct Stored {
    batches: Vec<Batch>,
    by_id: HashMap<EventId, MessageEvent>,
    /// Series, start, time and count of every tally.
    tallies: HashSet<(SeriesId, i64, i64, u64)>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, HashMap<Tenant, Stored>>, Error> {
        self.tenants.read().map_err(|_| poisoned())
    }
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Internal, "an earlier append panicked")
}

fn batches_of<'a>(tenants: &'a HashMap<Tenant, Stored>, tenant: &Tenant) -> &'a [Batch] {
    tenants.get(tenant).map_or(&[], |stored| &stored.batches)
}

fn events(batches: &[Batch]) -> impl Iterator<Item = EventRef<'_>> {
    batches.iter().flat_map(Batch::events)
}

fn placed(event: EventRef<'_>) -> (Place, MessageEvent) {
    ((event.start_ns(), event.id()), event.to_owned())
}

fn coverage(batches: &[Batch]) -> Coverage {
    let received = batches.iter().map(Batch::received_ns);
    let range = received.clone().min().zip(received.max());
    Coverage { segments: u64::from(!batches.is_empty()), received_ns: range, ..Coverage::default() }
}

fn count_events(batches: &[Batch], aggregation: &Aggregation) -> Vec<Row> {
    let mut rows: BTreeMap<(Vec<String>, i64), (Sum, [Sketch; 5])> = BTreeMap::new();
    for event in events(batches).filter(|event| aggregation.query.matches(*event, aggregation.now_ns)) {
        let values: Vec<String> = aggregation.by.iter().map(|by| by.of(&event).to_owned()).collect();
        let facts = Facts::of(&event);
        let step_ns = aggregation.step_of(facts.start_ns);
        let (sum, latencies) = rows.entry((values, step_ns)).or_default();
        sum.add(&Sum::of(&facts));
        facts.each_latency(|latency, ns| latencies[latency as usize].add(ns));
    }
    let row = |((values, step_ns), (sum, latencies)): ((Vec<String>, i64), (Sum, [Sketch; 5]))| Row {
        values,
        step_ns,
        events: sum.events,
        failed: sum.failed,
        first_ns: sum.first_ns,
        last_ns: sum.last_ns,
        measured: aggregation.measured.then(|| Box::new(sum.measured(&latencies))),
        ..Row::default()
    };
    rows.into_iter().map(row).collect()
}

#[async_trait]
impl Store for Memory {
    async fn append(&self, mut batch: Batch) -> Result<Appended, Error> {
        let mut tenants = self.tenants.write().map_err(|_| poisoned())?;
        let Stored { batches, by_id, tallies } = tenants.entry(batch.tenant().clone()).or_default();
        let mut appended = Appended::default();
        let mut keep = Vec::with_capacity(batch.len());
        for event in batch.events() {
            let new = event.to_owned();
            match by_id.get(&event.id()) {
                Some(first) => {
                    appended.duplicates += 1;
                    let received_then = MessageEvent { received_ns: first.received_ns, ..new };
                    appended.conflicts += u64::from(received_then != *first);
                    keep.push(false);
                }
                None => {
                    appended.stored += 1;
                    by_id.insert(event.id(), new);
                    keep.push(true);
                }
            }
        }
        batch.retain(&keep);
        let new: Vec<bool> = batch.tallies().iter().map(|row| tallies.insert(row.identity())).collect();
        batch.retain_tallies(&new);
        appended.tallies = batch.tallies().len() as u64;
        if !batch.is_empty() {
            batches.push(batch);
        }
        Ok(appended)
    }

    async fn search(&self, tenant: &Tenant, query: &Query, page: &Page) -> Result<Found, Error> {
        let after = page.after.as_deref().map(place).transpose()?;
        let tenants = self.read()?;
        let batches = batches_of(&tenants, tenant);
        let mut found: Vec<_> = events(batches)
            .filter(|event| query.matches(*event, page.now_ns))
            .map(placed)
            .filter(|(at, _)| after.is_none_or(|after| *at < after))
            .collect();
        found.sort_by_key(|(at, _)| Reverse(*at));
        let more = found.len() > page.events_max.max(1);
        found.truncate(page.events_max.max(1));
        let next = found.last().filter(|_| more).map(|(at, _)| cursor(*at));
        Ok(Found {
            events: found.into_iter().map(|(_, event)| event).collect(),
            coverage: coverage(batches),
            next,
        })
    }

    async fn events(
        &self,
        tenant: &Tenant,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
    ) -> Result<Evidence, Error> {
        let after = after.map(place).transpose()?;
        let tenants = self.read()?;
        let batches = batches_of(&tenants, tenant);
        let mut found: Vec<_> = events(batches)
            .filter(|event| keys.iter().any(|key| event_matches(key, event)))
            .map(placed)
            .filter(|(at, _)| after.is_none_or(|after| *at > after))
            .collect();
        found.sort_by_key(|(at, _)| *at);
        let len = page_len(found.iter().map(|(_, event)| event), limits.events_max, limits.bytes_max);
        let more = found.len() > len;
        found.truncate(len);
        let next = found.last().filter(|_| more).map(|(at, _)| cursor(*at));
        let mut progress = Vec::new();
        for key in keys.iter().filter(|_| after.is_none()) {
            if let Key::Progress(at) = key {
                progress.extend(select_progress(batches.iter().flat_map(Batch::progress_owned), at));
            }
        }
        progress.sort_by_key(|sample| sample.at_ns);
        let events = found.into_iter().map(|(_, event)| event).collect();
        Ok(Evidence { events, progress, coverage: coverage(batches), next })
    }

    async fn aggregate(&self, tenant: &Tenant, aggregation: &Aggregation) -> Result<Aggregated, Error> {
        aggregation.check()?;
        let tenants = self.read()?;
        let batches = batches_of(&tenants, tenant);
        let mut coverage = coverage(batches);
        let mut rows = match aggregation.of {
            Counted::Events => count_events(batches, aggregation),
            Counted::Tallies => {
                let mut tallying = Tallying::new(aggregation);
                batches.iter().for_each(|batch| tallying.add(batch));
                let begun_before = tallying.begun_before(i64::MAX);
                batches.iter().for_each(|batch| tallying.add_before(batch, &begun_before));
                coverage.why_not.extend(tallying.why_not());
                coverage.complete = coverage.why_not.is_empty();
                tallying.finish()
            }
        };
        crate::contract::put_in_order(&mut rows, aggregation.rows_max, &mut coverage);
        Ok(Aggregated { rows, coverage })
    }

    async fn retain(&self, tenant: &Tenant, retention: &Retention) -> Result<Retained, Error> {
        let mut tenants = self.tenants.write().map_err(|_| poisoned())?;
        let Some(Stored { batches, by_id, tallies }) = tenants.get_mut(tenant) else {
            return Ok(Retained::default());
        };
        let mut retained = Retained::default();
        batches.retain(|batch| {
            let keep = batch.received_ns() >= retention.keep_since_ns;
            if !keep {
                retained.dropped_events += batch.len() as u64;
                retained.freed_bytes += batch.byte_len() as u64;
            }
            keep
        });
        *by_id = events(batches).map(|event| (event.id(), event.to_owned())).collect();
        *tallies = batches.iter().flat_map(Batch::tallies).map(TallyRow::identity).collect();
        Ok(retained)
    }

    async fn check(&self, _depth: Depth) -> Result<CheckReport, Error> {
        let tenants = self.read()?;
        let events = tenants.values().map(|stored| stored.by_id.len() as u64).sum();
        Ok(CheckReport { events, ..CheckReport::default() })
    }
}
